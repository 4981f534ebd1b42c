package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	tidyEvery   = 2 * time.Second
	quietAllocs = 512 << 10 // bytes in that time
	leastGain   = 1 << 20   // bytes

	// ballastSize is memory that is never touched, and so takes none. It counts
	// for the collector, which would otherwise run for each 4 MiB of garbage
	// while there are few sessions, and now runs for each 32 MiB. Where the
	// process has a limit (GOMEMLIMIT), for which it counts, too, it is less.
	ballastSize = 32 << 20
	limitShare  = 16 // of such a limit
)

// tidy gives the memory back that a burst of connections has left behind, once
// the server is quiet: the Go runtime would keep it until the next burst, and
// what a quiet session costs is what this server is measured by. Meanwhile it
// has the collector run less often. It ends with the context.
func tidy(ctx context.Context) {
	ballast := make([]byte, min(ballastSize, debug.SetMemoryLimit(-1)/limitShare))
	defer runtime.KeepAlive(ballast)
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	last, tidied, passes := uint64(0), uint64(0), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		allocated, live := heap()
		live -= min(live, uint64(len(ballast)))
		if allocated-tidied > max(leastGain, live/8) {
			passes = 2 // pools let go at the second
		}
		if allocated-last < quietAllocs && passes > 0 {
			passes--
			debug.FreeOSMemory()
			tidied, _ = heap()
		}
		last = allocated
	}
}

// heap returns the bytes ever allocated, and those that the last collection has
// left.
func heap() (allocated, live uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}
