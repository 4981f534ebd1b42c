package stomp

import (
	"container/heap"
	"sync"
	"time"
)

// A clock keeps the time for all sessions and queues of a broker with one timer,
// and with none while nothing is set. Times are counted from its start.
type clock struct {
	start time.Time

	mu     sync.Mutex // guards the rest, and all alarms
	alarms alarms
	timer  *time.Timer
	ended  bool
}

// An alarm is a time at which its owner is rung. It is part of its owner.
type alarm struct {
	owner ringer
	at    time.Duration
	place int // in the heap, from 1; 0: not set
	off   bool
}

// A ringer does what time asks for. It is called with no lock held and returns
// when it wants to be rung again, or 0.
type ringer interface {
	ring(now time.Duration) (again time.Duration)
}

func newClock() *clock { return &clock{start: time.Now()} }

// now is never 0.
func (k *clock) now() time.Duration { return time.Since(k.start) + 1 }

// set has an alarm ring at a time, and at no other.
func (k *clock) set(a *alarm, at time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended || a.off {
		return
	}
	a.at = at
	if a.place > 0 {
		heap.Fix(&k.alarms, a.place-1)
	} else {
		heap.Push(&k.alarms, a)
	}
	k.wind()
}

// unset takes that back.
func (k *clock) unset(a *alarm) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.place > 0 {
		heap.Remove(&k.alarms, a.place-1)
	}
}

// end takes an alarm out for good.
func (k *clock) end(a *alarm) {
	k.unset(a)
	k.mu.Lock()
	defer k.mu.Unlock()
	a.off = true
}

// wind has the timer fire for the first alarm. k.mu is held.
func (k *clock) wind() {
	if len(k.alarms) == 0 || k.ended {
		return
	}
	in := max(k.alarms[0].at-k.now(), 0)
	if k.timer == nil {
		k.timer = time.AfterFunc(in, k.tick)
	} else {
		k.timer.Reset(in)
	}
}

// tick rings all whose time has come. It runs on the timer's goroutine, which
// ends with it.
func (k *clock) tick() {
	now := k.now()
	for _, a := range k.due(now) {
		if again := a.owner.ring(now); again > 0 {
			k.again(a, again)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wind()
}

// again sets an alarm that has rung, unless it was set meanwhile.
func (k *clock) again(a *alarm, at time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.place == 0 && !a.off && !k.ended {
		a.at = at
		heap.Push(&k.alarms, a)
	}
}

// due takes out the alarms whose time has come.
func (k *clock) due(now time.Duration) []*alarm {
	k.mu.Lock()
	defer k.mu.Unlock()
	var due []*alarm
	for len(k.alarms) > 0 && k.alarms[0].at <= now {
		due = append(due, heap.Pop(&k.alarms).(*alarm))
	}
	return due
}

// stop ends the clock.
func (k *clock) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

// alarms is a heap of alarms, the next first.
type alarms []*alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].at < h[j].at }

func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *alarms) Push(x any) {
	a := x.(*alarm)
	*h = append(*h, a)
	a.place = len(*h)
}

func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.place = 0
	return a
}
