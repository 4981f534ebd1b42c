package main

import (
	"slices"
	"testing"
)

const mb = 1 << 20

func TestPaceOfTheCollector(t *testing.T) {
	for _, c := range []struct {
		name             string
		made, live, rest uint64 // in two seconds; in use; of ballast and stacks
		garbage          uint64 // that may gather
	}{
		{"quiet and empty", 0, 0, 8 * mb, 4 * mb},
		{"quiet, with sessions", 0, 20 * mb, 8 * mb, 11 * mb},
		{"heartbeats", 10 * mb, 20 * mb, 8 * mb, 11 * mb},
		{"messages", 40 * mb, 4 * mb, 8 * mb, 20 * mb},
		{"very many messages", 400 * mb, 4 * mb, 8 * mb, 36 * mb},
		{"very many goroutines", 400 * mb, 4 * mb, 60 * mb, 36 * mb},
		{"a very fast machine", 1 << 40, 4 * mb, 8 * mb, 36 * mb},
	} {
		h := heap{live: c.live, counts: c.live + c.rest}
		got := uint64(pace(c.made, h)) * h.counts / 100
		if got > c.garbage || got < c.garbage*9/10 {
			t.Errorf("%s: the collector runs for each %d KiB, want %d", c.name, got>>10, c.garbage>>10)
		}
	}
	pace(0, heap{}) // a limit of nothing leaves no ballast
}

// Memory is given back at the first quiet tick after something was made, and again
// when sessions that were left are gone.
func TestTimesAtWhichMemoryIsGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		made []uint64 // in each tick
		want []int    // the ticks
	}{
		"a burst":                {[]uint64{9 * mb, 9 * mb, 0, 0, 0, 0, 0, 0}, []int{2, 5}},
		"two bursts":             {[]uint64{9 * mb, 0, 0, 9 * mb, 0, 0, 0, 0, 0}, []int{1, 4, 7}},
		"a little, often":        {[]uint64{mb / 3, mb / 3, mb / 3, mb / 3, 0, 0, 0, 0}, []int{3, 6}},
		"never quiet":            {[]uint64{9 * mb, 9 * mb, 9 * mb, 9 * mb}, nil},
		"less than is worth it":  {[]uint64{mb / 2, 0, 0, 0, 0}, nil},
		"busy again before that": {[]uint64{9 * mb, 0, 9 * mb, 9 * mb, 9 * mb, 0, 0, 0, 0}, []int{1, 5, 8}},
	} {
		var due []int
		tidy, h := tidier{}, heap{}
		for tick, made := range c.made {
			h.allocated += made
			if _, now := tidy.look(h); now {
				due = append(due, tick)
			}
		}
		if !slices.Equal(due, c.want) {
			t.Errorf("%s: at %v, want %v", name, due, c.want)
		}
	}
}

func TestMemoryIsGivenBack(t *testing.T) {
	burst := make([][]byte, 64)
	for i := range burst {
		burst[i] = make([]byte, mb)
	}
	clear(burst)
	giveBack(0)
	if h := readHeap(0); h.free > 16*mb { // processors keep some
		t.Errorf("%d of %d MiB are free and not given back", h.free/mb, len(burst))
	}
}
