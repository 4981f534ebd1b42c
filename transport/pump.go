package transport

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A pump moves frames from a session to a wire, one goroutine at a time.
//
//	idle -> scheduled: woken; whoever woke it arranges for run
//	scheduled -> running: run
//	running -> again: woken meanwhile
//	running -> idle: nothing is left to move
type pump struct {
	state atomic.Int32
	move  func() // moves what there is; immutable
}

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

// run moves until nobody wakes it any more. Its caller got true from wake.
func (p *pump) run() {
	for {
		p.state.Store(running)
		p.move()
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
	pumps   []*pump
	workers int
}

func (f *flusher) schedule(p *pump) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pumps = append(f.pumps, p)
	if f.workers < min(len(f.pumps), runtime.GOMAXPROCS(0)) {
		f.workers++
		go f.work()
	}
}

// work runs pumps until there are none.
func (f *flusher) work() {
	for {
		f.mu.Lock()
		if len(f.pumps) == 0 {
			f.pumps = nil
			f.workers--
			f.mu.Unlock()
			return
		}
		p := f.pumps[0]
		f.pumps[0] = nil
		f.pumps = f.pumps[1:]
		f.mu.Unlock()
		p.run()
	}
}

// wires are buffers in which frames are wrapped.
var wires = sync.Pool{New: func() any { return new([]byte) }}

func freeWire(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		wires.Put(b)
	}
}
