package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"switchback/session/memory"
	"switchback/transport/internal/netpoll"
)

// An exchange is one request on a connection that waited for it here, and the
// ResponseWriter for it. Handlers see what http.Server would give them, except: no
// interim responses, no trailers, write deadlines count from the last byte that the
// peer has taken, and ConnContext is called for each request.
type exchange struct {
	server  *Server
	buffer  *netpoll.Buffer // of the goroutine that serves it
	request http.Request
	input   io.Closer       // the request's body, whatever the handler makes of the request
	ctx     exchangeContext // and its context, with the connection
	flushed chan struct{}   // holds one: the peer has taken what was flushed; made before the first write that it can be about

	header   http.Header // nil: nobody has asked for it
	lent     bool        // it is one of headers
	status   int         // 0: not written yet
	head     []byte
	typed    bool   // no Content-Type is to be found out
	declared int    // Content-Length, as the handler has set it, or -1
	written  int    // bytes of the body, those included that were too many
	body     []byte // that is not sent
	sent     bool   // the head is
	chunked  bool
	hijacked bool
	last     bool // the connection is closed with the response
}

// HasBody tells whether a request's body is here whole.
func HasBody(w http.ResponseWriter) bool {
	_, ok := w.(*exchange)
	return ok
}

// keepLimit is how much of a body is kept until the handler returns.
const keepLimit = 64 << 10

// Ready has the http.Server's handler serve the request that has come, where it is a
// plain one, and otherwise gives the connection to the http.Server.
func (s *Server) Ready(b *netpoll.Buffer) {
	c := b.Conn()
	if _, err := b.Peek(1); err != nil {
		c.Close()
		return
	}
	b.Fill()
	p, _ := b.Peek(b.Buffered())
	if n := emptyLines(p); n > 0 {
		b.Discard(n)
		if p = p[n:]; len(p) == 0 {
			c.RestOn()
			return
		}
	}
	r := http.Request{RemoteAddr: c.Peer(), TLS: c.TLS()}
	if s.http.WriteTimeout > 0 || s.http.ConnState != nil || s.http.MaxHeaderBytes > 0 && s.http.MaxHeaderBytes < len(p) || !parse(&r, p, s.serves) {
		b.Unread()
		s.pass(c)
		return
	}
	b.Discard(len(p))
	ctx := s.base()
	if s.http.ConnContext != nil {
		ctx = s.http.ConnContext(ctx, c.NetConn())
	}
	e := &exchange{server: s, buffer: b, input: r.Body, ctx: exchangeContext{Context: ctx, conn: c}}
	defer e.ctx.end()
	e.request = *r.WithContext(&e.ctx)
	c.OwnAndWatch(e)
	e.serve()
}

func (*Server) Flushed() {}

// serve calls the handler, as http.Server does.
func (e *exchange) serve() {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			e.server.logf("http: panic serving %v: %v\n%s", e.request.RemoteAddr, v, debug.Stack())
		}
		if !e.hijacked {
			e.ctx.conn.Close()
		}
	}()
	h := e.server.http.Handler
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

// headers are for exchanges whose connection is taken: nobody needs those then.
var headers = sync.Pool{New: func() any { return make(http.Header) }}

// Header is w.Header() for who is going to take the connection and keeps nothing of the
// header: where nobody has asked for it before, it is one of many uses.
func Header(w http.ResponseWriter) http.Header {
	e, ok := w.(*exchange)
	if !ok || e.header != nil {
		return w.Header()
	}
	e.header, e.lent = headers.Get().(http.Header), true
	return e.header
}

// returnHeader takes back what Header has lent. Who asks for the header afterwards gets
// another.
func (e *exchange) returnHeader() {
	if e.lent {
		clear(e.header)
		headers.Put(e.header)
		e.header, e.lent = nil, false
	}
}

// Hijack gives the connection to the handler (http.Hijacker), unless a response
// has begun.
func (e *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := e.mayHijack(); err != nil {
		return nil, nil, err
	}
	c, err := e.ctx.conn.Release()
	if err != nil {
		return nil, nil, err
	}
	e.hijacked = true
	e.buffer.Dismiss() // what the handler does from now on may take for ever
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

// hijack takes the connection from the exchange, for a Group. It returns ErrServed
// after the Group's Shutdown.
func (e *exchange) hijack(g *netpoll.Group) error {
	if err := e.mayHijack(); err != nil {
		return err
	}
	switch err := e.ctx.conn.Claim(g); {
	case errors.Is(err, netpoll.ErrDown):
		return ErrServed
	case err != nil:
		return err
	}
	e.hijacked = true
	return nil
}

// mayHijack begins a hijack: nothing of the body may be read as the next request.
func (e *exchange) mayHijack() error {
	switch {
	case e.hijacked:
		return http.ErrHijacked
	case e.status != 0:
		return ErrServed
	}
	e.input.Close()
	return nil
}

// Ready is called when the client has gone.
func (e *exchange) Ready(*netpoll.Buffer) { e.ctx.end() }

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

func (e *exchange) WriteHeader(status int) {
	if e.status != 0 || status < 200 || e.hijacked {
		return
	}
	e.status, e.declared = status, -1
	e.last = closes(e.header) || e.server.retired.Load()
	if n, err := strconv.Atoi(e.header.Get("Content-Length")); err == nil && n >= 0 {
		e.declared = n
	}
	_, typed := e.header["Content-Type"]
	e.typed = typed || e.header.Get("Content-Encoding") != ""
	e.head = appendHead(nil, status, e.header, !e.last)
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
	if _, err := e.ctx.conn.Write(e.take()); err != nil {
		return err
	}
	for e.ctx.conn.Pending() {
		select {
		case <-e.flushed:
		case <-e.ctx.Done():
			e.ctx.conn.Close() // or what follows would seem to be all
			return context.Cause(&e.ctx)
		}
	}
	return nil
}

// SetReadDeadline does nothing: the body is here.
func (e *exchange) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline sets how long the peer may take nothing of what is written: as long as
// is left until t, to a tenth of a second.
func (e *exchange) SetWriteDeadline(t time.Time) error {
	if e.hijacked {
		return http.ErrHijacked
	}
	timeout := netpoll.DefaultWriteTimeout
	if !t.IsZero() {
		timeout = max(time.Until(t).Round(100*time.Millisecond), time.Millisecond)
	}
	e.ctx.conn.SetWriteTimeout(timeout)
	return nil
}

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
		e.last = true
	}
	then := e.server.back
	if e.last {
		then = closeConn
	}
	e.ctx.conn.WriteThen(&memory.Pieces{Bytes: out}, then)
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
		return append(append(AppendChunkHead(out, len(body)), body...), ChunkEnd...)
	}
	return append(out, body...)
}
