package session

import (
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of a Histogram's buckets.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// A Histogram counts durations by how long they are.
type Histogram struct {
	buckets [len(Bounds) + 1]atomic.Int64 // the last is of those over all bounds
	sum     atomic.Int64
}

func (h *Histogram) observe(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// Counts returns how many durations are within each of Bounds, how many there are, and
// their sum.
func (h *Histogram) Counts() (within [len(Bounds)]uint64, count uint64, sum time.Duration) {
	sum = time.Duration(h.sum.Load())
	for i := range h.buckets {
		count += uint64(h.buckets[i].Load())
		if i < len(within) {
			within[i] = count
		}
	}
	return within, count, sum
}

// samples choose what is timed: about once a second the next message for a handler, and the
// next publication, to all of its sessions. What is not chosen costs a look at what is
// nearly never written.
type samples struct{ message, publication atomic.Bool }

// renew has the next ones chosen.
func (c *samples) renew() {
	c.message.Store(true)
	c.publication.Store(true)
}

func choose(next *atomic.Bool) bool { return next.Load() && next.CompareAndSwap(true, false) }

// A Stopwatch times a publication, if it is chosen: from when it is first about to be sent
// until each session's client has it. Zero is one for a publication to come.
type Stopwatch struct{ begun time.Time }

// Sending says that s is about to be sent what is published: see Stats.Delivery.
func (w *Stopwatch) Sending(s Session) {
	l, ok := s.(*Local)
	if !ok || w.begun.IsZero() && !choose(&l.registry.samples.publication) {
		return
	}
	if w.begun.IsZero() {
		w.begun = time.Now()
	}
	l.published.CompareAndSwap(0, l.registry.stamp(w.begun)) // else another is on its way
}

// A stamp says since when a session has something of a publication that is timed: in twice
// 10 microseconds of its registry's time, which comes round after six hours. 0 is none; odd
// while a frame has it, which until then is in the queue.
type stamp = uint32

const (
	inFrame   stamp = 1
	stampStep       = 10 * time.Microsecond
)

func (g *Registry) stamp(t time.Time) stamp {
	return max(stamp(t.Sub(g.wheel.start)/stampStep)<<1, 2)
}

// Written says that what Next gave last has been written, whoever is the receiver now.
func (s *Local) Written() {
	p := s.published.Load()
	if p&inFrame != 0 && s.published.CompareAndSwap(p, 0) {
		took := s.registry.stamp(time.Now()) - p&^inFrame // also where it has come round
		s.registry.stats.Delivery.observe(time.Duration(took>>1) * stampStep)
	}
}
