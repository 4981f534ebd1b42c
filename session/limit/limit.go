// Package limit holds clients to so much a second, and users to so many sessions.
package limit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Rate is how much may come. The zero value is no limit.
type Rate struct {
	PerSecond int // in the long run; 0: any
	Burst     int // at once, where nothing has come for long enough
}

// span is the time in which so much may come.
func (r Rate) span(n int) int64 {
	return int64(min(float64(n)/float64(r.PerSecond)*float64(time.Second), math.MaxInt64/4))
}

// started is when the time of buckets begins.
var started = time.Now()

func now() int64 { return int64(time.Since(started)) }

// A Bucket keeps one client to a Rate, which is the same at each call. The zero value is
// one to which nothing has come. Its method may be called from any goroutine. It is 8 bytes:
// the time at which it is as if nothing had come, or 0, which is the theoretical arrival time
// of the generic cell rate algorithm (ITU-T I.371).
type Bucket struct{ clear atomic.Int64 }

// Take takes n, if the rate allows so much now; otherwise it takes nothing and returns
// false.
func (b *Bucket) Take(r Rate, n int) bool {
	if r.PerSecond == 0 {
		return true
	}
	at := now()
	for {
		before := b.clear.Load()
		from := at
		if before != 0 {
			from = max(before, at)
		}
		after := from + r.span(n)
		if after-at > r.span(r.Burst) {
			return false
		}
		if b.clear.CompareAndSwap(before, after) {
			return true
		}
	}
}

// isClear tells whether it is as if nothing had come.
func (b *Bucket) isClear() bool {
	clear := b.clear.Load()
	return clear == 0 || clear <= now()
}

// Users are those who have sessions, by name. Its methods may be called from any
// goroutine.
type Users struct {
	sessions int // that one may have; 0: any
	rate     Rate

	mu      sync.Mutex // guards the rest, and the sessions of each User
	all     map[string]*User
	left    int // of them that have no session
	sweepAt int // so many of these are remembered before the next sweep
}

// A User is one of Users.
type User struct {
	name     string // empty: nobody, with one session
	sessions int
	bucket   Bucket
}

// NewUsers returns Users who may have so many sessions each, 0 being any number, and do
// so much with all of them together.
func NewUsers(sessions int, rate Rate) *Users {
	return &Users{sessions: sessions, rate: rate, all: make(map[string]*User), sweepAt: fewLeft}
}

// Join counts a session of a user in, or returns nil where that is one too many. The
// name is empty for nobody, each of whose sessions is a user's of its own.
func (g *Users) Join(name string) *User {
	if name == "" {
		return new(User)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.all[name]
	switch {
	case u == nil:
		u = &User{name: name}
		g.all[name] = u
	case g.sessions > 0 && u.sessions >= g.sessions:
		return nil
	case u.sessions == 0:
		g.left--
	}
	u.sessions++
	return u
}

// fewLeft is how many users without a session are remembered before any is looked at again.
const fewLeft = 64

// Leave counts a session out. A user who has none any more is remembered while what came
// from the last counts: who comes back has no burst more for that. Those whose time is over
// are swept out once as many more have left as the last sweep had to keep, with a session or
// without: so a Leave looks at few users on average.
func (g *Users) Leave(u *User) {
	if u.name == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if u.sessions--; u.sessions > 0 {
		return
	}
	if u.bucket.isClear() {
		delete(g.all, u.name)
		return
	}
	if g.left++; g.left > g.sweepAt {
		g.sweep()
	}
}

// sweep forgets users who have no session and from whom nothing counts. g.mu is held.
func (g *Users) sweep() {
	for name, u := range g.all {
		if u.sessions == 0 && u.bucket.isClear() {
			delete(g.all, name)
			g.left--
		}
	}
	g.sweepAt = g.left + max(fewLeft, len(g.all))
}

// Take takes n of what a user may do, and returns false where that is too much.
func (g *Users) Take(u *User, n int) bool { return u.bucket.Take(g.rate, n) }
