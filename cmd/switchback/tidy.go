package main

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"switchback/session/memory"
)

const (
	tidyEvery   = 2 * time.Second
	quietAllocs = 512 << 10 // bytes in that time
	leastSpare  = 1 << 20   // bytes
	heartbeat   = 1280      // bytes that a session's may leave behind
	turnover    = 16        // sessions have settled while their number varies by no more than one in so many

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
// server is measured by. sessions counts those that live. It ends with the context.
func tidy(ctx context.Context, sessions func() int64) {
	ballast := make([]byte, min(ballastSize, debug.SetMemoryLimit(-1)/limitShare))
	defer runtime.KeepAlive(ballast)
	paced, limited := os.Getenv("GOGC") == "", os.Getenv("GOMEMLIMIT") == ""
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	var t tidier
	var h heap
	for percent := 0; ; {
		if limited {
			debug.SetMemoryLimit(runtimeLimit(sessions(), int64(h.live)))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h = readHeap(len(ballast))
		made, due := t.look(h, sessions())
		if p := pace(made, h); paced && p != percent {
			debug.SetGCPercent(p) // which stops the world
			percent = p
		}
		if due {
			giveBack(len(ballast), t.most)
		}
	}
}

// runtimeLimit is how much memory the Go runtime may take before it collects garbage
// whatever else its pace says: what may be held for clients and a little more, what
// sessions cost, and itself with the ballast. What is live beside that, over TLS for one,
// may have as much garbage: else it would be collected all the time. To set it is cheap.
func runtimeLimit(sessions, live int64) int64 {
	const itself, session = 20 << 20, 3 << 10
	limit := min(memory.Limit(), math.MaxInt64/4)
	return limit/32*33 + itself + max(session*sessions, 2*(live-memory.Used()))
}

// A tidier knows when memory is to be given back: when the server is quiet, and what
// may be free is more than what is spared. Sessions that have gone are taken to be that
// share of what is live, unless they are too few to matter.
type tidier struct {
	allocated   uint64 // at the last tick
	least, most int64  // the fewest and the most sessions since it was due
}

// look returns what was made since the last tick, and whether memory is to be given
// back. While sessions come and go, half as much as is live is spared. Once they have
// settled as much as is live is: their next heartbeats take up what the last ones left.
// Where sessions are large, as over TLS, less is, by spareOf: their handshakes have left a
// multiple of what heartbeats take up.
func (t *tidier) look(h heap, sessions int64) (made uint64, due bool) {
	made, t.allocated = h.allocated-t.allocated, h.allocated
	t.least, t.most = min(t.least, sessions), max(t.most, sessions)
	free, spare := h.free+h.garbage, spareOf(h.live, h.live, 2*sessions)
	if t.most-t.least > t.most/turnover {
		gone := h.live * uint64(t.most-sessions) / uint64(t.most)
		free, spare = free+gone, (h.live-gone)/2
		if gone == 0 {
			spare = spareOf(h.live/2, h.live, sessions)
		}
	}
	if due = made < quietAllocs && free > spare+leastSpare; due {
		t.least, t.most = sessions, sessions
	}
	return made, due
}

// spareOf is what may stay free: what so many heartbeats leave, but no more than most,
// and no less than an eighth of what is live.
func spareOf(most, live uint64, heartbeats int64) uint64 {
	return min(most, max(live/8, heartbeat*uint64(heartbeats)))
}

// pace is the percentage (GOGC) with which the collector runs once a second, if the
// server goes on as it did in the last tick, and within bounds: garbage may always be
// as much as what is live, and never more than mostGarbage over that. So a server with
// quiet sessions does not grow by all the garbage that their heartbeats make, nor a
// busy one collect all the time, but in the first tick.
func pace(made uint64, h heap) int {
	second := made / uint64(tidyEvery/time.Second)
	garbage := min(max(second, h.live, leastGarbage), h.live+mostGarbage)
	return int(100 * garbage / max(h.counts, 1<<20))
}

// giveBack collects garbage, and gives the memory back if it is much. For that it
// collects a second time, after which pools have let go, too.
func giveBack(ballast int, sessions int64) {
	runtime.GC()
	if h := readHeap(ballast); h.free > spareOf(h.live/2, h.live, sessions)+leastSpare {
		debug.FreeOSMemory()
	}
}

// A heap is the memory of the Go runtime, in bytes.
type heap struct {
	allocated uint64 // ever
	garbage   uint64 // at most: what is new since the last collection
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
		{Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(samples)
	live, objects := samples[1].Value.Uint64(), samples[5].Value.Uint64()
	return heap{
		allocated: samples[0].Value.Uint64(),
		garbage:   objects - min(objects, live),
		live:      live - min(live, uint64(ballast)),
		counts:    live + samples[2].Value.Uint64() + samples[3].Value.Uint64(),
		free:      samples[4].Value.Uint64(),
	}
}
