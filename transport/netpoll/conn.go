package netpoll

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
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
	under  net.Conn
	owner  Owner
	poller *Poller // nil while http.Server or another has the connection
	reuse  *reuse  // where it goes back to, or nil
	head   []byte  // read before under is
	minded atomic.Bool

	flushes atomic.Bool // something is left over; set with mu held
	drains  atomic.Bool // it is among those that drain; set with mu held

	mu    sync.Mutex // guards the rest
	sent  int32      // bytes that the socket has taken since it was last to drain
	err   error      // for ever
	fd    int32      // of a bare socket that epoll can watch, otherwise -1; not to be used after err
	set   *epollSet  // that the connection is in, or nil
	stamp int32      // tells this connection's events from those of the fd's last one
	added int32      // bytes written since something is left over
	gone  int32      // the socket's TCP_USER_TIMEOUT, in milliseconds

	readable bool    // something has come that no read has found yet
	ended    bool    // the peer has ended its side, or the connection is broken
	asleep   *Buffer // that a goroutine waits to fill, or nil
	waits    waiting
	works    bool  // a goroutine works for the connection
	shift    int32 // tells that goroutine from those before it
	then     next  // what to do once nothing is left over
	last     bool  // nothing more may be written

	readBy int64  // the read deadline, or 0
	rest   []byte // what is left over
	place  place  // in a line of reuse
}

// A waiting is what a connection waits for.
type waiting uint8

const (
	nothing waiting = iota
	input           // bytes to read
	hangup          // the peer's end of the connection
	request         // the next request of an HTTP connection
)

// A next is what comes after everything is written.
type next uint8

const (
	stay next = iota
	leave
	giveBack
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

// Watch has o's Ready called when the peer has gone, or has ended its side. What the
// peer sends is left unread. It does nothing where the connection is no longer o's:
// who finishes a response before the first Watch is not told of a peer that ended its
// side with its request, and reads the answer all the same.
func (c *Conn) Watch(o Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owner == o {
		c.waits = hangup
		c.park()
	}
}

// park has what is waited for rouse the connection: what has come already does
// so now, the epoll set or, where that does not have the connection, a goroutine
// of its own tells of what comes. c.mu is held.
func (c *Conn) park() {
	if c.readBy != 0 && c.fd >= 0 && c.waits == input {
		c.mindLater()
	}
	c.rouse()
}

// rouse wakes who waits for what has come. c.mu is held.
func (c *Conn) rouse() {
	if p := c.roused(); p != nil {
		go c.work(p)
	}
}

// roused is rouse, but that the caller is to call work where the Poller is not nil.
// c.mu is held.
func (c *Conn) roused() *Poller {
	switch {
	case c.asleep != nil:
		c.asleep.filled <- struct{}{}
		c.asleep = nil
		return nil
	case c.waits == hangup && (c.ended && c.then != giveBack || c.err != nil):
		c.waits = nothing
		c.poller.work.Add(1)
		go c.poller.tellGone(c.owner)
		return nil
	case c.works:
		return nil
	case c.waits == input && (c.come() || c.over()), c.waits == request && c.come() && c.err == nil:
	case c.waits != nothing && c.fd < 0 && c.err == nil:
	default:
		return nil
	}
	c.works = true
	c.poller.work.Add(1)
	return c.poller
}

// come tells whether something may have come. c.mu is held.
func (c *Conn) come() bool { return c.readable || c.ended || len(c.head) > 0 }

// over tells whether all reads fail. c.mu is held.
func (c *Conn) over() bool {
	return c.err != nil || c.readBy != 0 && time.Now().UnixNano() >= c.readBy
}

func (p *Poller) tellGone(o Owner) {
	defer p.work.Done()
	o.Ready(nil)
}

// work calls Ready each time that something has come, until the connection is
// parked, waits for nothing, or is another goroutine's.
func (c *Conn) work(p *Poller) {
	b := lend(c)
	defer b.giveBack()
	defer func() {
		if !b.dismissed {
			p.work.Done()
		}
	}()
	c.mu.Lock()
	shift := c.shift
	c.mu.Unlock()
	for c.next(b, shift) {
		c.owner.Ready(b)
	}
}

// dismiss ends a goroutine's work for the connection, although it is still in
// Ready. c.mu is held.
func (c *Conn) dismiss() {
	c.works = false
	c.shift++
}

// next tells whether something is there to be read, and waits for that where the
// epoll set does not. After false nobody works for the connection.
func (c *Conn) next(b *Buffer, shift int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	come := false
	for c.shift == shift && (c.waits == input || c.waits == request) {
		switch {
		case come || c.over() || c.ended || b.Buffered() > 0:
			c.waits = nothing
			return true
		case c.fd < 0 || c.come():
			come = c.fill(b) != errNothing
		default:
			c.works = false
			c.park()
			return false
		}
	}
	if c.shift != shift {
		return false
	}
	if c.waits == hangup && c.err == nil && c.fd < 0 {
		c.stare(b)
	}
	c.works = false
	if c.err != nil {
		c.rouse() // for a watch that the end came before
	}
	return false
}

// fill reads what has come to a bare socket, or waits for another connection's
// bytes. c.mu is held, but for that time.
func (c *Conn) fill(b *Buffer) error {
	c.mu.Unlock()
	defer c.mu.Lock()
	b.hasty = true
	_, err := b.Peek(1)
	b.hasty = false
	return err
}

// sleep waits until the connection is roused. c.mu is held, but for that time.
func (c *Conn) sleep(b *Buffer) {
	if c.readBy != 0 {
		c.mindLater()
	}
	c.asleep = b
	c.mu.Unlock()
	<-b.filled
	c.mu.Lock()
}

// receive reads from a bare socket. Where nothing has come it waits, or returns
// errNothing if b is hasty.
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
		if err != errNothing || b.hasty {
			return n, err
		}
		c.sleep(b)
	}
}

