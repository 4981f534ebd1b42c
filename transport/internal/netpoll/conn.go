package netpoll

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"switchback/session/memory"
)

// addLimit is the number of bytes that Write takes while something is left over.
const addLimit = 64 << 10

// An Owner is what a connection calls, on goroutines of the connection's and
// with no lock held.
type Owner interface {
	// Ready is called once after each Arm or Watch, when what was waited for
	// has come, unless Finish came first. After Arm b can be read: it has at
	// least a byte, or its error. It is lent until Ready returns. After Watch it
	// is nil: the peer has gone, or the connection has failed.
	Ready(b *Buffer)

	// Flushed is called after each time that something was left over from
	// Write and has been taken.
	Flushed()
}

// A Conn is a connection whose Write never waits. Its methods may be called
// from any goroutine.
type Conn struct {
	under net.Conn
	owner Owner
	group *Group      // nil while it is released; set with mu held
	wire  *wire       // of TLS, or nil: plain; set with mu held
	head  []byte      // read before under, or the wire, is
	timed atomic.Bool // its read deadline is watched

	flushes atomic.Bool // something is left over; set with mu held
	drains  atomic.Bool // it is among those that drain; set with mu held

	mu          sync.Mutex // guards the rest
	sent        int32      // bytes that the socket has taken since it was last to drain
	err         error      // for ever
	fd          int32      // of a bare socket that epoll can watch, otherwise -1; not to be used after err
	stamp       int32      // tells this connection's events from those of the fd's last one
	set         *epollSet  // that the connection is in, or nil
	added       int32      // bytes written since something is left over
	userTimeout int32      // the socket's TCP_USER_TIMEOUT, in milliseconds

	asleep     *Buffer // that a goroutine waits to fill, or nil
	generation int32   // incremented when the connection is taken from the goroutine that claimed it, so that this one notices and stops
	claimed    bool    // a goroutine works for the connection
	waits      waiting
	readable   bool // something has come that no read has found yet
	ended      bool // the peer has ended its side, or the connection is broken
	last       bool // nothing more may be written
	leaves     bool // the connection is closed once nothing is left over

	then         func(*Conn) // called once nothing is left over, or nil
	readBy       int64       // the read deadline, or 0
	writeTimeout time.Duration
	rest         *memory.Pieces // what is left over, or nil
	place        place          // in an IdleLine
}

// A waiting is what a connection waits for.
type waiting uint8

const (
	nothing waiting = iota
	input           // bytes to read
	hangup          // the peer's end of the connection
)

// Own has the connection call o from now on.
func (c *Conn) Own(o Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owner = o
}

// Arm has Ready called when there is something to read. The connection is
// parked until then.
func (c *Conn) Arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = input
	c.park()
}

// OwnAndWatch is Own, and then Watch. The connection leaves its IdleLine.
func (c *Conn) OwnAndWatch(o Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLine()
	c.owner, c.waits = o, hangup
	c.park()
}

// Parks tells whether the connection costs no goroutine while it waits.
func (c *Conn) Parks() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd >= 0
}

// Wrapped tells whether there is something between the connection and its socket, so
// that it can never be parked.
func (c *Conn) Wrapped() bool { return !isBare(c.under) }

// Watch has o's Ready called when the peer has gone, or has ended its side. What the
// peer sends is left unread. It does nothing where the connection is no longer o's:
// who calls WriteThen before the first Watch is not told of a peer that has ended its
// side already.
func (c *Conn) Watch(o Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owner == o {
		c.waits = hangup
		c.park()
	}
}

// park starts waiting. If the event has already happened the connection is woken now;
// otherwise epoll wakes it or, for a connection that epoll cannot watch, a goroutine
// of its own. c.mu is held.
func (c *Conn) park() {
	if c.readBy != 0 && c.fd >= 0 && c.waits == input {
		c.watchDeadline()
	}
	c.wake()
}

// wake wakes who waits for what has come. c.mu is held.
func (c *Conn) wake() {
	if g := c.claimWork(); g != nil {
		go c.work(g)
	}
}

// claimWork is wake for callers that can work themselves: if it returns a Group, the
// caller must call work with it. c.mu is held.
func (c *Conn) claimWork() *Group {
	switch {
	case c.asleep != nil:
		c.asleep.filled <- struct{}{}
		c.asleep = nil
		return nil
	case c.waits == hangup && (c.ended && c.then == nil || c.err != nil):
		c.waits = nothing
		c.group.work.Add(1)
		go c.group.tellGone(c.owner)
		return nil
	case c.claimed:
		return nil
	case c.waits == input && (c.come() || c.over()):
	case c.listens():
	case c.waits != nothing && c.fd < 0 && c.err == nil:
	default:
		return nil
	}
	c.claimed = true
	c.group.work.Add(1)
	return c.group
}

