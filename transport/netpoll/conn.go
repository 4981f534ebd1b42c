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

// lingerTime is how long a busy connection keeps its goroutine, and how soon one
// is given another to be busy. One that gets a message now and then would pay for
// lingering and for parking each time.
const lingerTime = time.Second

// lingerLooks is how often the minder looks at a connection that lingers before
// it takes its goroutine.
const lingerLooks = int8(lingerTime/mindEvery) + 1

// An Owner is what a connection calls, on goroutines of the connection's and
// with no lock held.
type Owner interface {
	// Ready is called once after each Arm, Linger or Watch, when what was
	// waited for has come, unless Finish came first. After Arm and Linger b can
	// be read: it has at least a byte, or its error. It is lent until Ready
	// returns. After Watch it is nil: the peer has gone, or the connection has
	// failed.
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
	poller *Poller // nil while http.Server has the connection
	reuse  *reuse  // where it goes back to, or nil
	head   []byte  // read before under is
	minded atomic.Bool

	flushes atomic.Bool // something is left over; set with mu held

	mu    sync.Mutex // guards the rest
	err   error      // for ever
	fd    int32      // of a bare socket, otherwise -1; not to be used after err
	stamp int32      // tells this connection's events from those of the fd's last one
	armed uint32     // what the epoll set will report; nobody reads before it has
	added int32      // bytes written since something is left over
	known bool       // to the epoll set

	waits   waiting
	works   bool // a goroutine is in Ready, or lingers
	busy    bool // it was employed twice within lingerTime
	lively  bool // linger before parking, if busy
	lingers int8 // looks of the minder that are left, or 0
	kicked  bool // the minder has ended the lingering
	early   bool // the peer sent something while its end was waited for
	then    next // what to do once nothing is left over
	last    bool // nothing more may be written

	since   int64  // when it was last employed, in nanoseconds
	readBy  int64  // the read deadline, or 0
	writeBy int64  // when the peer must have taken some of rest, in nanoseconds
	rest    []byte // what is left over
	place   place  // among the idle connections of reuse
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

func newConn(under net.Conn, writeTimeout time.Duration) *Conn {
	return &Conn{under: under, fd: bareSocket(under, writeTimeout)}
}

// Own has the connection call o from now on.
func (c *Conn) Own(o Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owner = o
}

// Arm has Ready called when there is something to read. The connection is
// parked until then.
func (c *Conn) Arm() { c.await(input, false) }

// Linger is Arm for a connection that may be busy: if it is, it keeps its
// goroutine for a moment before it is parked.
func (c *Conn) Linger() { c.await(input, true) }

// Watch has Ready called when the peer has gone. What the peer sends is left
// unread.
func (c *Conn) Watch() { c.await(hangup, false) }

// watchSoon is Watch from the minder's next look on. Most requests are answered
// before. c.works is true.
func (c *Conn) watchSoon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits = hangup; c.err != nil {
		c.rouse()
		return
	}
	c.mindLater()
}

func (c *Conn) await(what waiting, lively bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits, c.lively = what, lively
	if !c.works || what == hangup && c.fd >= 0 { // which needs no goroutine
		c.park()
	}
}

// park has epoll watch for what is waited for or, where it cannot, a goroutine.
// c.mu is held.
func (c *Conn) park() {
	switch {
	case c.err != nil:
		c.rouse()
	case c.waits == hangup && c.fd >= 0:
		if !c.arm() {
			c.fail(errClosed)
		}
	case len(c.head) > 0 && c.waits == input, !c.arm():
		c.employ(false)
	case c.readBy != 0 && c.waits == input:
		c.mindLater()
	}
}

// rouse calls Ready where it is waited for, but for a request that will not come.
// c.mu is held.
func (c *Conn) rouse() {
	switch {
	case c.waits == hangup:
		c.waits = nothing
		c.poller.work.Add(1)
		go c.poller.tellGone(c.owner)
	case !c.works && (c.waits == input || c.waits == request && c.err == nil):
		c.found()
		c.employ(true)
	}
}

