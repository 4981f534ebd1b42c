package http1

import (
	"cmp"
	"context"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"switchback/transport/internal/netpoll"
)

// A Server is the connections of an http.Server that wait for a request, and those
// whose request is served on the spot. It retires with the last of its listeners.
type Server struct {
	http   *http.Server
	serves func(method, path string) bool
	base   func() context.Context // of requests that are served here
	group  netpoll.Group
	fresh  *netpoll.IdleLine   // of those that have had no request yet
	idle   *netpoll.IdleLine   // of those that have
	back   func(*netpoll.Conn) // has a connection wait for its next request

	wrapped atomic.Bool    // the http.Server's listener wraps its connections
	retired atomic.Bool    // nothing waits any more
	adopted *listener      // by which an http.Server that serves itself gets connections back, or nil
	adopts  sync.WaitGroup // the goroutine that has it accept

	takers  map[*Taker]struct{} // that use it; guarded by servers
	securer *securer            // of its TLS connections, or nil; guarded by servers until it accepts

	mu        sync.Mutex // guards the rest
	changed   sync.Cond  // ready, or a listener's error
	ready     []net.Conn // to be served by http.Server
	listeners int
}

// servers are the Servers that have not retired.
var servers struct {
	sync.Mutex // taken before a Server's
	of         map[*http.Server]*Server
}

// find returns the Server of s, which it makes where there is none. servers is locked.
func find(s *http.Server, serves func(method, path string) bool) *Server {
	if u := servers.of[s]; u != nil {
		return u
	}
	u := &Server{http: s, serves: serves, takers: make(map[*Taker]struct{})}
	u.changed.L = &u.mu
	u.fresh = netpoll.NewIdleLine(&u.group, cmp.Or(s.ReadHeaderTimeout, s.ReadTimeout))
	u.idle = netpoll.NewIdleLine(&u.group, cmp.Or(s.IdleTimeout, s.ReadTimeout))
	u.back = func(c *netpoll.Conn) { c.Rest(u.idle, u) }
	if servers.of == nil {
		servers.of = make(map[*http.Server]*Server)
	}
	servers.of[s] = u
	return u
}

// adopt has an http.Server that serves itself accept what is not served here, on a
// goroutine that ends with it or with the last Taker. servers is locked.
func (s *Server) adopt(addr net.Addr) {
	l := s.listen(nil, addr)
	s.adopted = l
	s.adopts.Go(func() { s.http.Serve(l) })
}

// listen adds a listener. Under is where its connections come from first, or nil.
// servers is locked.
func (s *Server) listen(under net.Listener, addr net.Addr) *listener {
	l := &listener{Server: s, under: under, addr: addr, begin: func() {}, done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners++; s.base == nil {
		s.base = sync.OnceValue(func() context.Context { return baseContext(s.http, l) })
	}
	return l
}

func baseContext(s *http.Server, l net.Listener) context.Context {
	base := context.Background()
	if s.BaseContext != nil {
		base = s.BaseContext(l)
	}
	return context.WithValue(base, http.ServerContextKey, s)
}

// pass gives a connection to http.Server, which reads its next request.
func (s *Server) pass(c *netpoll.Conn) { s.passAs(c, func(c net.Conn) net.Conn { return c }) }

// passAs is pass for what is made of the connection.
func (s *Server) passAs(c *netpoll.Conn, of func(net.Conn) net.Conn) {
	released, err := c.Release()
	if err != nil {
		return // it has ended
	}
	released = of(released)
	s.mu.Lock()
	open := s.listeners > 0
	if open {
		s.ready = append(s.ready, released)
		s.changed.Broadcast()
	}
	s.mu.Unlock()
	if !open {
		released.Close()
	}
}

// retire closes the connections that wait: no other will.
func (s *Server) retire() {
	s.retired.Store(true)
	s.fresh.Close()
	s.idle.Close()
	servers.Lock()
	if s.securer != nil {
		s.securer.close()
	}
	if servers.of[s.http] == s {
		delete(servers.of, s.http)
	}
	servers.Unlock()
}

// shutdown returns when what is served on the spot has been answered, or closes the
// connections when the context is done.
func (s *Server) shutdown(ctx context.Context) error {
	err := s.group.Shutdown(ctx)
	s.adopts.Wait()
	return err
}

// logf writes to the http.Server's log.
func (s *Server) logf(format string, args ...any) {
	if s.http.ErrorLog != nil {
		s.http.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

// A listener is where an http.Server accepts the connections that it is to serve itself:
// any that its Server has.
type listener struct {
	*Server
	under net.Listener
	addr  net.Addr
	begin func()        // has its connections accepted, once http.Server is set up
	done  chan struct{} // closed when err is set
	err   error         // that Accept ends with; guarded by the Server's mu
}

func (l *listener) Addr() net.Addr { return l.addr }

// Accept gives http.Server the next connection with a request.
func (l *listener) Accept() (net.Conn, error) {
	l.begin()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil && len(l.ready) == 0 {
		l.changed.Wait()
	}
	if l.err != nil {
		return nil, l.err
	}
	c := l.ready[0]
	l.ready[0] = nil
	if l.ready = l.ready[1:]; len(l.ready) == 0 {
		l.ready = nil
	}
	return c, nil
}

// Close is called by the http.Server when it shuts down. The last listener takes the
// connections that wait with it.
func (l *listener) Close() error { return l.end(net.ErrClosed) }

// end is Close, but for the error that Accept ends with.
func (l *listener) end(err error) error {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return nil
	}
	l.err = err
	close(l.done)
	l.listeners--
	var left []net.Conn
	last := l.listeners == 0
	if last {
		left, l.ready = l.ready, nil
	}
	l.changed.Broadcast()
	l.mu.Unlock()
	if last {
		l.retire()
	}
	for _, c := range left {
		c.Close()
	}
	if l.under != nil {
		return l.under.Close()
	}
	return nil
}
