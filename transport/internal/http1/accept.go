package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"switchback/transport/internal/netpoll"
)

// Serve is s.Serve(l) or, with handshakes, s.ServeTLS(l, "", ""), but that connections of a
// netpoll.Listener wait parked for their first request, too, and that it is then served
// on the spot where serves says so, as later ones are. That is so for servers without a
// ConnState. As there, l is closed when Serve returns. The handshakes of an http.Server are
// those of its first listener.
func Serve(s *http.Server, l net.Listener, handshakes *Handshakes, serves func(method, path string) bool) error {
	_, parks := l.(*netpoll.Listener)
	switch parks = parks && s.ConnState == nil && (s.Protocols == nil || s.Protocols.HTTP1()); {
	case !parks && handshakes != nil:
		return s.ServeTLS(l, "", "")
	case !parks:
		return s.Serve(l)
	}
	servers.Lock()
	if handshakes != nil {
		offersHTTP2(s)
	}
	own := find(s, serves).listen(l, l.Addr())
	servers.Unlock()
	var accepting sync.WaitGroup
	defer accepting.Wait()
	own.begin = sync.OnceFunc(func() {
		if handshakes != nil {
			own.secured(handshakes)
		}
		accepting.Go(own.accept)
	})
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

// first has a new connection wait for its first bytes, or gives it to http.Server
// where it cannot be parked.
func (l *listener) first(under net.Conn) {
	c := l.group.Take(under, nil)
	switch {
	case !c.Parks() && l.securer != nil:
		l.passAs(c, func(c net.Conn) net.Conn { return tls.Server(c, l.securer.config) })
	case !c.Parks():
		l.pass(c)
	case l.securer != nil:
		c.Rest(l.fresh, l.securer)
	default:
		c.Rest(l.fresh, l.Server)
	}
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
