package stomp

import (
	"math"
	"sync/atomic"
	"time"

	"switchback/session"
)

// A pulse is when a client was heard and sent to, and how often each has to
// happen. Times are the clock's.
type pulse struct {
	alarm alarm
	read  time.Duration // silence of the client that ends it; 0: any
	write time.Duration // silence of ours that a heart-beat breaks; 0: any
	heard atomic.Int64
	busy  atomic.Bool // with what was heard: what the client sends meanwhile has to wait
	sent  atomic.Int64
}

// heartbeat is one end of line (STOMP 1.2, Heart-beating).
var heartbeat = session.Prepare([]byte("\n"))

// hear notes that the client was heard, and is done with.
func (c *conn) hear() {
	c.pulse.heard.Store(int64(c.broker.clock.now()))
	c.pulse.busy.Store(false)
}

// startPulse has heart-beats begin, and the time of the identity, or ends the time for
// CONNECT where there is neither.
func (c *conn) startPulse() {
	if at := c.nextRing(); at > 0 {
		c.broker.clock.set(&c.pulse.alarm, at)
	} else {
		c.broker.clock.unset(&c.pulse.alarm)
	}
}

// next is when something has to be done; 0 is never.
func (p *pulse) next() time.Duration {
	const never = math.MaxInt64
	next := time.Duration(never)
	if p.read > 0 {
		next = min(next, time.Duration(p.heard.Load())+p.read)
	}
	if p.write > 0 {
		next = min(next, time.Duration(p.sent.Load())+p.write)
	}
	if next == never {
		return 0
	}
	return next
}

// ring does what time asks for.
func (c *conn) ring(now time.Duration) time.Duration {
	switch c.at() {
	case opening:
		c.broker.stats.Late.Add(1)
		c.end(CodeUnreliable, nil)
	case leaving:
		c.end(session.CodeNormal, nil)
	case connected:
		return c.beat(now)
	}
	return 0
}

// beat sends a heart-beat, or ends a client that sent none.
func (c *conn) beat(now time.Duration) time.Duration {
	p := &c.pulse
	if c.term.over(now) {
		c.broker.stats.Expiries.Add(1)
		c.end(session.CodePolicy, &Error{Message: "Identity has expired"})
		return 0
	}
	if p.busy.Load() {
		p.heard.Store(int64(now))
	}
	if p.read > 0 && now >= time.Duration(p.heard.Load())+p.read {
		c.broker.stats.Silent.Add(1)
		c.end(session.CodeInterrupted, &Error{Message: "Session closed."})
		return 0
	}
	if p.write > 0 && now >= time.Duration(p.sent.Load())+p.write {
		p.sent.Store(int64(now))
		if c.session.Queued() == 0 { // else something is on its way
			c.session.SendPrepared(heartbeat)
		}
	}
	return c.nextRing()
}
