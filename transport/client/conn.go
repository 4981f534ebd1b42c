package client

import (
	"bytes"
	"context"
	"sync/atomic"
)

// A Conn is a session, from the client's side. All its methods may be called
// from any goroutine, and at the same time. It must be closed, unless Recv has
// returned its end.
type Conn struct {
	name string
	t    transport
	o    *Options

	reading lock     // guards what follows and t.next
	opened  bool     // the open frame has come
	refusal bool     // the session ended with a close frame
	queue   [][]byte // received and not taken; it lies in what t.next returned
	binary  bool     // what is queued is

	end atomic.Pointer[CloseError]
}

// A Message is what one side sends and the other receives. Only raw-websocket
// has binary ones.
type Message struct {
	Data   []byte
	Binary bool
}

func newConn(name string, t transport, o *Options) *Conn {
	return &Conn{name: name, t: t, o: o, reading: make(lock, 1), opened: name == "raw-websocket"}
}

// Transport is the name of the transport that was opened.
func (c *Conn) Transport() string { return c.name }

// Subprotocol is the one of Options.Subprotocols that the server chose, or
// empty.
func (c *Conn) Subprotocol() string {
	if s, ok := c.t.(*socket); ok {
		return s.ws.Subprotocol()
	}
	return ""
}

// Send sends a text after everything that was sent before. It keeps nothing of
// text. What is not valid UTF-8 is sent as U+FFFD; a lone surrogate that was
// received goes back as it came.
//
// On a WebSocket, Send returns when the system has taken the message. Where
// messages are sent by requests it queues the message: one request is made at a
// time, and what was queued meanwhile leaves in the next. Nothing is sent
// twice. After the end of the session, Send returns a *CloseError.
func (c *Conn) Send(text []byte) error {
	if e := c.end.Load(); e != nil {
		return e
	}
	return c.t.send(text)
}

// SendBinary sends a binary message on raw-websocket. Every other transport
// returns ErrText and does nothing.
func (c *Conn) SendBinary(data []byte) error {
	s, ok := c.t.(*socket)
	if !ok || !s.raw {
		return ErrText
	}
	if e := c.end.Load(); e != nil {
		return e
	}
	return s.sendBinary(data)
}

// Recv returns the next message, text or binary, which is the caller's. A text
// may hold lone surrogates, as the three bytes that UTF-8 would give them.
// After the last message it returns the end of the session, a *CloseError, and
// after Close at once.
//
// Recv returns ctx's error when ctx is done first, and nothing is lost: the
// next call goes on where this one stopped. A ctx that is never done, such as
// context.Background(), saves a goroutine; Close ends such a call, too.
func (c *Conn) Recv(ctx context.Context) ([]byte, error) {
	m, err := c.RecvMessage(ctx)
	return m.Data, err
}

// RecvMessage is Recv for who must tell binary messages from text.
func (c *Conn) RecvMessage(ctx context.Context) (Message, error) {
	for {
		if err := c.reading.lock(ctx); err != nil {
			return Message{}, err
		}
		if m, done, err := c.take(); done {
			c.reading.unlock()
			return m, err
		}
		c.receive(ctx)
	}
}

// take returns what need not be waited for: the end of the session, which comes
// before what is queued only when Close was called, or the first message. The
// reading lock is held.
func (c *Conn) take() (m Message, done bool, err error) {
	if e := c.end.Load(); e != nil {
		return m, true, e
	}
	if len(c.queue) == 0 {
		return m, false, nil
	}
	m = Message{Data: bytes.Clone(c.queue[0]), Binary: c.binary}
	if c.queue = c.queue[1:]; len(c.queue) == 0 {
		c.queue = nil
	}
	return m, true, nil
}

// receive fills the queue and then lets go of the reading lock, which is held.
// A wait that may be given up needs a goroutine: it ends with the next frame,
// or with the session.
func (c *Conn) receive(ctx context.Context) {
	if ctx.Done() != nil {
		go func() {
			defer c.reading.unlock()
			c.fill()
		}()
		return
	}
	defer c.reading.unlock()
	c.fill()
}

// fill waits for what the server sends next. The reading lock is held, and the
// queue empty.
func (c *Conn) fill() {
	kind, p, err := c.t.next()
	if err == nil {
		err = c.accept(kind, p)
	}
	if err != nil {
		c.end.CompareAndSwap(nil, closeError(err))
		c.t.close(codeNormal, "")
		c.leave()
	}
}

// open waits for the open frame. It gives up when ctx is done.
func (c *Conn) open(ctx context.Context) error {
	stop := context.AfterFunc(ctx, c.t.abort)
	for !c.opened && c.end.Load() == nil {
		c.fill()
	}
	if !stop() {
		c.Close()
		return &CloseError{Code: codeAbnormal, Reason: "Transport timed out", Err: ctx.Err()}
	}
	if e := c.end.Load(); e != nil {
		return e
	}
	return nil
}

// refused tells whether the end of a session that did not open is an answer,
// and no other transport is to be tried (sockjs-client, _transportClose). c may
// be nil.
func (c *Conn) refused(err error) bool {
	return c != nil && (c.refusal || userCode(closeError(err).Code))
}

// Close ends the session with code 1000. It waits until what Send took has
// been sent, and for a WebSocket's closing handshake. The messages that were
// not received by then are lost.
func (c *Conn) Close() error { return c.CloseWith(codeNormal, "Normal closure") }

// CloseWith is Close with a code, 1000 or 3000 to 4999, and a reason of at most
// 123 bytes; ErrClose refuses any other. A WebSocket tells them to the server;
// the other transports have no way to.
func (c *Conn) CloseWith(code int, reason string) error {
	if !userCode(code) || len(reason) > 123 {
		return ErrClose
	}
	if !c.end.CompareAndSwap(nil, &CloseError{Code: code, Reason: reason}) {
		return nil
	}
	if f, ok := c.t.(interface{ flush() }); ok {
		f.flush()
	}
	c.t.close(code, reason) // whoever holds the reading lock is done soon
	c.reading.lock(context.Background())
	defer c.reading.unlock()
	c.queue = nil
	c.leave()
	return nil
}

// leave sees a transport out that was told to close. The reading lock is held.
func (c *Conn) leave() {
	for {
		if _, _, err := c.t.next(); err != nil {
			c.t.abort()
			return
		}
	}
}

// A lock is a mutex that can be waited for with a context.
type lock chan struct{}

func (l lock) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l lock) unlock() { <-l }
