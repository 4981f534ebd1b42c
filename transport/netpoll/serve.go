package netpoll

import (
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Serve is s.Serve(l), but that connections of a [Listener] wait parked for their
// first request, too, and that it is then served on the spot, as later ones are.
// That is so for the first Listener of a server without a ConnState. As there, l is
// closed when Serve returns.
func (p *Poller) Serve(s *http.Server, l net.Listener) error {
	own, ok := l.(*Listener)
	u := newReuse(s, l, l.Addr())
	if !ok || s.ConnState != nil || s.Protocols != nil && !s.Protocols.HTTP1() || !p.serves(s, u) {
		return s.Serve(l)
	}
	defer p.forgetServer(s)
	var accepting sync.WaitGroup
	defer accepting.Wait()
	accepting.Go(func() { p.accept(u, own) })
	return s.Serve(u)
}

// serves makes u the reuse of a server. It is false where there is one already, and
// after Shutdown.
func (p *Poller) serves(s *http.Server, u *reuse) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || p.reuses[s] != nil {
		return false
	}
	p.reuses[s] = u
	return true
}

// accept has connections wait for their first request until the listener is
// closed. After an error, that there are too many open files for one, it waits, as
// http.Server does.
func (p *Poller) accept(u *reuse, l *Listener) {
	const least, most = 5 * time.Millisecond, time.Second
	for wait := least; ; {
		c, err := l.accept()
		switch {
		case err == nil:
			wait = least
			p.first(u, c)
		case errors.Is(err, net.ErrClosed):
			u.end(err)
			return
		default:
			logf(u.server, "netpoll: %v; trying again in %v", err, wait)
			if !u.sleep(wait) {
				return
			}
			wait = min(2*wait, most)
		}
	}
}

// first has a new connection wait for its first request, or gives it to the server
// where it cannot wait.
func (p *Poller) first(u *reuse, under *tcp) {
	c := newConn(under)
	c.poller, c.reuse, c.owner = p, u, u
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !p.know(c):
		c.poller = nil
		if !u.push(c) {
			c.fail(errClosed)
		}
	case !c.enlist():
		c.fd = -1
		c.pass()
	case !u.keep(c, &u.fresh):
		c.fail(errClosed)
	default:
		c.waits = request
		c.park()
	}
}

// logf writes to the server's log.
func logf(s *http.Server, format string, args ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}
