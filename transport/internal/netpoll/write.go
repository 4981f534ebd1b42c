package netpoll

import (
	"time"

	"switchback/session/memory"
)

// pieceSize is the number of bytes that a peer must take within the write
// timeout, where a goroutine writes.
const pieceSize = 64 << 10

// DefaultWriteTimeout is that of connections for which none is set.
const DefaultWriteTimeout = 10 * time.Second

// SetWriteTimeout sets how long the peer may take nothing of what is written. The
// default is 10 seconds.
func (c *Conn) SetWriteTimeout(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeTimeout = d
	c.setUserTimeout(c.vanishedAfter())
}

// Pending tells whether something is left over from earlier writes.
func (c *Conn) Pending() bool { return c.flushes.Load() }

// Write takes all of p, or fails for ever. It does not wait for the peer, and
// keeps nothing of p. After WriteLast it does nothing.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.WritePieces(&memory.Pieces{Bytes: p}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WritePieces is Write for Pieces. What is left over goes on holding their forms. They
// are used up: the caller has to Reset them.
func (c *Conn) WritePieces(p *memory.Pieces) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offer(p, false)
}

// WriteLast is WritePieces for bytes that nothing may follow.
func (c *Conn) WriteLast(p *memory.Pieces) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.offer(p, false)
	c.last = true
	return err
}

// offer writes what the socket takes of p now, and has the rest written later.
// With ends the connection is closed next, and both leave in one packet. c.mu is
// held.
func (c *Conn) offer(p *memory.Pieces, ends bool) error {
	if c.last {
		return nil
	}
	if c.err != nil {
		return c.err
	}
	if !c.flushes.Load() && c.fd >= 0 {
		n, err := c.try(p, ends)
		if err != nil {
			c.fail(err)
			return err
		}
		if c.sent += int32(min(n, drainAfter)); c.sent >= drainAfter {
			c.sent = 0
			c.drainLater()
		}
	}
	size := p.Len()
	if size == 0 && (c.wire == nil || c.wire.left() == 0) {
		return nil
	}
	if c.flushes.Load() {
		if size > addLimit-int(c.added) {
			c.fail(ErrFull)
			return ErrFull
		}
		c.added += int32(size)
	}
	c.keep(p)
	if !c.flushes.Load() {
		c.added = 0
		c.flushes.Store(true)
		c.flushLater()
	}
	return nil
}

// try is push for what is to be encrypted first, if it is. c.mu is held.
func (c *Conn) try(p *memory.Pieces, ends bool) (n int, err error) {
	if c.wire != nil {
		return c.wire.try(p, ends)
	}
	return c.push(p, ends)
}

// keep adds p to what is left over, which is counted. c.mu is held.
func (c *Conn) keep(p *memory.Pieces) {
	if c.rest == nil {
		c.rest = new(memory.Pieces)
	}
	before := c.rest.Own()
	c.rest.Move(p)
	memory.Add(c.rest.Own() - before)
}

// drop gives back what was left over and is not needed any more.
func drop(rest *memory.Pieces) {
	if rest != nil {
		memory.Add(-rest.Own())
		rest.Reset()
	}
}

// flushLater has what is left over written when the socket can take more. c.mu
// is held.
func (c *Conn) flushLater() {
	if c.fd >= 0 {
		c.drainLater()
		return
	}
	c.group.work.Add(1)
	go c.flush(c.group)
}

// flushSome writes what the socket takes. c.mu is held.
func (c *Conn) flushSome() {
	before := c.rest.Own()
	_, err := c.try(c.rest, c.leaves)
	memory.Add(c.rest.Own() - before)
	if err != nil {
		c.fail(err)
		return
	}
	if c.rest.Len() == 0 && (c.wire == nil || c.wire.left() == 0) {
		c.flushed()
	}
}

// flushed goes on after everything is written. c.mu is held.
func (c *Conn) flushed() {
	drop(c.rest)
	c.rest = nil
	c.flushes.Store(false)
	switch {
	case c.leaves:
		c.fail(errClosed)
	case c.then != nil:
		c.group.work.Add(1)
		go c.group.callThen(c, c.disowned())
	default:
		c.group.work.Add(1)
		go c.group.tellFlushed(c.owner)
	}
}

// callThen and tellFlushed are goroutines, which end with what they call.
func (g *Group) callThen(c *Conn, then func(*Conn)) {
	defer g.work.Done()
	then(c)
}

func (g *Group) tellFlushed(o Owner) {
	defer g.work.Done()
	o.Flushed()
}

// flush writes what is left over on a goroutine, until nothing is.
func (c *Conn) flush(g *Group) {
	defer g.work.Done()
	for {
		c.mu.Lock()
		p, timeout := c.rest, c.writeTimeout
		c.rest = nil
		if c.err != nil || p == nil {
			if c.err == nil {
				c.flushed()
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		own := p.Own()
		err := c.put(p, timeout)
		p.Reset()
		memory.Add(-own)
		if err != nil {
			c.mu.Lock()
			c.fail(err)
			c.mu.Unlock()
			return
		}
	}
}

// put writes p, and waits for the peer as long as it takes something.
func (c *Conn) put(p *memory.Pieces, timeout time.Duration) error {
	for piece := range p.Chunks(pieceSize) {
		if hoards(p) {
			return ErrFull
		}
		if err := c.under.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if _, err := c.under.Write(piece); err != nil {
			return err
		}
	}
	return c.under.SetWriteDeadline(time.Time{})
}

// WriteThen writes p as WritePieces does, after which the connection has no Owner, and calls f once all
// is written: f decides what becomes of the connection. It is called by WriteThen or,
// where something is left over, on a goroutine of the connection's; not where the
// connection fails before. That the peer goes once it has the bytes is no end that
// Ready is called for; that it does not get them is.
func (c *Conn) WriteThen(p *memory.Pieces, f func(*Conn)) {
	if c.writeThen(p, f) {
		f(c)
	}
}

// writeThen tells whether all is written already.
func (c *Conn) writeThen(p *memory.Pieces, f func(*Conn)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offer(p, false) != nil {
		return false
	}
	c.then = f
	if c.flushes.Load() {
		return false
	}
	c.disowned()
	return true
}

// disowned takes the connection from its Owner, and returns what is to be called
// then. c.mu is held.
func (c *Conn) disowned() (then func(*Conn)) {
	then = c.then
	c.owner, c.waits, c.then = nil, nothing, nil
	return then
}

// End writes the last bytes and closes the connection once they are written. It
// writes nothing after WriteLast.
func (c *Conn) End(p *memory.Pieces) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offer(p, true)
	c.last = true
	c.closeFlushed()
}

// CloseFlushed closes the connection once nothing is left over.
func (c *Conn) CloseFlushed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeFlushed()
}

// closeFlushed is CloseFlushed. c.mu is held.
func (c *Conn) closeFlushed() {
	c.leaves = true
	if !c.flushes.Load() {
		c.fail(errClosed)
	}
}
