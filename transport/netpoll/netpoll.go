// Package netpoll is the seam between transports and the network: connections
// whose writes never wait, and which say when they can be read.
//
// A [Conn] writes what its socket takes at once, keeps the rest and writes that
// when the socket can take more. So a peer that does not read costs its own
// bounded rest and nothing else: no caller of Write waits for it.
//
// A connection waits for its peer on a goroutine of its own, and writes what
// was left over on another, which lives while something is left over.
package netpoll

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

var (
	// ErrFull is the end of a connection whose peer makes it write, with
	// pings for one, and does not read.
	ErrFull = errors.New("netpoll: peer does not read")

	errClosed = errors.New("netpoll: connection is closed")
)

// restLimit is the number of bytes that Write takes while a rest is left over.
const restLimit = 64 << 10

// pieceSize is the number of bytes that a peer must take within the write
// timeout.
const pieceSize = 64 << 10

// readBufferSize is enough for most messages; larger ones are read past it.
const readBufferSize = 2048

// A Poller owns connections. Its methods may be called from any goroutine.
type Poller struct {
	writeTimeout time.Duration

	mu    sync.Mutex
	conns map[*Conn]struct{}
	work  sync.WaitGroup // goroutines of the connections
}

// New returns a Poller whose peers must take what is written to them within
// writeTimeout.
func New(writeTimeout time.Duration) *Poller {
	return &Poller{writeTimeout: writeTimeout, conns: make(map[*Conn]struct{})}
}

// A Conn is a net.Conn whose Write never waits. Write, Arm and Close may be
// called from any goroutine; reads belong to the function that Arm calls.
type Conn struct {
	net.Conn
	poller *Poller
	reader *bufio.Reader
	head   []byte  // read before the connection
	socket *socket // nil where the connection is not a bare socket

	mu      sync.Mutex
	err     error // for ever
	flushed func()
	rest    []byte // what the flushing goroutine has yet to take
	last    bool   // close when nothing is left over
	flushes bool   // the flushing goroutine lives
	ready   func() // what Arm was given
	waits   bool   // the waiting goroutine lives
}

// Conn takes over c. What was read from it already is read first.
func (p *Poller) Conn(c net.Conn, read []byte) *Conn {
	k := &Conn{Conn: c, poller: p, head: read, socket: bareSocket(c)}
	k.reader = bufio.NewReaderSize(k, readBufferSize)
	p.mu.Lock()
	p.conns[k] = struct{}{}
	p.mu.Unlock()
	return k
}

// Reader is the buffer through which the connection is read.
func (c *Conn) Reader() *bufio.Reader { return c.reader }

// Read reads past Reader, which reads by it.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.head)
	c.head = c.head[n:]
	return n, nil
}

// SetWriteDeadline does nothing: the Poller's write timeout is in force.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the read deadline: the write timeout is the Poller's.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// OnFlushed has f called after each time that something was left over and has
// been taken. It must be called before the first Write. f runs on a goroutine
// of the connection and may write.
func (c *Conn) OnFlushed(f func()) { c.flushed = f }

// Pending tells whether something is left over from earlier writes.
func (c *Conn) Pending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushes
}

// Write takes all of p, or fails for ever. It does not wait for the peer.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	n := 0
	if !c.flushes && c.socket != nil {
		var err error
		if n, err = c.socket.try(p); err != nil {
			c.fail(err)
			return 0, err
		}
	}
	if n == len(p) {
		return n, nil
	}
	if c.flushes && len(c.rest)+len(p) > restLimit {
		c.fail(ErrFull)
		return 0, ErrFull
	}
	c.rest = append(c.rest, p[n:]...)
	if !c.flushes {
		c.flushes = true
		c.poller.work.Go(c.flush)
	}
	return len(p), nil
}

// fail ends the connection, unless it has ended; whoever reads it learns that.
// c.mu is held.
func (c *Conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err, c.rest = err, nil
	c.Conn.Close()
	c.poller.mu.Lock()
	defer c.poller.mu.Unlock()
	delete(c.poller.conns, c)
}

// flush writes what is left over, until nothing is.
func (c *Conn) flush() {
	for {
		c.mu.Lock()
		rest := c.rest
		c.rest = nil
		if len(rest) == 0 {
			c.flushes = false
			last, flushed := c.last, c.flushed
			c.mu.Unlock()
			if last {
				c.Close()
			} else if flushed != nil {
				flushed()
			}
			return
		}
		c.mu.Unlock()
		if err := c.put(rest); err != nil {
			c.mu.Lock()
			c.flushes = false
			c.fail(err)
			c.mu.Unlock()
			return
		}
	}
}

// put writes p, and waits for the peer as long as it takes something.
func (c *Conn) put(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), pieceSize)
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.poller.writeTimeout)); err != nil {
			return err
		}
		if _, err := c.Conn.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return c.Conn.SetWriteDeadline(time.Time{})
}

// Arm has f called once, when the connection can be read or has failed: then
// Reader has at least a byte, or its error. f may call Arm again.
func (c *Conn) Arm(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = f
	if !c.waits {
		c.waits = true
		c.poller.work.Go(c.wait)
	}
}

// wait waits for the peer and calls what was armed, until nothing is.
func (c *Conn) wait() {
	for {
		c.reader.Peek(1) // its error is met again by who reads
		c.mu.Lock()
		f := c.ready
		c.ready = nil
		if f == nil {
			c.waits = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		f()
		c.mu.Lock()
		if c.ready == nil {
			c.waits = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// CloseFlushed closes the connection once nothing is left over.
func (c *Conn) CloseFlushed() {
	c.mu.Lock()
	if c.flushes {
		c.last = true
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.Close()
}

// Close closes the connection now. Who reads it learns that.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(errClosed)
	return nil
}

// Shutdown returns when all connections are closed. When the context is done
// first, it closes them and returns its error.
func (p *Poller) Shutdown(ctx context.Context) error {
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
	p.work.Wait()
	return err
}

func (p *Poller) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *Poller) closeAll() {
	p.mu.Lock()
	conns := make([]*Conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}
