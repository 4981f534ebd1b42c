package netpoll

import (
	"math"
	"sync"
	"time"
)

// An IdleLine holds connections that rest, the one that has rested longest first,
// and closes those that have rested too long. Its methods may be called from any
// goroutine.
type IdleLine struct {
	group *Group
	limit time.Duration // 0: none rests too long

	mu          sync.Mutex // guards the rest
	first, last *Conn
	closed      bool
	clock       *time.Timer
}

// NewIdleLine returns a line in which connections of g may rest as long as limit, or
// for ever where that is not positive. It may be noticed a second late.
func NewIdleLine(g *Group, limit time.Duration) *IdleLine { return &IdleLine{group: g, limit: limit} }

// A place is a connection's in a line.
type place struct {
	line       *IdleLine // nil: in none
	next, prev *Conn
	since      int64
}

// Rest makes the connection one of l's Group, has it wait for bytes in l, and then
// calls o's Ready. It is parked until then. It has no read deadline any more. After
// Close of l the connection is closed. In Ready the connection has its place in l still:
// [Conn.RestOn] keeps it, and OwnAndWatch, Release and Rest give it up.
func (c *Conn) Rest(l *IdleLine, o Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLine()
	switch {
	case c.err != nil:
	case !l.add(c):
		c.fail(errClosed)
	default:
		c.join(l.group)
		c.owner, c.readBy = o, 0
		c.waits = input
		c.park()
	}
}

// RestOn has the connection rest on as if nothing had come, for whoever is in Ready
// after Rest. It rests no longer for that.
func (c *Conn) RestOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch l := c.place.line; {
	case l == nil:
	case l.isClosed():
		c.fail(errClosed)
	default:
		c.waits = input
		c.park()
	}
}

func (l *IdleLine) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// resting tells whether the connection waits in a line. c.mu is held.
func (c *Conn) resting() bool { return c.place.line != nil && c.waits == input }

// leaveLine takes the connection out of its line, if it is in one. c.mu is held.
func (c *Conn) leaveLine() {
	if c.place.line != nil {
		c.place.line.remove(c)
	}
}

// add is false after Close. c.mu is held.
func (l *IdleLine) add(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.first == nil {
		l.tick()
	}
	c.place = place{line: l, prev: l.last, since: time.Now().UnixNano()}
	if l.last != nil {
		l.last.place.next = c
	} else {
		l.first = c
	}
	l.last = c
	return true
}

// remove takes out a connection that is in the line. c.mu is held.
func (l *IdleLine) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place.prev != nil {
		c.place.prev.place.next = c.place.next
	} else {
		l.first = c.place.next
	}
	if c.place.next != nil {
		c.place.next.place.prev = c.place.prev
	} else {
		l.last = c.place.prev
	}
	c.place = place{}
}

// tick has the line looked at in a second. l.mu is held.
func (l *IdleLine) tick() {
	switch {
	case l.closed || l.limit <= 0:
	case l.clock == nil:
		l.clock = time.AfterFunc(time.Second, l.expire)
	default:
		l.clock.Reset(time.Second)
	}
}

// expire closes those that have rested too long. It runs on the clock's goroutine,
// which ends with it.
func (l *IdleLine) expire() {
	limit := time.Now().Add(-l.limit).UnixNano()
	var late []*Conn
	l.mu.Lock()
	for c := l.first; c != nil && c.place.since < limit; c = c.place.next {
		late = append(late, c)
	}
	if l.first != nil {
		l.tick()
	}
	l.mu.Unlock()
	for _, c := range late {
		c.expire(limit)
	}
}

// expire closes the connection if it still rests as it did then.
func (c *Conn) expire(limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resting() && c.place.since < limit {
		c.fail(errClosed)
	}
}

// Close closes the connections that rest, and those that come to.
func (l *IdleLine) Close() {
	l.mu.Lock()
	l.closed = true
	var conns []*Conn
	for c := l.first; c != nil; c = c.place.next {
		conns = append(conns, c)
	}
	if l.clock != nil {
		l.clock.Stop()
	}
	l.mu.Unlock()
	for _, c := range conns {
		c.expire(math.MaxInt64)
	}
}