// come tells whether something may have come. c.mu is held.
func (c *Conn) come() bool {
	return c.readable || c.ended || len(c.head) > 0 || c.wire != nil && c.wire.more
}

// over tells whether all reads fail. c.mu is held.
func (c *Conn) over() bool {
	return c.err != nil || c.readBy != 0 && time.Now().UnixNano() >= c.readBy
}

func (g *Group) tellGone(o Owner) {
	defer g.work.Done()
	o.Ready(nil)
}

// work calls Ready each time that something has come, until the connection is
// parked, waits for nothing, or is another goroutine's.
func (c *Conn) work(g *Group) {
	b := lend(c)
	b.worksFor = g
	defer b.giveBack()
	defer func() {
		if b.worksFor != nil {
			g.work.Done()
		}
	}()
	c.mu.Lock()
	generation := c.generation
	c.mu.Unlock()
	for c.next(b, generation) {
		c.owner.Ready(b)
	}
}

// next tells whether something is there to be read, and waits for that where the
// epoll set does not. After false nobody works for the connection.
func (c *Conn) next(b *Buffer, generation int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	come := false
	for c.generation == generation && (c.waits == input || c.listens()) {
		switch {
		case c.waits != input:
			c.listen(b)
		case come || c.over() || c.ended || b.Buffered() > 0:
			c.waits = nothing
			return true
		case c.fd < 0 || c.come():
			come = c.fill(b) != errNothing
		default:
			c.claimed = false
			c.park()
			return false
		}
	}
	if c.generation != generation {
		return false
	}
	if c.waits == hangup && c.err == nil && c.fd < 0 {
		c.watchByReading(b)
	}
	c.claimed = false
	if c.err != nil || c.wire != nil {
		c.wake() // for a watch that the end came before
	}
	return false
}

// fill reads what has come to a bare socket, or waits for another connection's
// bytes. c.mu is held, but for that time.
func (c *Conn) fill(b *Buffer) error {
	c.mu.Unlock()
	defer c.mu.Lock()
	b.nonblocking = true
	_, err := b.Peek(1)
	b.nonblocking = false
	return err
}

// sleep waits until the connection is woken. c.mu is held, but for that time.
func (c *Conn) sleep(b *Buffer) {
	if c.readBy != 0 {
		c.watchDeadline()
	}
	c.asleep = b
	c.mu.Unlock()
	<-b.filled
	c.mu.Lock()
}

// receive reads from a bare socket. Where nothing has come it waits, or returns
// errNothing if b is nonblocking.
func (c *Conn) receive(b *Buffer, p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.err != nil:
			return 0, c.err
		case c.over():
			return 0, os.ErrDeadlineExceeded
		}
		n, err := c.recv(p)
		c.readable = n == len(p)
		if err != errNothing || b.nonblocking {
			return n, err
		}
		c.sleep(b)
	}
}

// watchByReading watches for the peer's end of a connection that epoll cannot watch.
// What comes instead is kept. While the last bytes are being written, the write
// tells whether the peer gets them, and nothing is to be read from its end. c.mu
// is held, but for the time it waits.
func (c *Conn) watchByReading(b *Buffer) {
	c.mu.Unlock()
	_, err := b.Peek(1)
	c.mu.Lock()
	if err != nil && c.waits == hangup && c.then == nil {
		c.ended = true
		c.wake()
	}
}

// Read reads past the Buffer. Only who has the Buffer may call it.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.under.Read(p)
	}
	return c.readHead(p), nil
}

// readHead reads what has been read before.
func (c *Conn) readHead(p []byte) int {
	n := copy(p, c.head)
	if c.head = c.head[n:]; len(c.head) == 0 {
		c.head = nil
	}
	return n
}

// Close closes the connection now. Who waits for it or reads it learns that.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(errClosed)
	return nil
}

// fail ends the connection, unless it has ended. c.mu is held.
func (c *Conn) fail(err error) {
	if c.err != nil {
		return
	}
	if c.userTimeout == 0 && c.group != nil {
		c.setUserTimeout(c.vanishedAfter()) // the kernel goes on with what it has
	}
	if c.wire != nil {
		c.wire.leave(err)
	}
	drop(c.rest)
	c.err, c.rest, c.then = err, nil, nil
	c.flushes.Store(false)
	c.delist()
	c.under.Close()
	if c.resting() {
		c.waits = nothing // nobody is told of the end of a connection that rests
	}
	c.leaveLine()
	if c.group != nil {
		c.wake() // before Shutdown may find the Group empty
		c.leave()
	}
}
