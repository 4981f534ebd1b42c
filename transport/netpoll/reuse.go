package netpoll

import (
	"context"
	"errors"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"
)

// ErrServed is Hijack's answer for a request whose connection cannot be taken:
// its response is to be written by the ResponseWriter.
var ErrServed = errors.New("netpoll: the connection cannot be taken")

// responseType is net/http's own ResponseWriter for HTTP/1.
const responseType = "*http.response"

// Hijack takes a request's connection, whose response the caller then writes
// itself. Finish gives it back to the request's http.Server, unless the client or
// a header of w wants the connection closed. Hijack returns ErrServed where that
// cannot be: for HTTP/1.0, HTTP/2 and TLS, for a ResponseWriter that is wrapped,
// and where the server's listener wraps its connections.
func (p *Poller) Hijack(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	if e, ok := w.(*exchange); ok {
		return e.hijack(p)
	}
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || !canPark || r.TLS != nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || reflect.TypeOf(w).String() != responseType {
		return nil, ErrServed
	}
	u := p.reuseOf(server, r)
	if u == nil || u.wraps() {
		return nil, ErrServed
	}
	under, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return nil, err
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	c := p.Take(under, early)
	if c.fd < 0 {
		u.setWraps()
		return c, nil // its response is its last
	}
	if !r.Close && !closes(w.Header()) {
		c.reuse = u
	}
	return c, nil
}

// Returns tells whether Finish will give the connection back, unless the server
// shuts down meanwhile.
func (c *Conn) Returns() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reuse != nil && !c.reuse.ended()
}

// setLast has Finish close the connection.
func (c *Conn) setLast() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reuse = nil
}

// A reuse is where connections wait for their next request, and the listener by
// which they go back to their http.Server for what is not served here.
type reuse struct {
	server *http.Server
	base   func() context.Context // of requests that are served here
	addr   net.Addr
	idle   time.Duration // that a connection may wait; 0: for ever

	mu      sync.Mutex // guards the rest
	wrapped bool       // the server's listener wraps its connections
	closed  bool
	ready   []*Conn
	wake    chan struct{} // holds one: ready or closed has changed
	first   *Conn         // of the idle connections: the one that has waited longest
	last    *Conn
	clock   *time.Timer
}

// A place is a connection's among the idle ones.
type place struct {
	next, prev *Conn
	since      int64
}

// reuseOf returns the reuse of a server. The server serves it, on a goroutine
// that ends with the server or with the reuse.
func (p *Poller) reuseOf(server *http.Server, r *http.Request) *reuse {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil
	}
	u := p.reuses[server]
	if u == nil {
		addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		u = &reuse{server: server, addr: addr, idle: server.IdleTimeout, wake: make(chan struct{}, 1)}
		u.base = sync.OnceValue(func() context.Context {
			base := context.Background()
			if server.BaseContext != nil {
				base = server.BaseContext(u)
			}
			return context.WithValue(base, http.ServerContextKey, server)
		})
		if u.idle == 0 {
			u.idle = server.ReadTimeout
		}
		p.reuses[server] = u
		p.work.Go(func() {
			server.Serve(u)
			p.forgetServer(server)
		})
	}
	return u
}

// forgetServer forgets a server that has ended.
func (p *Poller) forgetServer(server *http.Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.reuses, server)
}

func (u *reuse) ended() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

func (u *reuse) wraps() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.wrapped
}

func (u *reuse) setWraps() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wrapped = true
}

func (u *reuse) Addr() net.Addr { return u.addr }

// Accept gives http.Server the next connection with a request.
func (u *reuse) Accept() (net.Conn, error) {
	for {
		u.mu.Lock()
		closed := u.closed
		if !closed && len(u.ready) > 0 {
			c := u.ready[0]
			u.ready[0] = nil
			u.ready = u.ready[1:]
			u.mu.Unlock()
			return served{c}, nil
		}
		u.ready = nil
		u.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		<-u.wake
	}
}

