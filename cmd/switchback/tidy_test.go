package main

import "testing"

func TestPaceOfTheCollector(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name       string
		made, live uint64 // in two seconds; in use
		garbage    int    // that may gather
	}{
		{"quiet and empty", 0, 0, 1 * mb},
		{"quiet, with sessions", 0, 20 * mb, 11 * mb},
		{"heartbeats", 10 * mb, 20 * mb, 11 * mb},
		{"messages", 40 * mb, 4 * mb, 20 * mb},
		{"very many messages", 400 * mb, 4 * mb, 36 * mb},
	} {
		got := pace(c.made, c.live, ballastSize) * (int(c.live) + ballastSize) / 100
		if got > c.garbage || got < c.garbage*9/10 {
			t.Errorf("%s: the collector runs for each %d KiB, want %d", c.name, got>>10, c.garbage>>10)
		}
	}
	pace(0, 0, 0) // a limit of nothing leaves no ballast
}

func TestMemoryIsGivenBack(t *testing.T) {
	const size = 1 << 20
	burst := make([][]byte, 64)
	for i := range burst {
		burst[i] = make([]byte, size)
	}
	clear(burst)
	giveBack(0)
	if h := readHeap(0); h.free > 16*size { // processors keep some
		t.Errorf("%d of %d KiB are free and not given back", h.free>>10, len(burst)*size>>10)
	}
}
