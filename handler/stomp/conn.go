package stomp

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"

	"switchback/handler/stomp/frame"
	"switchback/session"
	"switchback/session/limit"
)

// A Client is the peer of a session that speaks STOMP, as CONNECT has left it.
// But for Value it is not changed afterwards and must not be changed.
type Client struct {
	ID      string        // the session's; CONNECTED tells it
	Peer    *session.Peer // who opened the session
	Version frame.Version

	// Identity is who it is: what Login has set or, where it has not, what the session
	// was opened with. It is nil for nobody.
	Identity *session.Identity

	// Value is the application's. Handshake and Login may set it, and other functions
	// may read it; nobody else touches it.
	Value any
}

// User is the name of the user; empty for nobody.
func (c *Client) User() string {
	if c.Identity == nil {
		return ""
	}
	return c.Identity.User
}

// A phase is a session's place in its life:
//
//	opening -> connected: CONNECT
//	connected -> leaving: DISCONNECT; no frame has effect any more
//	any -> ended: the session has closed, or is being closed
type phase uint32

const (
	opening phase = iota
	connected
	leaving
	ended
)

// A conn is the Handler of one session. What is not guarded belongs to the
// goroutine on which the session calls its handler.
type conn struct {
	broker       *Broker
	session      session.Session
	client       Client         // changed by CONNECT only, before anybody else knows it
	decoder      *frame.Decoder // while frames are decoded, and while one is incomplete; otherwise nil
	held         int32          // bytes of the decoder that are counted in the broker's memory
	binary       bool           // the session carries binary messages
	known        bool           // to users and Events
	asked        bool           // the application by SUBSCRIBE, which leaves no subscription
	followed     bool           // a topic
	numbers      uint64         // of subscriptions, so far
	admits       LoginFunc      // nil: everybody
	term         *term          // nil: the identity does not end
	transactions *transactions
	member       *limit.User // nil: users have no limit, or it is not connected
	pulse        pulse
	phase        atomic.Uint32

	mu            sync.Mutex // guards the rest; not held while something is sent
	subscriptions []*subscription
}

var (
	_ session.Handler       = (*conn)(nil)
	_ session.BinaryHandler = (*conn)(nil)
)

// Identity is who the handshake says that it is.
func (c *conn) Identity() *session.Identity { return c.client.Identity }

func (c *conn) OnOpen(s session.Session) error {
	c.session = s
	c.client.ID, c.client.Peer, c.client.Identity = s.ID(), s.Peer(), s.Peer().Identity
	c.binary = s.Peer().Binary
	c.pulse.alarm.owner = c
	c.broker.clock.set(&c.pulse.alarm, c.broker.clock.now()+c.broker.options.ConnectTimeout)
	return nil
}

func (c *conn) OnMessage(_ session.Session, text []byte) error {
	if c.at() >= leaving {
		return nil
	}
	c.decode().FeedText(text)
	return c.receive()
}

func (c *conn) OnBinary(_ session.Session, data []byte) error {
	if c.at() >= leaving {
		return nil
	}
	c.decode().Feed(data)
	return c.receive()
}

func (c *conn) OnClose(_ session.Session, err error) {
	c.enter(ended)
	c.broker.clock.end(&c.pulse.alarm)
	gone := c.release()
	if !c.known {
		return
	}
	c.broker.users.remove(c)
	c.tellLeft(gone)
	c.tell(func() { c.broker.options.Events.disconnect(&c.client, err) })
}

// release gives back what the session holds, and returns the subscriptions that
// it had. The session is leaving or ended.
func (c *conn) release() []*subscription {
	c.decoder = nil
	c.broker.received.give(int(c.held))
	c.held = 0
	c.leaveUser()
	c.rollback()
	return c.leaveAll()
}

// enter brings the session on to a phase, unless it is further already, and
// returns the one before.
func (c *conn) enter(p phase) (was phase) {
	for {
		was = c.at()
		if was >= p || c.phase.CompareAndSwap(uint32(was), uint32(p)) {
			return was
		}
	}
}

func (c *conn) at() phase { return phase(c.phase.Load()) }

// decoders are for sessions that have something to decode.
var decoders = sync.Pool{New: func() any { return new(frame.Decoder) }}

// decode returns the decoder.
func (c *conn) decode() *frame.Decoder {
	if c.decoder == nil {
		c.decoder = decoders.Get().(*frame.Decoder)
		c.limit()
	}
	return c.decoder
}

// limit sets the limits of the frames to come.
func (c *conn) limit() {
	c.decoder.Version, c.decoder.Limits = c.client.Version, &c.broker.limits
	if !c.known {
		c.decoder.Limits = &c.broker.connectLimits
	}
}

