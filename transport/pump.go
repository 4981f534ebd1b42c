package transport

import (
	"runtime"
	"sync"
	"sync/atomic"

	"switchback/session/memory"
)

// A pump moves frames from a session to a wire, one goroutine at a time.
//
//	idle -> scheduled: woken; whoever woke it arranges for run
//	scheduled -> running: run
//	running -> again: woken meanwhile
//	running -> idle: nothing is left to move
type pump struct {
	state  atomic.Int32
	direct atomic.Bool // a goroutine is at work for the session: it writes the first frame
}

// A runner is who has a pump: run moves its frames, in a loop.
type runner interface{ run() }

const (
	idle = iota
	scheduled
	running
	again
)

// wake tells whether the caller has to arrange for run.
func (p *pump) wake() bool {
	for {
		switch p.state.Load() {
		case idle:
			if p.state.CompareAndSwap(idle, scheduled) {
				return true
			}
		case running:
			if p.state.CompareAndSwap(running, again) {
				return false
			}
		default:
			return false
		}
	}
}

// arrange has r, whose pump it is, run: at once where a goroutine is at work for the
// session, so that an answer costs no other one, but only once; otherwise by the
// flusher, so that what follows can gather. Its caller got true from wake.
func (p *pump) arrange(r runner, f *flusher) {
	if p.direct.Load() && p.direct.CompareAndSwap(true, false) {
		r.run()
		return
	}
	f.schedule(r)
}

// loop moves until nobody wakes it any more. Its caller got true from wake.
func (p *pump) loop(move func()) {
	for {
		p.state.Store(running)
		move()
		if p.state.CompareAndSwap(running, idle) {
			return
		}
	}
}

// A flusher runs pumps on goroutines of its own, as many as can run at once,
// which end when there is nothing to run. While they are busy, what is sent
// gathers in the sessions' queues, and then leaves in one frame.
type flusher struct {
	mu      sync.Mutex
	runners []runner
	workers int
}

func (f *flusher) schedule(r runner) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runners = append(f.runners, r)
	if f.workers < min(len(f.runners), runtime.GOMAXPROCS(0)) {
		f.workers++
		go f.work()
	}
}

// batch is how many pumps a goroutine of a flusher takes at most at a time.
const batch = 32

// work runs pumps until there are none.
func (f *flusher) work() {
	var taken [batch]runner
	for {
		f.mu.Lock()
		if len(f.runners) == 0 {
			f.runners = nil
			f.workers--
			f.mu.Unlock()
			return
		}
		n := copy(taken[:min(1+len(f.runners)/2/f.workers, batch)], f.runners)
		clear(f.runners[:n])
		f.runners = f.runners[n:]
		f.mu.Unlock()
		for i, r := range taken[:n] {
			taken[i] = nil
			r.run()
		}
	}
}

// wires are buffers for what is written: heads, frames, and what is around them.
var wires = sync.Pool{New: func() any { return new(memory.Pieces) }}

func freeWire(b *memory.Pieces) {
	b.Reset()
	if cap(b.Bytes) <= maxPooled {
		wires.Put(b)
	}
}
