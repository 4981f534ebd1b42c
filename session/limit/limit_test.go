package limit

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What comes when, in milliseconds, and how much of it: what is refused takes nothing.
func TestBucketTakesBurstAndRate(t *testing.T) {
	type step struct {
		at, n int
		want  bool
	}
	for _, c := range []struct {
		rate  Rate
		steps []step
	}{
		{Rate{}, []step{{0, 1 << 30, true}, {0, 1 << 30, true}}},
		{Rate{1, 1}, []step{{0, 1, true}, {0, 1, false}, {999, 1, false}, {1000, 1, true}, {1000, 1, false}}},
		{Rate{10, 3}, []step{{0, 3, true}, {0, 1, false}, {99, 1, false}, {100, 1, true}, {10000, 3, true}, {10000, 1, false}}},
		{Rate{10, 3}, []step{{0, 4, false}, {0, 2, true}, {0, 2, false}, {0, 1, true}}},
		{Rate{3, 3}, []step{{0, 1, true}, {0, 1, true}, {0, 1, true}, {0, 1, false}}},
		{Rate{1000, 100}, []step{{0, 100, true}, {50, 50, true}, {50, 1, false}, {60, 11, false}, {60, 10, true}}},
		{Rate{1, math.MaxInt}, []step{{0, 1 << 30, true}, {0, 1 << 30, true}}},
		{Rate{math.MaxInt, 1}, []step{{0, 1, true}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b Bucket
			start := time.Now()
			for _, s := range c.steps {
				time.Sleep(time.Until(start.Add(time.Duration(s.at) * time.Millisecond)))
				if got := b.Take(c.rate, s.n); got != s.want {
					t.Errorf("%+v: %+v: got %v", c.rate, s, got)
				}
			}
		})
	}
}

func TestBucketIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Bucket{}); n != 8 {
		t.Errorf("it takes %d bytes", n)
	}
}

func TestUsersHaveSoManySessions(t *testing.T) {
	g := NewUsers(2, Rate{})
	kim := g.Join("kim")
	if g.Join("kim") != kim || g.Join("kim") != nil || g.Join("lee") == nil {
		t.Error("not two sessions each")
	}
	for range 5 {
		if g.Join("") == nil {
			t.Error("nobody is limited")
		}
	}
	g.Leave(kim)
	if g.Join("kim") != kim || g.Join("kim") != nil {
		t.Error("not two again")
	}
	g.Leave(kim)
	g.Leave(kim)
	if len(g.all) != 1 {
		t.Errorf("%d users are left", len(g.all))
	}
}

// Who comes back has no more than who stays, and who does not is forgotten.
func TestUsersAreRememberedWhileItMatters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewUsers(0, Rate{PerSecond: 1, Burst: 2})
		for i := range 1000 {
			u := g.Join(fmt.Sprint(i))
			if !g.Take(u, 2) || g.Take(u, 1) {
				t.Fatal("not two at once")
			}
			g.Leave(u)
			u = g.Join(fmt.Sprint(i))
			if g.Take(u, 1) {
				t.Fatal("one more after coming back")
			}
			g.Leave(u)
			if i%10 == 0 {
				time.Sleep(time.Second)
			}
		}
		if n := len(g.all); n > 300 {
			t.Errorf("%d users are remembered", n)
		}
		time.Sleep(2 * time.Second)
		u := g.Join("999")
		if !g.Take(u, 2) {
			t.Error("not two after two seconds")
		}
		a, b := g.Join(""), g.Join("")
		if !g.Take(a, 2) || !g.Take(b, 2) || g.Take(a, 1) {
			t.Error("nobody is one user")
		}
	})
}

// Users who leave while nobody's time is over are not all looked at with each of them, and
// are forgotten once it is.
func TestSweepsAreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewUsers(0, Rate{PerSecond: 1, Burst: 10})
		for i := range 500 { // these stay
			g.Join(fmt.Sprint("here ", i))
		}
		sweeps, sweepAt := 0, g.sweepAt
		leave := func(name string) {
			u := g.Join(name)
			g.Take(u, 10)
			if g.Leave(u); g.sweepAt != sweepAt {
				sweeps, sweepAt = sweeps+1, g.sweepAt
			}
		}
		for i := range 20000 {
			leave(fmt.Sprint(i))
		}
		if len(g.all) != 20500 || g.left != 20000 || sweeps > 10 {
			t.Errorf("%d users are known, %d have left, %d sweeps", len(g.all), g.left, sweeps)
		}
		time.Sleep(time.Minute)
		for i := 20000; g.left >= 20000; i++ {
			if leave(fmt.Sprint(i)); g.left > 50000 {
				t.Fatal("none is forgotten")
			}
		}
	})
}

func TestUsersTogether(t *testing.T) {
	g := NewUsers(3, Rate{PerSecond: 1, Burst: 50})
	var all sync.WaitGroup
	var taken atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if u := g.Join("kim"); u != nil {
					if g.Take(u, 1) {
						taken.Add(1)
					}
					g.Leave(u)
				}
			}
		})
	}
	all.Wait()
	if n := taken.Load(); n < 50 || n > 60 {
		t.Errorf("%d were taken", n)
	}
	if u := g.all["kim"]; u == nil || u.sessions != 0 || g.left != 1 {
		t.Errorf("%+v, %d are left", u, g.left)
	}
}
