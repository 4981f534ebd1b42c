package netpoll

import (
	"maps"
	"sync"
	"time"
)

// drainAfter is how much is written to a bare socket before it is looked at whether
// the peer takes it: more than a heartbeat, so that quiet connections are spared that.
const drainAfter = 4 << 10

// drainRate is what the peer of a connection that is over must take of the rest, in
// bytes a second: no limit of sessions counts it any more.
const drainRate = 500

// drains are the bare sockets of the process that have something for their peer still,
// as far as is known. A peer that acknowledges something from time to time is slow and
// may go on; one that does not for the write timeout, while something is left over from
// Write, or for three of them, is given up. So is one that is too slow for the rest of a
// connection that is to be closed.
//
// TCP_USER_TIMEOUT is not enough for that: it counts from the first probe of a window
// that is closed, and begins anew only once the window takes a whole segment (Linux,
// tcp_probe_timer and tcp_ack_probe). The window of an embedded client never does. So
// where something is still there at the second look, that timeout is taken off.
type drains struct {
	mu    sync.Mutex // guards the rest
	conns map[*Conn]*drain
	every time.Duration // the clock's; 0: there is nothing to look at
	clock *time.Timer
}

// A drain is what is known of a connection that drains. The connection's lock guards it.
type drain struct {
	looks   int
	pending bool   // something was left over at the last look
	taken   uint64 // as Conn.taken was
	since   int64  // when that was new, in nanoseconds
	begun   int64  // when drainRate was last looked at, of a connection that is over, or 0
	before  uint64 // what had been taken by then
}

var draining drains

// drainLater has the connection looked at until its peer has taken everything. c.mu is
// held.
func (c *Conn) drainLater() {
	if c.fd >= 0 && c.drains.CompareAndSwap(false, true) {
		draining.add(c, min(max(c.poller.writeTimeout/5, 10*time.Millisecond), 2*time.Second))
	}
}

func (d *drains) add(c *Conn, every time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conns == nil {
		d.conns = make(map[*Conn]*drain)
	}
	d.conns[c] = &drain{since: time.Now().UnixNano()}
	switch {
	case d.every != 0 && d.every <= every:
		return
	case d.clock == nil:
		d.clock = time.AfterFunc(every, d.look)
	default:
		d.clock.Reset(every)
	}
	d.every = every
}

// look runs on the clock's goroutine, which ends with it.
func (d *drains) look() {
	d.mu.Lock()
	conns := maps.Clone(d.conns)
	d.mu.Unlock()
	now := time.Now().UnixNano()
	for c, state := range conns {
		c.drain(state, now)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range conns {
		if !c.drains.Load() {
			delete(d.conns, c)
		}
	}
	if len(d.conns) == 0 {
		d.every = 0
		return
	}
	d.clock.Reset(d.every)
}

// drain looks whether the peer takes what was written.
func (c *Conn) drain(d *drain, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.poller == nil || c.fd < 0 {
		c.drains.Store(false)
		return
	}
	limit, pending := 3*c.poller.writeTimeout, c.flushes.Load()
	if !pending && c.unacknowledged() == 0 {
		c.drains.Store(false)
		c.vanish(c.poller.vanished())
		return
	}
	taken := c.taken()
	if taken != d.taken || pending && !d.pending {
		d.taken, d.since = taken, now
	}
	d.pending = pending
	tooSlow := c.then == leave && d.tooSlow(taken, now, limit)
	if pending {
		limit = c.poller.writeTimeout
	}
	d.looks++
	switch {
	case tooSlow, now-d.since >= int64(limit):
		c.fail(ErrTimeout)
		c.drains.Store(false)
	case d.looks > 1:
		c.vanish(0)
	}
}

// tooSlow tells whether less than drainRate was taken in such a time.
func (d *drain) tooSlow(taken uint64, now int64, within time.Duration) bool {
	if d.begun != 0 && now-d.begun < int64(within) {
		return false
	}
	slow := d.begun != 0 && taken-d.before < uint64(drainRate*within.Seconds())
	d.begun, d.before = now, taken
	return slow
}