// employ gives the connection a goroutine. c.mu is held.
func (c *Conn) employ(come bool) {
	c.works = true
	now := time.Now().UnixNano()
	c.busy, c.since = now-c.since < int64(lingerTime), now
	c.poller.work.Add(1)
	go c.work(come)
}

func (p *Poller) tellGone(o Owner) {
	defer p.work.Done()
	o.Ready(nil)
}

// work calls Ready each time that something has come, and at once if it has
// come already. It ends when the connection is parked or waits for nothing.
func (c *Conn) work(come bool) {
	p := c.poller
	defer p.work.Done()
	b := lend(c)
	defer b.giveBack()
	for come || c.come(b, p) {
		come = false
		c.owner.Ready(b)
	}
}

// come waits, where the connection keeps its goroutine, and tells whether
// something has come. After false the goroutine has ended.
func (c *Conn) come(b *Buffer, p *Poller) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waits == input || c.waits == request {
		if c.err != nil || b.Buffered() > 0 {
			c.found()
			return true
		}
		if c.fd >= 0 && (!c.lively || !c.busy || c.armed != 0 || c.poller != p) && len(c.head) == 0 {
			c.works = false
			if c.arm() {
				if c.readBy != 0 {
					c.mindLater()
				}
				return false
			}
			c.works = true
		}
		if c.linger(b) {
			c.found()
			return true
		}
		c.lively = false
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

// found ends a wait. c.mu is held.
func (c *Conn) found() {
	if c.waits == request {
		c.reuse.drop(c)
	}
	c.waits, c.early = nothing, false
}

// linger waits for bytes in b, on the Go runtime's poller. It is false when the
// minder has ended it. c.mu is held, but for the time it waits.
func (c *Conn) linger(b *Buffer) bool {
	c.lingers = lingerLooks
	if c.fd >= 0 {
		c.mindLater()
	}
	c.mu.Unlock()
	_, err := b.Peek(1)
	c.mu.Lock()
	c.lingers = 0
	if !c.kicked {
		return true
	}
	c.kicked = false
	c.setReadDeadline()
	return !os.IsTimeout(err)
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
		c.works = false
		c.rouse()
	}
}

// mindLater has the minder look at the connection.
func (c *Conn) mindLater() {
	if c.minded.CompareAndSwap(false, true) {
		minding.add(c)
	}
}

// mind looks at the deadlines.
func (c *Conn) mind(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, more := now.UnixNano(), false
	if c.err == nil && c.flushes.Load() {
		if more = at < c.writeBy; !more {
			c.fail(ErrTimeout)
		}
	}
	if c.waits == hangup && c.fd >= 0 && c.err == nil && !c.arm() {
		c.fail(errClosed)
	}
	if c.lingers > 0 && c.err == nil {
		more = true
		if c.lingers > 1 {
			c.lingers--
		} else if !c.kicked {
			c.kicked = true
			c.under.SetReadDeadline(past)
		}
	}
	if !c.works && c.waits == input && c.readBy != 0 && c.err == nil {
		if at < c.readBy {
			more = true
		} else {
			c.withdraw()
			c.rouse()
			c.arm() // for what is left over
		}
	}
	c.minded.Store(more)
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// SetReadDeadline sets when Ready is called at the latest, and reads fail.
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
	if c.readBy != 0 && !c.works && c.waits == input {
		c.mindLater()
	}
	return c.setReadDeadline()
}

// setReadDeadline brings the deadline to the socket. c.mu is held.
func (c *Conn) setReadDeadline() error {
	if c.kicked {
		return nil // linger will
	}
	if c.readBy == 0 {
		return c.under.SetReadDeadline(time.Time{})
	}
	return c.under.SetReadDeadline(time.Unix(0, c.readBy))
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
	c.err, c.rest = err, nil
	c.flushes.Store(false)
	if c.known {
		c.disarm()
	}
	c.under.Close()
	if c.poller != nil {
		c.rouse() // before Shutdown may find the poller empty
		c.poller.forget(c)
	}
	if c.waits == request {
		c.waits = nothing
		c.reuse.drop(c)
	}
}
