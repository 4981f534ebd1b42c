package netpoll

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

// An exchange is one request on a connection that waited for it here, and the
// ResponseWriter for it. To a handler it is as http.Server's own, but
// that there are no interim responses, no trailers and no write deadlines, and that
// ConnContext is called for each request.
type exchange struct {
	conn    *Conn
	buffer  *Buffer // of the goroutine that serves it
	request http.Request
	input   io.Closer       // the request's body, whatever the handler makes of the request
	ctx     exchangeContext // and its context
	flushed chan struct{}   // holds one: the peer has taken what was flushed; made before the first write that it can be about

	header   http.Header // nil: nobody has asked for it
	status   int         // 0: not written yet
	head     []byte
	typed    bool   // no Content-Type is to be found out
	declared int    // Content-Length, as the handler has set it, or -1
	written  int    // bytes of the body, those included that were too many
	body     []byte // that is not sent
	sent     bool   // the head is
	chunked  bool
	hijacked bool
}

// keepLimit is how much of a body is kept until the handler returns.
const keepLimit = 64 << 10

// Ready has the server's handler serve the request that has come, where it is a
// plain one, and otherwise gives the connection to the server.
func (u *reuse) Ready(b *Buffer) {
	c := b.conn
	if _, err := b.Peek(1); err != nil {
		c.Close()
		return
	}
	p, _ := b.Peek(b.Buffered())
	if n := emptyLines(p); n > 0 {
		b.Discard(n)
		if p = p[n:]; len(p) == 0 {
			c.mu.Lock()
			c.waits = request // as long as it could before
			c.park()
			c.mu.Unlock()
			return
		}
	}
	s := u.server
	r := http.Request{RemoteAddr: c.remoteAddr()}
	if s.WriteTimeout > 0 || s.MaxHeaderBytes > 0 && s.MaxHeaderBytes < len(p) || !parse(&r, p) {
		b.Unread()
		c.mu.Lock()
		c.pass()
		c.mu.Unlock()
		return
	}
	b.Discard(len(p))
	ctx := u.base()
	if s.ConnContext != nil {
		ctx = s.ConnContext(ctx, served{c})
	}
	e := &exchange{conn: c, buffer: b, input: r.Body, ctx: exchangeContext{Context: ctx, conn: c}}
	defer e.ctx.end()
	e.request = *r.WithContext(&e.ctx)
	c.begin(e)
	e.serve(s)
}

func (*reuse) Flushed() {}

// begin has the exchange own its connection, which waits for a request no longer.
func (c *Conn) begin(e *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLine()
	c.owner, c.waits = e, hangup
	c.park()
}

// remoteAddr is the peer's address, of which few connections need a net.Addr made.
func (c *Conn) remoteAddr() string {
	if t, ok := c.under.(interface{ remoteAddr() string }); ok {
		return t.remoteAddr()
	}
	return c.under.RemoteAddr().String()
}

// serve calls the handler, as http.Server does.
func (e *exchange) serve(s *http.Server) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			logf(s, "http: panic serving %v: %v\n%s", e.request.RemoteAddr, v, debug.Stack())
		}
		if !e.hijacked {
			e.conn.Close()
		}
	}()
	h := s.Handler
	if h == nil {
		h = http.DefaultServeMux
	}
	h.ServeHTTP(e, &e.request)
	returned = true
	if !e.hijacked {
		e.input.Close()
		e.finish()
	}
}

// An exchangeContext is cancelled when the client has gone or the handler has
// returned. Few handlers wait for that, so what it takes is made when one does; and the
// socket is asked for the connection's local address when a handler asks.
type exchangeContext struct {
	context.Context // of the server and the connection
	conn            *Conn

	mu     sync.Mutex      // guards the rest
	err    error           // that it ended with while nobody waited
	child  context.Context // of Context, nil until somebody waits
	cancel context.CancelFunc
}

func (c *exchangeContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil {
		c.child, c.cancel = context.WithCancel(c.parent())
		if c.err != nil {
			c.cancel()
		}
	}
	return c.child.Done()
}

func (c *exchangeContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return c.now().Err()
}

func (c *exchangeContext) Value(key any) any {
	if key == http.LocalAddrContextKey {
		return c.conn.under.LocalAddr()
	}
	c.mu.Lock()
	ctx := c.now()
	c.mu.Unlock()
	return ctx.Value(key)
}

// now returns the context that knows most of this one. c.mu is held.
func (c *exchangeContext) now() context.Context {
	if c.child != nil {
		return c.child
	}
	return c.parent()
}

// parent is Context, of whose end nothing is to be seen after this one's. c.mu is held.
func (c *exchangeContext) parent() context.Context {
	if c.err != nil {
		return context.WithoutCancel(c.Context)
	}
	return c.Context
}

// end cancels the context.
func (c *exchangeContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.child != nil:
		c.cancel()
	case c.err == nil:
		c.err = cmp.Or(c.Context.Err(), context.Canceled)
	}
}

// Hijack gives the connection to the handler (http.Hijacker), unless a response
// has begun.
func (e *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := e.hijack(nil, nil); err != nil {
		return nil, nil, err
	}
	s := served{e.conn}
	return s, bufio.NewReadWriter(bufio.NewReader(s), bufio.NewWriter(s)), nil
}

