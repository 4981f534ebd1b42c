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
	againAfter  = 3         // such times, after which sessions are gone that were left

	// ballastSize is memory that is never touched, and so takes none. It counts
	// for the collector, whose pace is a share of all that counts: that of a
	// server with few sessions could hardly be set without. Where the process has
	// a limit (GOMEMLIMIT), for which it counts, too, it is less.
	ballastSize = 8 << 20
	limitShare  = 16 // of such a limit

	// mostGarbage is what the collector lets gather over what is in use.
	mostGarbage = 32 << 20
)

// tidy sets the collector's pace, and gives the memory back that a burst of
// connections has left behind, once the server is quiet: the Go runtime would
// keep it until the next burst, and what a quiet session costs is what this
// server is measured by. It ends with the context.
func tidy(ctx context.Context) {
	ballast := make([]byte, min(ballastSize, debug.SetMemoryLimit(-1)/limitShare))
	defer runtime.KeepAlive(ballast)
	paced := os.Getenv("GOGC") == ""
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	last, tidied, percent := uint64(0), uint64(0), 0
	again := 0 // quiet ticks until memory is given back once more, and one
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h := readHeap(len(ballast))
		made := h.allocated - last
		last = h.allocated
		if p := pace(made, h.live, len(ballast)); paced && p != percent {
			debug.SetGCPercent(p) // which stops the world
			percent = p
		}
		if made >= quietAllocs {
			continue
		}
		if h.allocated-tidied > max(leastGain, h.live/8) {
			again = againAfter + 1
		} else if again > 0 {
			again--
		}
		if again > againAfter || again == 1 {
			giveBack(len(ballast))
			tidied = readHeap(0).allocated
		}
	}
}

// pace is the percentage (GOGC) with which the collector runs once a second, if the
// server goes on as it did since the last tick and made so many bytes. It runs more
// often where that would leave more garbage than what is live, and mostGarbage; and
// less often where it would leave no more than may be free anyway. So a quiet server
// does not grow by all the garbage that its heartbeats make, nor a busy one collect
// all the time.
func pace(made, live uint64, ballast int) int {
	second := made * uint64(time.Second) / uint64(tidyEvery)
	garbage := min(max(second, spare(live)), live+mostGarbage)
	return int(100 * garbage / max(live+uint64(ballast), 1<<20))
}

// spare is what may be free without being given back.
func spare(live uint64) uint64 { return live/2 + leastGain }

// giveBack collects garbage, and gives the memory back if it is much. That is the
// second collection, at which pools let go, too.
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
	free      uint64 // that could be given back
}

func readHeap(ballast int) heap {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(samples)
	live := samples[1].Value.Uint64()
	return heap{samples[0].Value.Uint64(), live - min(live, uint64(ballast)), samples[2].Value.Uint64()}
}
