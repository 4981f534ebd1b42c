package netpoll

import (
	"sync/atomic"
	"time"

	"switchback/session/memory"
)

// drainAfter is how much is written to a bare socket before it is looked at whether
// the peer takes it: more than a heartbeat, so that quiet connections are spared that.
const drainAfter = 4 << 10

// drainRate is what the peer of a connection that is over must take of the rest, in
// bytes a second: no limit of sessions counts it any more.
const drainRate = 500

// draining are the bare sockets that have something for their peer still, as far as is
// known. A peer that acknowledges something from time to time is slow and may go on; one
// that does not for the write timeout, while something is left over from Write, or for
// three of them, is given up. So is one that is too slow for the rest of a connection
// that is to be closed.
//
// TCP_USER_TIMEOUT is not enough for that: it counts from the first probe of a window
// that is closed, and begins anew only once the window takes a whole segment (Linux,
// tcp_probe_timer and tcp_ack_probe). The window of an embedded client never does. So
// where something is still there at the second look, that timeout is taken off.
var draining clock[*drain]

// A drain is what is known of a connection that drains. The connection's lock guards it.
type drain struct {
	looks   int
	pending bool   // something was left over at the last look
	taken   uint64 // as Conn.taken was
	since   int64  // when that was new, in nanoseconds
	begun   int64  // when drainRate was last looked at, of a connection that is over, or 0
	before  uint64 // what had been taken by then
}

func (*drain) flag(c *Conn) *atomic.Bool { return &c.drains }

// drainLater has the connection looked at until its peer has taken everything. c.mu is
// held.
func (c *Conn) drainLater() {
	if c.fd >= 0 && c.drains.CompareAndSwap(false, true) {
		every := min(max(c.writeTimeout/5, 10*time.Millisecond), 2*time.Second)
		draining.add(c, &drain{since: time.Now().UnixNano()}, every)
	}
}

// look looks whether the peer takes what was written.
func (d *drain) look(c *Conn, at time.Time) {
	now := at.UnixNano()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.group == nil || c.fd < 0 {
		c.drains.Store(false)
		return
	}
	limit, pending := 3*c.writeTimeout, c.flushes.Load()
	if !pending && c.unacknowledged() == 0 {
		c.drains.Store(false)
		c.setUserTimeout(c.vanishedAfter())
		return
	}
	taken := c.taken()
	if taken != d.taken || pending && !d.pending {
		d.taken, d.since = taken, now
	}
	d.pending = pending
	tooSlow := c.leaves && d.tooSlow(taken, now, limit)
	if pending {
		limit = c.writeTimeout
	}
	d.looks++
	switch {
	case tooSlow, now-d.since >= int64(limit):
		c.fail(ErrTimeout)
		c.drains.Store(false)
	case pending && hoards(c.rest):
		c.fail(ErrFull)
		c.drains.Store(false)
	case d.looks > 1:
		c.setUserTimeout(0)
	}
}

// hoards tells whether publishers wait for what is left over here alone.
func hoards(rest *memory.Pieces) bool { return memory.Pressed() && rest.Alone() > memory.Alone }

// tooSlow tells whether less than drainRate was taken in such a time.
func (d *drain) tooSlow(taken uint64, now int64, within time.Duration) bool {
	if d.begun != 0 && now-d.begun < int64(within) {
		return false
	}
	slow := d.begun != 0 && taken-d.before < uint64(drainRate*within.Seconds())
	d.begun, d.before = now, taken
	return slow
}