// hijack takes the connection from the exchange, for p if not nil. It goes back to
// u, if that is not nil.
func (e *exchange) hijack(p *Poller, u *reuse) error {
	switch {
	case e.hijacked:
		return http.ErrHijacked
	case e.status != 0:
		return ErrServed
	}
	e.input.Close() // nothing of it may be read as the next request
	from, err := e.conn.move(p, u)
	if err != nil {
		return err
	}
	e.hijacked = true
	if p == nil { // what the handler does from now on may take for ever
		e.buffer.dismissed = true
		from.work.Done()
	}
	return nil
}

// move gives a connection that is no longer watched to p, if that is not nil, and
// returns the Poller that it comes from. It is ErrServed after p's Shutdown. The
// goroutine that is still in the handler has no part in it any more.
func (c *Conn) move(p *Poller, u *reuse) (from *Poller, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	from = c.poller
	if p != nil && p != from && !p.know(c) {
		return nil, ErrServed
	}
	if p != from {
		from.forget(c)
	}
	if p == nil {
		c.withdraw()
		c.vanish(0)
	} else {
		c.vanish(p.vanished())
	}
	c.poller, c.reuse, c.waits = p, u, nothing
	c.dismiss()
	return from, nil
}

// Ready is called when the client has gone.
func (e *exchange) Ready(*Buffer) { e.ctx.end() }

func (e *exchange) Flushed() {
	select {
	case e.flushed <- struct{}{}:
	default:
	}
}

func (e *exchange) Header() http.Header {
	if e.header == nil {
		e.header = make(http.Header)
	}
	return e.header
}

// LendHeader has w use h, which is empty, for its header. It is false where w does not
// serve a request that waited here, or has been asked for its header already.
func LendHeader(w http.ResponseWriter, h http.Header) bool {
	e, ok := w.(*exchange)
	if !ok || e.header != nil {
		return false
	}
	e.header = h
	return true
}

// TakeHeader takes what was lent back from w, if w needs it no longer: its connection
// has been taken.
func TakeHeader(w http.ResponseWriter) bool {
	e := w.(*exchange)
	if e.hijacked {
		e.header = nil
	}
	return e.hijacked
}

func (e *exchange) WriteHeader(status int) {
	if e.status != 0 || status < 200 || e.hijacked {
		return
	}
	e.status, e.declared = status, -1
	if closes(e.header) {
		e.conn.setLast()
	}
	if n, err := strconv.Atoi(e.header.Get("Content-Length")); err == nil && n >= 0 {
		e.declared = n
	}
	_, typed := e.header["Content-Type"]
	e.typed = typed || e.header.Get("Content-Encoding") != ""
	e.head = AppendHead(nil, status, e.header, e.conn.Returns())
}

func (e *exchange) Write(p []byte) (int, error) {
	if e.hijacked {
		return 0, http.ErrHijacked
	}
	e.WriteHeader(http.StatusOK)
	if !e.mayHaveBody() {
		return 0, http.ErrBodyNotAllowed
	}
	if e.written += len(p); e.declared >= 0 && e.written > e.declared {
		return 0, http.ErrContentLength
	}
	e.body = append(e.body, p...)
	if len(e.body) > keepLimit {
		return len(p), e.FlushError()
	}
	return len(p), nil
}

// mayHaveBody tells whether the status allows one (RFC 9110, section 6.4.1).
func (e *exchange) mayHaveBody() bool {
	return e.status != http.StatusNoContent && e.status != http.StatusNotModified
}

func (e *exchange) Flush() { e.FlushError() }

// FlushError writes what there is, and waits until the peer has taken it.
func (e *exchange) FlushError() error {
	if e.hijacked {
		return http.ErrHijacked
	}
	e.WriteHeader(http.StatusOK)
	e.chunked = e.declared < 0 && e.mayHaveBody()
	if e.flushed == nil {
		e.flushed = make(chan struct{}, 1)
	}
	if _, err := e.conn.Write(e.take()); err != nil {
		return err
	}
	for e.conn.Pending() {
		select {
		case <-e.flushed:
		case <-e.ctx.Done():
			e.conn.Close() // or what follows would seem to be all
			return context.Cause(&e.ctx)
		}
	}
	return nil
}

// SetReadDeadline does nothing: the body is here.
func (e *exchange) SetReadDeadline(time.Time) error { return nil }

// EnableFullDuplex does nothing: it is always enabled.
func (e *exchange) EnableFullDuplex() error { return nil }

// finish writes what is left, and has the connection wait for its next request,
// unless the body is not as long as was declared.
func (e *exchange) finish() {
	e.WriteHeader(http.StatusOK)
	out := e.take()
	if e.chunked {
		out = append(out, LastChunk...)
	}
	if e.mayHaveBody() && e.declared >= 0 && e.written != e.declared {
		e.conn.setLast()
	}
	e.conn.Finish(out)
}

// take returns what has been written since the last time, as it is sent.
func (e *exchange) take() []byte {
	out, body := e.head, e.body
	e.head, e.body = nil, nil
	if !e.sent {
		e.sent = true
		if !e.typed && len(body) > 0 {
			out = AppendField(out, "Content-Type", http.DetectContentType(body))
		}
		out = AppendDate(out)
		switch {
		case e.chunked:
			out = AppendField(out, "Transfer-Encoding", "chunked")
		case e.mayHaveBody():
			out = AppendField(out, "Content-Length", strconv.Itoa(max(e.declared, len(body))))
		}
		out = append(out, "\r\n"...)
	}
	if e.chunked && len(body) > 0 {
		return AppendChunk(out, body)
	}
	return append(out, body...)
}