// frames are frames for decoding.
var frames = sync.Pool{New: func() any { return new(frame.Frame) }}

func freeFrame(f *frame.Frame) {
	clear(f.Headers[:cap(f.Headers)])
	f.Body = nil
	frames.Put(f)
}

// receive handles the frames that have come. A hook that panics ends the session.
func (c *conn) receive() (err error) {
	c.pulse.busy.Store(true)
	defer c.hear()
	defer c.hookPanicked(&err)
	defer session.Recovered(&err)
	f := frames.Get().(*frame.Frame)
	defer freeFrame(f)
	if err := c.account(); err != nil {
		return err
	}
	for c.at() < leaving {
		ok, err := c.decoder.Next(f)
		if err != nil {
			return c.refuse(c.broken(err), nil)
		}
		if !ok {
			err := c.account()
			if c.decoder != nil && c.decoder.Held() == 0 {
				*c.decoder = frame.Decoder{}
				decoders.Put(c.decoder)
				c.decoder = nil
			}
			return err
		}
		c.broker.stats.Frames.Add(1)
		if err := c.handle(f); err != nil {
			return c.refuse(err, f)
		}
	}
	return nil
}

// account brings the broker's count of memory up to date.
func (c *conn) account() error {
	held, before := c.decoder.Held(), int(c.held)
	if held > before && !c.broker.received.take(held-before) {
		return c.refuse(c.outOfMemory(), nil)
	}
	if held < before {
		c.broker.received.give(before - held)
	}
	c.held = int32(held)
	return nil
}

func (c *conn) outOfMemory() error {
	return &Error{Message: "The server is out of memory", Err: ErrMemory, counter: &c.broker.stats.MemoryLimit}
}

// handle does what a frame asks for, and sends its receipt.
func (c *conn) handle(f *frame.Frame) error {
	connecting := f.Command == frame.Connect || f.Command == frame.Stomp
	switch {
	case connecting && c.known:
		return &Error{Message: "Session already exists"}
	case connecting:
		return c.connect(f)
	case !c.known:
		return &Error{Message: "Unknown session: " + c.client.ID}
	}
	if err := c.renew(f.Headers); err != nil {
		return err
	}
	name, ok := f.Headers.Lookup("transaction")
	switch {
	case name != "":
		return c.transact(f, name)
	case ok && c.broker.options.Strict:
		return c.drop(f, "Missing header 'transaction'")
	}
	return c.perform(f)
}

// perform does what a frame outside a transaction, or one whose transaction is
// committed, asks for.
func (c *conn) perform(f *frame.Frame) error {
	var err error
	var also frame.Headers
	switch f.Command {
	case frame.Send:
		if c.broker.marks(f) {
			also, err = c.markRead(f)
		} else {
			err = c.sendMessage(f)
		}
	case frame.Subscribe:
		also, err = c.subscribe(f)
	case frame.Unsubscribe:
		err = c.unsubscribe(f)
	case frame.Ack, frame.Nack:
		err = c.acknowledge(f)
	case frame.Begin, frame.Commit, frame.Abort:
		err = c.drop(f, "Missing header 'transaction'")
	case frame.Disconnect:
		return c.disconnect(f)
	default:
		err = &Error{Message: "Frames of a server are not expected: " + string(f.Command)}
	}
	if err != nil {
		return err
	}
	c.receipt(f, also...)
	return nil
}

// receipt tells the client that f, and all before it, has had its effect.
func (c *conn) receipt(f *frame.Frame, also ...frame.Header) {
	if id, ok := f.Headers.Lookup("receipt"); ok && id != "" {
		c.send(frame.Receipt, append(frame.Headers{{Name: "receipt-id", Value: id}}, also...), nil)
	}
}

// buffers are memory to encode in.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled is the size over which a buffer is left to the collector.
const maxPooled = 64 << 10

func freeBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// send sends the client a frame of text.
func (c *conn) send(command frame.Command, h frame.Headers, body []byte) {
	b := buffers.Get().(*[]byte)
	defer freeBuffer(b)
	*b = frame.Append(*b, c.client.Version, command, h, body)
	err := c.session.Send(*b)
	if errors.Is(err, ErrMemory) { // an answer is not left out for that
		err = c.session.SendPrepared(session.Prepare(bytes.Clone(*b)))
	}
	if err == nil {
		c.pulse.sent.Store(int64(c.broker.clock.now()))
	}
}

// end closes the session from outside its goroutine, with an ERROR frame if e is
// one.
func (c *conn) end(code int, e *Error) {
	if c.enter(ended) == ended {
		return
	}
	if e != nil {
		c.broker.stats.Errors.Add(1)
		c.sendError(e, nil)
	}
	c.session.Close(code, "")
}
