// Package netpoll is the seam between transports and the network: connections
// whose writes never wait, and which cost no goroutine while they are quiet.
//
// A [Conn] writes what its socket takes at once, keeps the rest and writes that
// when the socket can take more. So a peer that does not read costs its own
// bounded rest and nothing else: no caller of Write waits for it.
//
// A Conn that waits for its peer is parked: it has no goroutine and no buffer,
// only a place in an epoll set. When bytes come, a [Buffer] is lent to it, and the
// goroutine that was told of them calls its [Owner]. Another one waits for the next
// event meanwhile, so an Owner may take its time.
//
// A connection of which an HTTP response has taken possession goes back to the
// http.Server that it came from, and is parked until its next request. That is
// usually the next poll, or messages for a session: such a request, where it is
// plain and here whole, is parsed and served by the server's own handler on the
// spot, since what http.Server does for a connection costs more than all else
// that is done for a poll. Any other request goes to http.Server, unread, so that
// its timeouts and limits hold. Where [Poller.Serve] serves a [Listener], all of
// that is so from a connection's first request on, and the Go runtime's poller does
// not get to know the connection.
//
// TLS, other wrapped connections and systems without epoll wait and write on
// goroutines behind the same methods.
package netpoll

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

var (
	// ErrFull is the end of a connection whose peer makes it write, with
	// pings for one, and does not read.
	ErrFull = errors.New("netpoll: peer does not read")

	// ErrTimeout is the end of a connection whose peer does not take what is
	// written within the write timeout.
	ErrTimeout = errors.New("netpoll: peer does not take what is written in time")

	errClosed = errors.New("netpoll: connection is closed")

	// errNothing is what a hasty read returns where nothing has come.
	errNothing = errors.New("netpoll: nothing has come")
)

// A Poller owns connections. Its methods may be called from any goroutine.
type Poller struct {
	writeTimeout time.Duration
	work         sync.WaitGroup // goroutines of the connections

	mu     sync.Mutex
	conns  map[*Conn]struct{} // taken, or waiting for a request
	reuses map[*http.Server]*reuse
	down   bool
}

// New returns a Poller whose peers must take what is written to them within
// writeTimeout.
func New(writeTimeout time.Duration) *Poller {
	return &Poller{
		writeTimeout: writeTimeout,
		conns:        make(map[*Conn]struct{}),
		reuses:       make(map[*http.Server]*reuse),
	}
}

// Take makes c the Poller's. What was read from it already is read first; Take
// keeps those bytes. The deadlines of c are taken off.
func (p *Poller) Take(c net.Conn, read []byte) *Conn {
	k, back := c.(served)
	if !back {
		k.Conn = newConn(c)
	}
	c.SetDeadline(time.Time{})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.poller, k.reuse, k.then, k.last = p, nil, stay, false
	if len(read) > 0 {
		k.head = append(bytes.Clone(read), k.head...)
	}
	switch {
	case k.err != nil:
	case !p.know(k.Conn):
		k.fail(errClosed)
	case k.fd >= 0 && !k.enlist():
		k.fd = -1
	default:
		k.vanish(p.vanished())
	}
	return k.Conn
}

func newConn(under net.Conn) *Conn {
	var c *Conn
	if t, ok := under.(*tcp); ok {
		c = &t.conn
	} else {
		c = new(Conn)
	}
	c.under, c.fd = under, bareSocket(under)
	return c
}

// know adds a connection. It is false after Shutdown.
func (p *Poller) know(c *Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.down {
		p.conns[c] = struct{}{}
	}
	return !p.down
}

// Shutdown closes the connections that wait for a request and returns when all
// others are closed. When the context is done first, it closes those, too, and
// returns the context's error.
func (p *Poller) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.down = true
	reuses := p.reuses
	p.reuses = nil
	p.mu.Unlock()
	for _, u := range reuses {
		if u.retire(); u.listener == nil {
			u.Close()
		}
	}
	var err error
	for wait := time.Millisecond; err == nil && p.open() > 0; wait = min(2*wait, 50*time.Millisecond) {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			err = ctx.Err()
			p.closeAll()
		case <-t.C:
		}
		t.Stop()
	}
	ended := make(chan struct{})
	go func() { // ends with the last of the connections' goroutines
		p.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return err
}

func (p *Poller) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *Poller) closeAll() {
	p.mu.Lock()
	conns := slices.Collect(maps.Keys(p.conns))
	p.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

func (p *Poller) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// minding is the minder of all connections of the process.
var minding minder

// A minder looks, from time to time, at connections that wait for something
// with a deadline. It has a timer only while there are some.
type minder struct {
	mu    sync.Mutex
	conns map[*Conn]struct{}
	clock *time.Timer
}

// mindEvery is how late a deadline may be noticed.
const mindEvery = 100 * time.Millisecond

func (m *minder) add(c *Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conns == nil {
		m.conns = make(map[*Conn]struct{})
	}
	m.conns[c] = struct{}{}
	switch {
	case len(m.conns) > 1:
	case m.clock == nil:
		m.clock = time.AfterFunc(mindEvery, m.look)
	default:
		m.clock.Reset(mindEvery)
	}
}

// look runs on the clock's goroutine, which ends with it.
func (m *minder) look() {
	m.mu.Lock()
	conns := slices.Collect(maps.Keys(m.conns))
	m.mu.Unlock()
	now := time.Now()
	for _, c := range conns {
		c.mind(now)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range conns {
		if !c.minded.Load() {
			delete(m.conns, c)
		}
	}
	if len(m.conns) > 0 {
		m.clock.Reset(mindEvery)
	}
}
