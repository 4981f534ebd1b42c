package http1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"switchback/transport/internal/netpoll"
)

// Serve is s.Serve(l), but that connections of a netpoll.Listener wait parked for
// their first request, too, and that it is then served on the spot where serves says
// so, as later ones are. That is so for servers without a ConnState. As there, l is
// closed when Serve returns.
func Serve(s *http.Server, l net.Listener, serves func(method, path string) bool) error {
	if _, ok := l.(*netpoll.Listener); !ok || s.ConnState != nil || s.Protocols != nil && !s.Protocols.HTTP1() {
		return s.Serve(l)
	}
	servers.Lock()
	own := find(s, serves).listen(l, l.Addr())
	servers.Unlock()
	var accepting sync.WaitGroup
	defer accepting.Wait()
	accepting.Go(own.accept)
	return s.Serve(own)
}

// Shutdown is s.Shutdown, but that it returns when requests that are served on the spot
// have been answered, too. When the context is done first it closes what is left, and
// returns the context's error.
func Shutdown(ctx context.Context, s *http.Server) error {
	servers.Lock()
	u := servers.of[s]
	servers.Unlock()
	err := s.Shutdown(ctx)
	if err != nil {
		s.Close()
	}
	if u != nil {
		err = errors.Join(err, u.shutdown(ctx))
	}
	return err
}

// accept has connections wait for their first request until the listener is
// closed. After an error, that there are too many open files for one, it waits, as
// http.Server does.
func (l *listener) accept() {
	const least, most = 5 * time.Millisecond, time.Second
	for wait := least; ; {
		c, err := l.under.Accept()
		switch {
		case err == nil:
			wait = least
			l.first(c)
		case errors.Is(err, net.ErrClosed):
			l.end(err)
			return
		default:
			l.logf("http1: %v; trying again in %v", err, wait)
			if !l.sleep(wait) {
				return
			}
			wait = min(2*wait, most)
		}
	}
}

// first has a new connection wait for its first request, or gives it to http.Server
// where it cannot be parked.
func (s *Server) first(under net.Conn) {
	c := s.group.Take(under, nil)
	if !c.Parks() {
		s.pass(c)
		return
	}
	c.Rest(s.fresh, s)
}

// sleep waits, and is false when the listener ends before.
func (l *listener) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.done:
		return false
	}
}
