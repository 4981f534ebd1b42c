package netpoll

import "time"

// A line holds connections that wait, the one that has waited longest first.
type line struct {
	limit       time.Duration // that they may wait; 0: for ever
	first, last *Conn
}

// A place is a connection's in a line.
type place struct {
	line       *line // nil: in none
	next, prev *Conn
	since      int64
}

// keep adds a connection to a line. It is false when the reuse has retired.
func (u *reuse) keep(c *Conn, l *line) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.retired {
		return false
	}
	if u.fresh.first == nil && u.idle.first == nil {
		u.tick()
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

// leaveLine takes the connection out of its line, if it is in one: it waits there, or
// has got something of which it is not known yet whether it begins a request. c.mu is
// held, which guards place.line, too.
func (c *Conn) leaveLine() {
	l := c.place.line
	if l == nil {
		return
	}
	c.reuse.mu.Lock()
	defer c.reuse.mu.Unlock()
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

// tick has the lines looked at in a second. u.mu is held.
func (u *reuse) tick() {
	switch {
	case u.retired || u.idle.limit <= 0 && u.fresh.limit <= 0:
	case u.clock == nil:
		u.clock = time.AfterFunc(time.Second, u.expire)
	default:
		u.clock.Reset(time.Second)
	}
}

// expire closes those that have waited too long. It runs on the clock's
// goroutine, which ends with it.
func (u *reuse) expire() {
	now := time.Now()
	type late struct {
		*Conn
		limit int64
	}
	var over []late
	u.mu.Lock()
	for _, l := range []*line{&u.fresh, &u.idle} {
		limit := now.Add(-l.limit).UnixNano()
		for c := l.first; c != nil && l.limit > 0 && c.place.since < limit; c = c.place.next {
			over = append(over, late{c, limit})
		}
	}
	if u.fresh.first != nil || u.idle.first != nil {
		u.tick()
	}
	u.mu.Unlock()
	for _, c := range over {
		c.expire(c.limit)
	}
}

// expire closes the connection if it still waits for the request that it
// waited for then.
func (c *Conn) expire(limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits == request && c.place.since < limit {
		c.fail(errClosed)
	}
}
