package session

import (
	"sync"
	"sync/atomic"
	"time"
)

// A tick is a time of a wheel: a number of its steps since it was made.
type tick int64

// wheelSlots are 128 seconds at the usual step of 250 ms, so that sessions with the
// usual delays are seldom looked at too early. They take 4 KiB.
const wheelSlots = 512

// A wheel keeps the time for all sessions of a registry: it is one timer, whatever
// their number, and none while there are no sessions.
//
// A session stands in the slot of the tick at which to look at it. A frame that is
// sent puts off the session's next heartbeat without changing its slot: the session
// is looked at too early, and then goes into a later slot. So a frame costs nothing
// here. A time that is further away than the wheel has slots is looked at too early,
// too.
type wheel struct {
	start  time.Time
	step   time.Duration
	second func()       // called about once a second while there are sessions
	called tick         // when it was; the clock's goroutine's
	coarse atomic.Int64 // what now returns: as of the last step

	mu    sync.Mutex // guards the rest, and the timer of each session
	slots [wheelSlots]*Local
	done  tick // the slots up to this one have been looked at
	count int  // sessions that are not removed
	clock *time.Timer
	ended bool
}

// A timer is a session's place in the wheel.
type timer struct {
	next, prev *Local
	at         tick // of its slot, or where it is instead
}

// Where a session is that is in no slot: those of slots are from 1 on.
const (
	outside tick = 0 // new, or just being looked at
	removed tick = -1
)

func newWheel(step time.Duration, second func()) *wheel {
	return &wheel{start: time.Now(), step: step, second: second}
}

// ticks is a duration in steps: rounded up, and one more, since now is rounded down.
func (w *wheel) ticks(d time.Duration) tick { return tick((d+w.step-1)/w.step) + 1 }

// at is a time in steps, rounded up.
func (w *wheel) at(t time.Time) tick { return w.ticks(max(t.Sub(w.start), 0)) - 1 }

// now is the time as of the last step, while there are sessions.
func (w *wheel) now() tick { return tick(w.coarse.Load()) }

// add counts a new session. The wheel turns while there are some.
func (w *wheel) add() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count++; w.count > 1 {
		return
	}
	w.done = tick(time.Since(w.start) / w.step)
	w.coarse.Store(int64(w.done))
	if w.clock == nil {
		w.clock = time.AfterFunc(w.step, w.turn)
	} else {
		w.clock.Reset(w.step)
	}
}

// set has s looked at no later than at. It does nothing for a session that is removed.
func (w *wheel) set(s *Local, at tick) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &s.timer
	at = min(max(at, w.done+1), w.done+wheelSlots-1)
	switch {
	case t.at == removed, t.at > outside && t.at <= at:
		return
	case t.at > outside:
		w.unlink(s)
	}
	slot := &w.slots[at%wheelSlots]
	t.at, t.prev, t.next = at, nil, *slot
	if t.next != nil {
		t.next.timer.prev = s
	}
	*slot = s
}

// remove takes s out for good.
func (w *wheel) remove(s *Local) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.timer.at == removed {
		return
	}
	if s.timer.at > outside {
		w.unlink(s)
	}
	s.timer.at = removed
	w.count--
}

// unlink takes s out of its slot. w.mu is held.
func (w *wheel) unlink(s *Local) {
	t := &s.timer
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.at%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	t.at, t.prev, t.next = outside, nil, nil
}

// turn looks at the sessions that are due. It runs on the goroutine of the clock,
// which ends with it.
func (w *wheel) turn() {
	now := tick(time.Since(w.start) / w.step)
	w.coarse.Store(int64(now))
	for _, s := range w.takeDue(now) {
		s.expire(now)
	}
	if time.Duration(now-w.called)*w.step >= time.Second {
		w.called = now
		w.second()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count > 0 && !w.ended {
		w.clock.Reset(w.step)
	}
}

// takeDue takes the sessions out of the slots up to now.
func (w *wheel) takeDue(now tick) []*Local {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []*Local
	for w.done = max(w.done, now-wheelSlots); w.done < now; {
		w.done++
		for slot := &w.slots[w.done%wheelSlots]; *slot != nil; {
			due = append(due, *slot)
			w.unlink(*slot)
		}
	}
	return due
}

// stop ends the wheel, for good.
func (w *wheel) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.clock != nil {
		w.clock.Stop()
	}
}
