package main

import (
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"go.uber.org/zap"
)

const mb = 1 << 20

func TestPaceOfTheCollector(t *testing.T) {
	for _, c := range []struct {
		name             string
		made, live, rest uint64 // in two seconds; in use; of ballast and stacks
		garbage          uint64 // that may gather
	}{
		{"quiet and empty", 0, 0, 8 * mb, 4 * mb},
		{"quiet, with sessions", 0, 20 * mb, 8 * mb, 20 * mb},
		{"heartbeats", 10 * mb, 20 * mb, 8 * mb, 20 * mb},
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

// Memory is given back at the first quiet tick at which enough may be free: what is,
// what is new since the last collection, and what sessions that have gone held.
func TestTimesAtWhichMemoryIsGivenBack(t *testing.T) {
	type tick struct {
		made, free, garbage uint64
		sessions            int64
	}
	const live = 20 * mb // so 11 MiB are spared, or 21 of settled sessions
	for name, c := range map[string]struct {
		ticks []tick
		want  []int
	}{
		"a burst":               {[]tick{{9 * mb, 0, 9 * mb, 9000}, {9 * mb, 0, 18 * mb, 9000}, {0, 0, 18 * mb, 9000}, {0, 0, 0, 9000}}, []int{2}},
		"free after a burst":    {[]tick{{9 * mb, 18 * mb, 0, 9000}, {0, 18 * mb, 0, 9000}, {0, 0, 0, 9000}}, []int{1}},
		"some of both":          {[]tick{{0, 6 * mb, 6 * mb, 9000}, {0, 0, 0, 9000}}, []int{0}},
		"heartbeats":            {[]tick{{0, 0, 12 * mb, 9000}, {9 * mb, 0, 9 * mb, 9000}, {0, 2 * mb, 18 * mb, 9000}, {0, 20 * mb, 0, 8500}}, []int{0}},
		"no sessions":           {[]tick{{0, 3 * mb, 0, 0}, {0, 4 * mb, 0, 0}}, []int{1}},
		"more than heartbeats":  {[]tick{{0, 0, 12 * mb, 9000}, {0, 12 * mb, 10 * mb, 9000}}, []int{0, 1}},
		"and sessions come":     {[]tick{{0, 0, 12 * mb, 9000}, {0, 9 * mb, 3 * mb, 9500}, {0, 9 * mb, 3 * mb, 9700}}, []int{0, 2}},
		"or go":                 {[]tick{{0, 0, 12 * mb, 9000}, {0, 9 * mb, 3 * mb, 8500}, {0, 9 * mb, 3 * mb, 8400}}, []int{0, 2}},
		"never quiet":           {[]tick{{9 * mb, 18 * mb, 0, 9000}, {9 * mb, 18 * mb, 0, 9000}, {9 * mb, 18 * mb, 0, 9000}}, nil},
		"sessions go":           {[]tick{{0, 0, 0, 20000}, {0, 0, 0, 14000}, {0, 0, 0, 11000}, {0, 0, 0, 10000}}, []int{2}},
		"and large ones":        {[]tick{{0, 0, 0, 20}, {0, 0, 0, 14}, {0, 0, 0, 11}, {0, 0, 0, 10}}, []int{2}},
		"a little less":         {[]tick{{0, 10 * mb, 3 * mb / 4, 9000}}, nil},
		"a little more":         {[]tick{{0, 10 * mb, 5 * mb / 4, 9000}}, []int{0}},
		"and later, those left": {[]tick{{0, 0, 0, 40000}, {0, 0, 0, 20000}, {0, 0, 0, 20000}, {0, 0, 0, 0}, {0, 0, 0, 0}}, []int{1, 3}},
		"sessions come and go":  {[]tick{{9 * mb, 0, 9 * mb, 9000}, {9 * mb, 9 * mb, 0, 18000}, {0, 9 * mb, 0, 15000}, {0, 0, 0, 15000}}, []int{2}},
		"less than is worth it": {[]tick{{0, 5 * mb, 3 * mb, 9000}, {0, 5 * mb, 3 * mb, 8900}}, nil},
		"after handshakes":      {[]tick{{9 * mb, 4 * mb, 0, 2000}, {0, 3 * mb, 1 * mb, 2000}, {0, 4 * mb, 1 * mb, 2000}, {0, 5 * mb, 1 * mb, 2000}}, []int{1, 3}},
		"what is free stays so": {[]tick{{0, 22 * mb, 0, 9000}, {0, 22 * mb, 0, 9000}}, []int{0, 1}},
	} {
		var due []int
		tidy, h := tidier{}, heap{live: live}
		for i, at := range c.ticks {
			h.allocated += at.made
			h.free, h.garbage = at.free, at.garbage
			if _, now := tidy.look(h, at.sessions); now {
				due = append(due, i)
			}
		}
		if !slices.Equal(due, c.want) {
			t.Errorf("%s: at %v, want %v", name, due, c.want)
		}
	}
}

// What the tidier goes by is what the runtime says.
func TestGarbageIsWhatIsNewSinceTheLastCollection(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	kept := make([]byte, 64*mb)
	defer runtime.KeepAlive(kept)
	runtime.GC()
	before := readHeap(0)
	if before.garbage > 4*mb {
		t.Errorf("%d KiB of garbage after a collection", before.garbage>>10)
	}
	made := make([]byte, 16*mb)
	runtime.KeepAlive(made)
	if h := readHeap(0); h.garbage < before.garbage+15*mb || h.garbage > before.garbage+18*mb {
		t.Errorf("garbage of %d KiB became %d with 16 MiB more", before.garbage>>10, h.garbage>>10)
	}
}

func TestMemoryIsGivenBack(t *testing.T) {
	burst := make([][]byte, 64)
	for i := range burst {
		burst[i] = make([]byte, mb)
	}
	clear(burst)
	giveBack(0, 0)
	if h := readHeap(0); h.free > 16*mb { // processors keep some
		t.Errorf("%d of %d MiB are free and not given back", h.free/mb, len(burst))
	}
}

func TestServerCountsTheSessionsOfItsEndpoints(t *testing.T) {
	s, err := newServer(defaultConfig(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.shutdown()
	for i, path := range []string{"/echo/000/a/xhr", "/echo/000/b/xhr", "/broadcast/000/a/xhr"} {
		answer := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(answer, httptest.NewRequest("POST", path, nil))
		if answer.Body.String() != "o\n" || s.sessions() != int64(i+1) {
			t.Errorf("%d sessions after %d are opened; the last was told %q", s.sessions(), i+1, answer.Body)
		}
	}
}
