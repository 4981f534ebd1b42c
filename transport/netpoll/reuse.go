package netpoll

import (
	"context"
	"math"
	"net"
	"net/http"
	"sync"
	"time"
)

// A reuse is where connections of an http.Server wait for a request, and the
// listener by which they go to it for what is not served here.
type reuse struct {
	server   *http.Server
	base     func() context.Context // of requests that are served here
	addr     net.Addr
	listener net.Listener  // whose connections wait here from the start, or nil
	done     chan struct{} // closed when err is set

	mu      sync.Mutex // guards the rest
	wrapped bool       // the server's listener wraps its connections
	retired bool       // nothing waits any more
	err     error      // that Accept ends with
	ready   []*Conn
	wake    chan struct{} // holds one: ready or err has changed
	fresh   line          // waiting for their first request
	idle    line          // waiting for another
	clock   *time.Timer
}

// newReuse returns the reuse of a server with a listener or, where that is nil,
// an address.
func newReuse(server *http.Server, l net.Listener, addr net.Addr) *reuse {
	u := &reuse{server: server, listener: l, addr: addr, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	u.base = sync.OnceValue(func() context.Context {
		base := context.Background()
		if server.BaseContext != nil {
			base = server.BaseContext(u)
		}
		return context.WithValue(base, http.ServerContextKey, server)
	})
	if u.idle.limit = server.IdleTimeout; u.idle.limit == 0 {
		u.idle.limit = server.ReadTimeout
	}
	if u.fresh.limit = server.ReadHeaderTimeout; u.fresh.limit == 0 {
		u.fresh.limit = server.ReadTimeout
	}
	return u
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
		u = newReuse(server, nil, addr)
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
	return u.retired
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
		err := u.err
		if err == nil && len(u.ready) > 0 {
			c := u.ready[0]
			u.ready[0] = nil
			u.ready = u.ready[1:]
			u.mu.Unlock()
			return served{c}, nil
		}
		u.ready = nil
		u.mu.Unlock()
		if err != nil {
			return nil, err
		}
		<-u.wake
	}
}

// Close closes the listener and the connections that wait. The server calls it
// when it shuts down.
func (u *reuse) Close() error { return u.end(net.ErrClosed) }

// end is Close, but for the error that Accept ends with.
func (u *reuse) end(err error) error {
	u.mu.Lock()
	if u.err == nil {
		u.err = err
		close(u.done)
	}
	conns := u.ready
	u.ready = nil
	u.mu.Unlock()
	u.signal()
	for _, c := range conns {
		c.Close()
	}
	u.retire()
	if u.listener != nil {
		return u.listener.Close()
	}
	return nil
}

// retire closes the connections that wait: no other will.
func (u *reuse) retire() {
	u.mu.Lock()
	u.retired = true
	var conns []*Conn
	for _, l := range []*line{&u.fresh, &u.idle} {
		for c := l.first; c != nil; c = c.place.next {
			conns = append(conns, c)
		}
	}
	if u.clock != nil {
		u.clock.Stop()
	}
	u.mu.Unlock()
	for _, c := range conns {
		c.expire(math.MaxInt64)
	}
}

// sleep waits, and is false when the reuse ends before.
func (u *reuse) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-u.done:
		return false
	}
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
	open := u.err == nil
	if open {
		u.ready = append(u.ready, c)
	}
	u.mu.Unlock()
	u.signal()
	return open
}

// goBack has the connection wait for its next request. c.mu is held.
func (c *Conn) goBack() {
	c.owner, c.then = c.reuse, stay
	switch {
	case c.reuse == nil || !c.reuse.keep(c, &c.reuse.idle):
		c.fail(errClosed)
	default:
		c.waits = request
		c.park()
	}
}

// pass gives the connection to http.Server, which reads its next request. c.mu
// is held.
func (c *Conn) pass() {
	c.leaveLine()
	c.waits = nothing
	p := c.poller
	p.forget(c)
	c.poller, c.readBy = nil, 0
	c.vanish(0)
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
