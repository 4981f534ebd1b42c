package netpoll

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// A clock looks at connections of the process from time to time. It has a timer only
// while there are some. The zero clock is ready for use.
type clock[K known] struct {
	mu    sync.Mutex // guards the rest
	conns map[*Conn]K
	every time.Duration // the timer's; 0: there is nothing to look at
	timer *time.Timer
}

// known is what a clock knows of a connection, and looks at it with. It is the clock's.
type known interface {
	// flag tells whether the clock has the connection: who sets it adds that, and
	// look takes it off where there is nothing to look at any more.
	flag(c *Conn) *atomic.Bool
	look(c *Conn, now time.Time)
}

// add has a connection looked at again and again, each time after every at most.
func (k *clock[K]) add(c *Conn, what K, every time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conns == nil {
		k.conns = make(map[*Conn]K)
	}
	k.conns[c] = what
	switch {
	case k.every != 0 && k.every <= every:
		return
	case k.timer == nil:
		k.timer = time.AfterFunc(every, k.look)
	default:
		k.timer.Reset(every)
	}
	k.every = every
}

// look runs on the timer's goroutine, which ends with it.
func (k *clock[K]) look() {
	k.mu.Lock()
	conns := maps.Clone(k.conns)
	k.mu.Unlock()
	now := time.Now()
	for c, what := range conns {
		what.look(c, now)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for c, what := range conns {
		if !what.flag(c).Load() {
			delete(k.conns, c)
		}
	}
	if len(k.conns) == 0 {
		k.every = 0
		return
	}
	k.timer.Reset(k.every)
}