// Close closes the connections that wait. The server calls it, too, when it
// shuts down.
func (u *reuse) Close() error {
	u.mu.Lock()
	u.closed = true
	conns := u.ready
	u.ready = nil
	for c := u.first; c != nil; c = c.place.next {
		conns = append(conns, c)
	}
	if u.clock != nil {
		u.clock.Stop()
	}
	u.mu.Unlock()
	u.signal()
	for _, c := range conns {
		c.Close()
	}
	return nil
}

func (u *reuse) signal() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// push gives a connection to the server. It is false when there is none any
// more.
func (u *reuse) push(c *Conn) bool {
	u.mu.Lock()
	closed := u.closed
	if !closed {
		u.ready = append(u.ready, c)
	}
	u.mu.Unlock()
	u.signal()
	return !closed
}

// keep adds a connection to the idle ones. It is false when the reuse is
// closed.
func (u *reuse) keep(c *Conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	c.place = place{prev: u.last, since: time.Now().UnixNano()}
	if u.last != nil {
		u.last.place.next = c
	} else {
		u.first = c
		u.tick()
	}
	u.last = c
	return true
}

// drop takes a connection out of the idle ones.
func (u *reuse) drop(c *Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if c.place.since == 0 {
		return
	}
	if c.place.prev != nil {
		c.place.prev.place.next = c.place.next
	} else {
		u.first = c.place.next
	}
	if c.place.next != nil {
		c.place.next.place.prev = c.place.prev
	} else {
		u.last = c.place.prev
	}
	c.place = place{}
}

// tick has the idle connections looked at in a second. u.mu is held.
func (u *reuse) tick() {
	switch {
	case u.idle <= 0 || u.closed:
	case u.clock == nil:
		u.clock = time.AfterFunc(time.Second, u.expire)
	default:
		u.clock.Reset(time.Second)
	}
}

// expire closes those that have waited too long. It runs on the clock's
// goroutine, which ends with it.
func (u *reuse) expire() {
	limit := time.Now().Add(-u.idle).UnixNano()
	u.mu.Lock()
	var over []*Conn
	for c := u.first; c != nil && c.place.since < limit; c = c.place.next {
		over = append(over, c)
	}
	if u.first != nil {
		u.tick()
	}
	u.mu.Unlock()
	for _, c := range over {
		c.expire(limit)
	}
}

// expire closes the connection if it still waits for the request that it
// waited for then.
func (c *Conn) expire(limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits == request && c.place.since < limit {
		c.fail(errClosed)
	}
}

// goBack has the connection wait for its next request. c.mu is held.
func (c *Conn) goBack() {
	c.owner, c.then = c.reuse, stay
	switch {
	case c.reuse == nil || !c.reuse.keep(c):
		c.fail(errClosed)
		return
	case len(c.head) == 0:
		c.waits = request
		c.park()
		return
	}
	c.pass()
}

// pass gives the connection to http.Server, which reads its next request. c.mu
// is held.
func (c *Conn) pass() {
	c.reuse.drop(c)
	c.waits = nothing
	p := c.poller
	p.forget(c)
	c.poller, c.readBy = nil, 0
	if !c.reuse.push(c) {
		c.fail(errClosed)
	}
}

// served is a Conn as http.Server has it.
type served struct{ *Conn }

func (s served) Write(p []byte) (int, error) { return s.under.Write(p) }

// CloseWrite tells the peer of the end before the connection is closed.
func (s served) CloseWrite() error {
	if c, ok := s.under.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (s served) LocalAddr() net.Addr                { return s.under.LocalAddr() }
func (s served) RemoteAddr() net.Addr               { return s.under.RemoteAddr() }
func (s served) SetDeadline(t time.Time) error      { return s.under.SetDeadline(t) }
func (s served) SetReadDeadline(t time.Time) error  { return s.under.SetReadDeadline(t) }
func (s served) SetWriteDeadline(t time.Time) error { return s.under.SetWriteDeadline(t) }