// stare watches for the peer's end of a connection that epoll cannot watch. It
// keeps what comes instead. While the last bytes are being written, the write
// tells whether the peer gets them, and nothing is to be read from its end. c.mu
// is held, but for the time it waits.
func (c *Conn) stare(b *Buffer) {
	c.mu.Unlock()
	_, err := b.Peek(1)
	c.mu.Lock()
	if err != nil && c.waits == hangup && c.then != giveBack {
		c.ended = true
		c.rouse()
	}
}

// mindLater has the minder look at the connection.
func (c *Conn) mindLater() {
	if c.minded.CompareAndSwap(false, true) {
		minding.add(c)
	}
}

// mind looks at the read deadline of a bare socket.
func (c *Conn) mind(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	more := false
	if c.readBy != 0 && c.err == nil && (c.asleep != nil || !c.works && c.waits == input) {
		if now.UnixNano() < c.readBy {
			more = true
		} else {
			c.rouse()
		}
	}
	c.minded.Store(more)
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// SetReadDeadline sets when Ready is called at the latest, and reads of its Buffer
// fail. It may be noticed 0.1 s late.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy = 0
	if !t.IsZero() {
		c.readBy = t.UnixNano()
	}
	if c.err != nil {
		return c.err
	}
	if c.fd < 0 {
		return c.under.SetReadDeadline(t)
	}
	if c.readBy != 0 {
		c.mindLater()
	}
	return nil
}

// Read reads past the Buffer. Only who has the Buffer may call it.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.under.Read(p)
	}
	n := copy(p, c.head)
	if c.head = c.head[n:]; len(c.head) == 0 {
		c.head = nil
	}
	return n, nil
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
	if c.gone == 0 && c.poller != nil {
		c.vanish(c.poller.vanished()) // the kernel goes on with what it has
	}
	c.err, c.rest = err, nil
	c.flushes.Store(false)
	c.delist()
	c.under.Close()
	if c.poller != nil {
		c.rouse() // before Shutdown may find the poller empty
		c.poller.forget(c)
	}
	c.leaveLine()
}
