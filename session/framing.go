package session

import (
	"slices"

	"switchback/session/frame"
	"switchback/session/memory"
)

// A Framing is the form that a session has on its wire. A transport chooses it when
// it opens a session: SockJS, or its own for a wire without SockJS frames. It is not
// changed. Its functions append to dst and keep nothing.
type Framing struct {
	*Encoding
	Open        string // the open frame; empty: the wire has none
	Heartbeat   string
	AppendClose func(dst []byte, code int, reason string) []byte

	// AppendQueueBegin and QueueEnd stand around all that is queued, of so many
	// bytes, in the frames that carry it.
	AppendQueueBegin func(dst []byte, size int) []byte
	QueueEnd         string
}

// An Encoding is the form of messages, which framings can have in common. A message
// that many are sent is encoded once for each Encoding, which is known by its address and not copied.
type Encoding struct {
	Binary    bool   // the wire carries binary messages
	Separator string // between two messages

	// A message is what AppendBegin appends, its parts, and End. AppendPart encodes
	// a part of a text, which ends with whole characters; those of a binary message
	// stay as they are. Size is how many bytes AppendPart appends. AppendBegin gets
	// the size of all parts where it is Sized, otherwise 0.
	AppendBegin func(dst []byte, size int, binary bool) []byte
	AppendPart  func(dst, text []byte) []byte
	Size        func(text []byte) int
	Sized       bool
	End         string

	whole, part memory.Key // of messages, and of their bodies
}

// SockJS is the framing of the SockJS protocol: o, h, a[...] and c[...]. All
// that is queued leaves in one a[...].
var SockJS = &Framing{
	Encoding:         JSON,
	Open:             frame.Open,
	Heartbeat:        frame.Heartbeat,
	AppendClose:      frame.AppendClose,
	AppendQueueBegin: func(dst []byte, _ int) []byte { return append(dst, "a["...) },
	QueueEnd:         "]",
}

// JSON is the encoding of messages as JSON strings, which commas join.
var JSON = &Encoding{
	Separator:   ",",
	AppendBegin: func(dst []byte, _ int, _ bool) []byte { return append(dst, '"') },
	AppendPart:  frame.AppendEscaped,
	Size:        frame.EscapedLen,
	End:         `"`,
}

func (e *Encoding) appendText(dst, text []byte) []byte {
	size := 0
	if e.Sized {
		size = e.Size(text)
	}
	dst = e.AppendPart(e.AppendBegin(dst, size, false), text)
	return append(dst, e.End...)
}

func (e *Encoding) appendBinary(dst, data []byte) []byte {
	dst = append(e.AppendBegin(dst, len(data), true), data...)
	return append(dst, e.End...)
}

// A Prepared is a message for many sessions: it is encoded once for each Encoding, and
// those who have to send it hold it together. Its methods may be called from any
// goroutine.
type Prepared struct {
	head, tail []byte
	body       []byte
	binary     bool
	forms      *memory.Forms // of body
}

// Prepare returns a text, prepared. It keeps text, which must not be changed
// afterwards.
func Prepare(text []byte) *Prepared { return &Prepared{body: text, forms: new(memory.Forms)} }

// PrepareBinary is Prepare for a binary message.
func PrepareBinary(data []byte) *Prepared {
	return &Prepared{body: data, binary: true, forms: new(memory.Forms)}
}

// Around returns the message of head, m and tail, which shares m's encodings: for
// messages that differ by little around the same body. It keeps both, which must end
// with whole characters and must not be changed afterwards.
func (m *Prepared) Around(head, tail []byte) *Prepared {
	p := *m
	p.head, p.tail = append(head, m.head...), append(m.tail[:len(m.tail):len(m.tail)], tail...)
	return &p
}

// Text is the message as it was given to Prepare, or to PrepareBinary. It must not be
// changed.
func (m *Prepared) Text() []byte {
	if len(m.head)+len(m.tail) == 0 {
		return m.body
	}
	return slices.Concat(m.head, m.body, m.tail)
}

// Binary tells whether the message is binary.
func (m *Prepared) Binary() bool { return m.binary }

// copied is the size up to which a session copies what it could hold together with
// others: to hold costs more than to copy so much.
const copied = 1 << 10

// append appends the message to a queue.
func (m *Prepared) append(p *memory.Pieces, e *Encoding) {
	if len(m.head)+len(m.tail) == 0 {
		appendForm(p, m.whole(e))
		return
	}
	form, size := m.form(e), 0
	if e.Sized {
		size = len(form.Bytes()) + m.size(e, m.head) + m.size(e, m.tail)
	}
	p.Bytes = m.appendPart(e.AppendBegin(p.Bytes, size, m.binary), e, m.head)
	appendForm(p, form)
	p.Bytes = append(m.appendPart(p.Bytes, e, m.tail), e.End...)
}

func appendForm(p *memory.Pieces, form *memory.Form) {
	if b := form.Bytes(); len(b) <= copied {
		p.Bytes = append(p.Bytes, b...)
	} else {
		p.AppendForm(form)
	}
}

func (m *Prepared) size(e *Encoding, part []byte) int {
	if m.binary {
		return len(part)
	}
	return e.Size(part)
}

func (m *Prepared) appendPart(dst []byte, e *Encoding, part []byte) []byte {
	if m.binary {
		return append(dst, part...)
	}
	return e.AppendPart(dst, part)
}

// raw is the key of a binary message's body, which is the same in each encoding.
var raw memory.Key

// form is the body, encoded.
func (m *Prepared) form(e *Encoding) *memory.Form {
	if m.binary {
		return m.forms.Form(&raw, func() []byte { return m.body })
	}
	return m.forms.Form(&e.part, func() []byte { return e.AppendPart(make([]byte, 0, e.Size(m.body)), m.body) })
}

// whole is the message of the body alone.
func (m *Prepared) whole(e *Encoding) *memory.Form {
	return m.forms.Form(&e.whole, func() []byte {
		size := m.size(e, m.body)
		dst := e.AppendBegin(make([]byte, 0, size+aroundMost), size, m.binary)
		return append(m.appendPart(dst, e, m.body), e.End...)
	})
}

// aroundMost is the most that an Encoding has around the parts: the header of a
// WebSocket frame.
const aroundMost = 14
