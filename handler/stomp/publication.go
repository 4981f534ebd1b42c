package stomp

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"mime"
	"strings"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/stomp/frame"
	"switchback/session"
)

// A publication is a message on its way to subscriptions: the Payload of topics. Between
// nodes it is a MESSAGE frame whose subscription is the key.
type publication struct {
	key     string
	headers frame.Headers
	body    []byte
	content // once somebody has looked
	looked  bool

	// A large body, which its frames have in common, once somebody is sent it.
	text, octets *session.Prepared
}

// Append appends the publication as nodes send it. Its id is the Hub's to carry.
func (p *publication) Append(dst []byte) []byte {
	return frame.AppendMessage(dst, frame.V12, frame.Delivery{Subscription: p.key}, p.headers, p.body)
}

// Size is about the number of bytes that Append appends.
func (p *publication) Size() int { return (&frame.Frame{Headers: p.headers, Body: p.body}).Size() }

// content is what a message's body is, for the choice between text and binary.
type content struct {
	binary bool   // octets, for those who can take them
	valid  []byte // the body as text; nil: it is text as it is
}

// contentOf looks at a message. It goes as text, even to a client that sends
// binary messages, unless it says that it is octets: old clients read binary
// messages byte by byte. A body that is no text goes as octets in any case.
func contentOf(h frame.Headers, body []byte) content {
	if frame.IsText(body) {
		return content{binary: len(body) > 0 && octets(h.Value("content-type"))}
	}
	return content{binary: true, valid: frame.AppendText(nil, body)}
}

// look fills in the content.
func (p *publication) look() {
	if !p.looked {
		p.content, p.looked = contentOf(p.headers, p.body), true
	}
}

// octets tells whether a content type takes in application/octet-stream.
func octets(contentType string) bool {
	if contentType == "" || strings.HasPrefix(contentType, "text/") || strings.HasPrefix(contentType, "application/json") {
		return false
	}
	name, _, _ := mime.ParseMediaType(contentType)
	return name == "application/octet-stream" || name == "application/*" || name == "*/*"
}

// noLimits are for what comes from other brokers.
var noLimits = frame.Limits{Frame: math.MaxInt, Body: math.MaxInt, HeaderBytes: math.MaxInt, Headers: math.MaxInt}

// open returns what has been published: as it is, or decoded where it has come from another
// node, for all who get it here. It is nil, and counted, where that is no message; the first is
// logged.
func (b *Broker) open(p *handler.Publication) *publication {
	if m, ok := p.Payload.(*publication); ok {
		return m
	}
	var f frame.Frame
	d := frame.Decoder{Limits: &noLimits, Version: frame.V12}
	d.Feed(p.Text)
	if ok, err := d.Next(&f); !ok || f.Command != frame.Message {
		if b.stats.Foreign.Add(1) == 1 {
			b.log.Error("stomp: a publication of another node is left out, as are others like it", "error", cmp.Or(err, errNoMessage))
		}
		return nil
	}
	m := &publication{key: f.Headers.Value("subscription"), headers: f.Headers, body: f.Body}
	p.Payload = m
	return m
}

var errNoMessage = errors.New("stomp: it is no MESSAGE, or cut short")

// appendDelivery appends a MESSAGE for c, and tells whether it goes as binary.
func (c *conn) appendDelivery(dst []byte, d frame.Delivery, h frame.Headers, body []byte, k content) (_ []byte, binary bool) {
	binary = k.binary && c.binary
	if k.valid != nil && !binary {
		body = k.valid
	}
	return frame.AppendMessage(dst, c.client.Version, d, h, body), binary
}

// deliver sends one message. It may return ErrMemory.
func (c *conn) deliver(d frame.Delivery, h frame.Headers, body []byte, k content) error {
	b := buffers.Get().(*[]byte)
	defer freeBuffer(b)
	var binary bool
	*b, binary = c.appendDelivery(*b, d, h, body, k)
	if binary {
		return c.session.SendBinary(*b)
	}
	return c.session.Send(*b)
}

// largeBody is the size over which the frames of a message share their body.
const largeBody = 1 << 10

