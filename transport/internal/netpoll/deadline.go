package netpoll

import (
	"sync/atomic"
	"time"
)

// deadlined are the connections that wait for something with a read deadline.
var deadlined clock[deadline]

// deadlineEvery is how late a deadline may be noticed.
const deadlineEvery = 100 * time.Millisecond

// A deadline is that of a connection, which knows it.
type deadline struct{}

func (deadline) flag(c *Conn) *atomic.Bool { return &c.timed }

// watchDeadline has the read deadline looked at from time to time.
func (c *Conn) watchDeadline() {
	if c.timed.CompareAndSwap(false, true) {
		deadlined.add(c, deadline{}, deadlineEvery)
	}
}

// look looks at the read deadline of a bare socket.
func (deadline) look(c *Conn, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	more := false
	if c.readBy != 0 && c.err == nil && (c.asleep != nil || !c.claimed && c.waits == input) {
		if now.UnixNano() < c.readBy {
			more = true
		} else {
			c.wake()
		}
	}
	c.timed.Store(more)
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
		c.watchDeadline()
	}
	return nil
}
