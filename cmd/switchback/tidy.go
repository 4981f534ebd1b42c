package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	tidyEvery   = 2 * time.Second
	quietAllocs = 512 << 10 // bytes in that time
	leastGain   = 1 << 20   // bytes
	againAfter  = 3         // such times; longer than the default disconnect delay

	// ballastSize is memory that is never touched, and so takes none. It counts
	// for the collector, whose pace is a share of all that counts: that of a
	// server with few sessions could hardly be set without. Where the process has
	// a limit (GOMEMLIMIT), for which it counts, too, it is less.
	ballastSize = 8 << 20
	limitShare  = 16 // of such a limit

	// Bounds of the garbage that gathers until the collector runs. The lower one
	// is the Go runtime's own; the upper one is over what is live.
	leastGarbage = 4 << 20
	mostGarbage  = 32 << 20
)

// tidy sets the collector's pace, unless GOGC does, and gives the memory back that
// a burst of connections has left behind, once the server is quiet: the Go runtime
// would keep it until the next burst, and what a quiet session costs is what this
// server is measured by. It ends with the context.
func tidy(ctx context.Context) {
	ballast := make([]byte, min(ballastSize, debug.SetMemoryLimit(-1)/limitShare))
	defer runtime.KeepAlive(ballast)
	paced := os.Getenv("GOGC") == ""
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	var t tidier
	for percent := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h := readHeap(len(ballast))
		made, due := t.look(h)
		if p := pace(made, h); paced && p != percent {
			debug.SetGCPercent(p) // which stops the world
			percent = p
		}
		if due {
			giveBack(len(ballast))
		}
	}
}

// A tidier knows when memory is to be given back: when the server is quiet after
// something was made, and once more later, when sessions that were left are gone.
type tidier struct {
	last, tidied uint64 // bytes ever allocated, at the last tick and when it was due
	again        int    // quiet ticks until the second time, and one; 0: it was
}

// look returns what was made since the last tick, and whether memory is to be given
// back.
func (t *tidier) look(h heap) (made uint64, due bool) {
	made = h.allocated - t.last
	t.last = h.allocated
	switch {
	case made >= quietAllocs:
		return made, false
	case h.allocated-t.tidied > max(leastGain, h.live/8):
		t.again = againAfter + 1
	case t.again > 0:
		t.again--
	}
	if due = t.again > againAfter || t.again == 1; due {
		t.tidied = h.allocated
	}
	return made, due
}

// pace is the percentage (GOGC) with which the collector runs once a second, if the
// server goes on as it did in the last tick, and within bounds: garbage may be as much
// as what is live, and mostGarbage, and at least what may be free anyway. So a server
// with quiet sessions does not grow by all the garbage that their heartbeats make, nor
// a busy one collect all the time, but in the first tick.
func pace(made uint64, h heap) int {
	second := made / uint64(tidyEvery/time.Second)
	garbage := min(max(second, spare(h.live), leastGarbage), h.live+mostGarbage)
	return int(100 * garbage / max(h.counts, 1<<20))
}

// spare is what may be free without being given back.
func spare(live uint64) uint64 { return live/2 + leastGain }

// giveBack collects garbage, and gives the memory back if it is much. For that it
// collects a second time, after which pools have let go, too.
func giveBack(ballast int) {
	runtime.GC()
	if h := readHeap(ballast); h.free > spare(h.live) {
		debug.FreeOSMemory()
	}
}

// A heap is the memory of the Go runtime, in bytes.
type heap struct {
	allocated uint64 // ever
	live      uint64 // that the last collection has left, but for the ballast
	counts    uint64 // what GOGC is a percentage of
	free      uint64 // that could be given back
}

func readHeap(ballast int) heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/stack:bytes"},
		{Name: "/gc/scan/globals:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	live := samples[1].Value.Uint64()
	return heap{
		allocated: samples[0].Value.Uint64(),
		live:      live - min(live, uint64(ballast)),
		counts:    live + samples[2].Value.Uint64() + samples[3].Value.Uint64(),
		free:      samples[4].Value.Uint64(),
	}
}