// shared returns the body for many frames.
func (p *publication) shared(binary bool) *session.Prepared {
	switch {
	case binary && p.octets == nil:
		p.octets = session.PrepareBinary(bytes.Clone(p.body)) // it is kept
	case !binary && p.text == nil:
		body := p.body
		if p.valid != nil {
			body = p.valid
		}
		p.text = session.Prepare(body)
	}
	if binary {
		return p.octets
	}
	return p.text
}

// frameTail ends a frame.
var frameTail = []byte{0}

// prepare returns the frame for a delivery to a client.
func (p *publication) prepare(c *conn, d frame.Delivery, binary bool) *session.Prepared {
	if len(p.body) > largeBody {
		body := p.shared(binary)
		head := frame.AppendMessageHead(nil, c.client.Version, d, p.headers, len(body.Text()))
		return body.Around(head, frameTail)
	}
	text, _ := c.appendDelivery(nil, d, p.headers, p.body, p.content)
	if binary {
		return session.PrepareBinary(text)
	}
	return session.Prepare(text)
}

// A fanout sends one publication to many subscriptions. Their frames differ by
// little, and mostly not at all: clients number their subscriptions. So each
// form is encoded once.
type fanout struct {
	*publication
	from   *handler.Publication
	offset string // its position in what is kept; empty: it is not
	many   bool   // subscriptions
	now    time.Duration
	forms  []form
	sent   int
}

func (b *Broker) fanout(p *publication, from *handler.Publication) fanout {
	f := fanout{publication: p, from: from, now: b.clock.now()}
	if from.Epoch != 0 {
		f.offset = history.Position{Epoch: from.Epoch, Offset: from.Offset}.String()
	}
	return f
}

// A form is a MESSAGE frame for some of the subscriptions.
type form struct {
	version      frame.Version
	binary       bool
	acked        bool
	subscription string
	note         note
	encoded      *session.Prepared
}

// maxForms bounds what is kept, and searched, for one publication.
const maxForms = 16

// send sends the publication to a subscription, unless that is brought up to it by what is
// kept.
func (f *fanout) send(s *subscription) {
	var n note
	if s.feed != nil && f.offset != "" {
		var ok bool
		if n, ok = s.feed.take(f.from); !ok {
			return
		}
	}
	f.deliver(s, n)
}

func (f *fanout) deliver(s *subscription, n note) {
	c := s.conn
	if c.at() != connected {
		return
	}
	f.from.Sending(c.session)
	var err error
	if m := f.form(s, n); m != nil {
		err = c.session.SendPrepared(m)
	} else if err = c.deliver(f.delivery(s, n), f.headers, f.body, f.content); errors.Is(err, ErrMemory) {
		err = c.session.SendPrepared(f.prepare(c, f.delivery(s, n), f.binary && c.binary)) // it is published: nobody goes without
	}
	if err == nil {
		f.sent++
		c.pulse.sent.Store(int64(f.now))
	}
}

func (f *fanout) delivery(s *subscription, n note) frame.Delivery {
	d := frame.Delivery{Subscription: s.id, MessageID: f.from.ID, Offset: f.offset, Gap: n.gap, Unread: n.unread}
	if s.mode != ackAuto {
		d.Ack = f.from.ID
	}
	return d
}

// form returns the form for s; nil for a small message where it is not worth keeping one.
func (f *fanout) form(s *subscription, n note) *session.Prepared {
	c := s.conn
	want := form{version: c.client.Version, binary: f.binary && c.binary, acked: s.mode != ackAuto, subscription: s.id, note: n}
	for i := range f.forms {
		e := &f.forms[i]
		if e.version == want.version && e.binary == want.binary && e.acked == want.acked && e.subscription == want.subscription && e.note == n {
			return e.encoded
		}
	}
	keep := f.many && len(f.forms) < maxForms
	if !keep && len(f.body) <= largeBody {
		return nil
	}
	want.encoded = f.prepare(c, f.delivery(s, n), want.binary)
	if keep {
		f.forms = append(f.forms, want)
	}
	return want.encoded
}
