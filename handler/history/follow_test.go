package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchback/handler"
	"switchback/session/memory"
)

// An ether joins the nodes of a test. It loses, delays and repeats as route says.
type ether struct {
	route func(from, to int) []time.Duration // when a publication arrives, each time; nil: never

	mu    sync.Mutex // guards the rest
	waves []*wave
	sent  sync.WaitGroup
}

// A wave is the engine of one node.
type wave struct {
	handler.Memory
	ether   *ether
	node    int
	deliver func(topic string, data []byte) error
	lost    func(error)
	topics  map[string]bool // guarded by ether.mu
}

func (v *wave) OnLoss(lost func(error)) { v.lost = lost }

func (v *wave) Start(deliver func(topic string, data []byte) error) error {
	v.deliver = deliver
	return nil
}

func (v *wave) set(topic string, on bool) error {
	v.ether.mu.Lock()
	defer v.ether.mu.Unlock()
	v.topics[topic] = on
	return nil
}

func (v *wave) Subscribe(_ context.Context, topic string) error   { return v.set(topic, true) }
func (v *wave) Unsubscribe(_ context.Context, topic string) error { return v.set(topic, false) }

func (v *wave) Publish(_ context.Context, topic string, data []byte) error {
	v.ether.mu.Lock()
	defer v.ether.mu.Unlock()
	for _, to := range v.ether.waves {
		if to == v || !to.topics[topic] {
			continue
		}
		for _, after := range v.ether.route(v.node, to.node) {
			copied := bytes.Clone(data)
			v.ether.sent.Go(func() {
				time.Sleep(after)
				to.deliver(topic, copied)
				clear(copied)
			})
		}
	}
	return nil
}

// routes sets where publications go from now on.
func (e *ether) routes(route func(from, to int) []time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.route = route
}

func now(int, int) []time.Duration   { return []time.Duration{0} }
func never(int, int) []time.Duration { return nil }
func later(d time.Duration) func(int, int) []time.Duration {
	return func(int, int) []time.Duration { return []time.Duration{d} }
}

// nodes runs a test with some logs over one store, in virtual time.
func nodes(t *testing.T, o Options, count int, f func(e *ether, s *fakeStore, all []*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e, s := &ether{route: now}, newFakeStore()
		var all []*world
		for i := range count {
			v := &wave{ether: e, node: i, topics: make(map[string]bool)}
			e.waves = append(e.waves, v)
			hub, err := handler.NewHub(v)
			if err != nil {
				t.Fatal(err)
			}
			w := &world{T: t, store: s, hub: hub}
			if w.log, err = New(s, hub, o); err != nil {
				t.Fatal(err)
			}
			all = append(all, w)
		}
		f(e, s, all)
		e.sent.Wait()
		for i, w := range all {
			if n := w.log.Stats().Held.Load(); n != 0 {
				t.Errorf("node %d holds %d bytes", i, n)
			}
			w.close()
		}
	})
}

// follow has a reader get what comes from now on.
func (w *world) follow(topic string) *reader {
	w.Helper()
	r := &reader{cursor: new(Cursor)}
	r.cursor.Follow()
	if err := w.log.Subscribe(context.Background(), topic, topic, r); err != nil {
		w.Fatal(err)
	}
	return r
}

// A shout is a Payload of a node's own.
type shout string

func (s shout) Append(dst []byte) []byte { return append(dst, s...) }
func (s shout) Size() int                { return len(s) }

// Whatever becomes of publications between three nodes on which all publish at once, each
// subscriber of each node gets each once, in the order of the offsets, and without a gap.
func TestOneOrderOverNodes(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { oneOrder(t, seed) })
	}
}

func oneOrder(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	var lock sync.Mutex
	roll := func(n int) int {
		lock.Lock()
		defer lock.Unlock()
		return random.IntN(n)
	}
	bad := func(from, to int) []time.Duration {
		var at []time.Duration
		for range 1 + roll(2) { // twice, in half of the cases
			switch roll(10) {
			case 0:
			case 1:
				at = append(at, time.Duration(roll(600))*time.Millisecond)
			default:
				at = append(at, time.Duration(roll(5))*time.Millisecond)
			}
		}
		return at
	}
	o := anything
	if seed%2 == 1 {
		o.HeldLimit = 2 * itemCost
	}
	if seed%3 == 1 {
		o.ResumeLimit = 3
	}
	const topics, each = 3, 40
	nodes(t, o, 3, func(e *ether, s *fakeStore, all []*world) {
		e.routes(bad)
		s.fails(func(what string) (before, after error) {
			time.Sleep(time.Duration(roll(3)) * time.Millisecond)
			return nil, nil
		})
		topic := func(i int) string { return fmt.Sprint("topic", i) }
		var readers [topics][]*reader
		var epochs [topics]uint64
		for i := range topics {
			for _, w := range all {
				slow := &reader{pause: func() { time.Sleep(time.Duration(roll(2)) * time.Millisecond) }}
				w.log.Subscribe(context.Background(), topic(i), topic(i), slow)
				readers[i] = append(readers[i], w.follow(topic(i)), slow)
			}
			s.mu.Lock()
			epochs[i] = s.topic(topic(i)).Epoch
			s.mu.Unlock()
		}
		var talking, coming sync.WaitGroup
		for n, w := range all {
			for p := range 3 {
				talking.Go(func() {
					for i := range each {
						time.Sleep(time.Duration(roll(20)) * time.Millisecond)
						if err := w.publish(topic(roll(topics)), fmt.Sprint(n, ".", p, ".", i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		var late sync.Mutex
		for range 30 {
			coming.Go(func() {
				i, n := roll(topics), roll(3)
				time.Sleep(time.Duration(roll(500)) * time.Millisecond)
				l, r := all[n].log, &reader{cursor: new(Cursor)}
				err := l.Subscribe(context.Background(), topic(i), topic(i), r)
				if err == nil {
					_, err = l.CatchUp(context.Background(), topic(i), r.cursor, From{Since: &Position{epochs[i], 0}}, r.page)
				}
				if err != nil {
					t.Error(err)
				}
				if roll(3) == 0 || o.ResumeLimit > 0 { // that many are less than all
					l.Unsubscribe(context.Background(), topic(i), topic(i), r)
					return
				}
				late.Lock()
				defer late.Unlock()
				readers[i] = append(readers[i], r)
			})
		}
		talking.Wait()
		coming.Wait()
		time.Sleep(time.Second)
		for _, v := range e.waves {
			v.lost(errors.New("lost"))
		}
		time.Sleep(5 * time.Second)
		for i := range topics {
			want := s.stored(topic(i))
			for n, r := range readers[i] {
				got := r.take()
				at := 0
				for at < min(len(got), len(want)) && got[at] == want[at] {
					at++
				}
				if at < max(len(got), len(want)) {
					t.Errorf("%s: reader %d of %d: %d are right, then it is %.3q and not %.3q", topic(i), n, len(readers[i]), at, got[at:], want[at:])
				}
			}
		}
		for _, w := range all {
			if n := w.log.Stats().Abandoned.Load(); n > 0 {
				t.Errorf("%d holes are given up", n)
			}
			if n := w.log.Stats().Held.Load(); n > 0 {
				t.Errorf("%d bytes are held", n)
			}
		}
	})
}

func TestHoles(t *testing.T) {
	for _, c := range []struct {
		what string
		o    Options
		f    func(e *ether, s *fakeStore, a, b, c *world)
	}{
		{"what comes a little late is waited for", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			calls := s.called()
			e.routes(later(holeWait - 1))
			a.must("x", "1")
			e.routes(now)
			b.must("x", "2")
			time.Sleep(holeWait / 2)
			c.want("before", r.take())
			time.Sleep(holeWait / 2)
			synctest.Wait()
			c.want("after", r.take(), "1:1", "2:2")
			if n := s.called() - calls; n != 4 { // two of a, two of b
				t.Errorf("%d calls", n)
			}
		}},
		{"what does not come is read once, for all", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			var all []*reader
			for range 1000 {
				all = append(all, c.follow("x"))
			}
			a.must("x", "1")
			e.routes(never)
			a.must("x", "2", "3")
			e.routes(now)
			synctest.Wait()
			calls := s.called()
			a.must("x", "4")
			time.Sleep(holeWait - 1)
			c.want("before", all[0].take(), "1:1")
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			for _, r := range all[1:] {
				c.want("after", r.take(), "1:1", "2:2", "3:3", "4:4")
			}
			if n := s.called() - calls; n != 3 { // one to publish, two to read
				t.Errorf("%d calls", n)
			}
			if n := c.log.Stats().Fetched.Load(); n != 2 {
				t.Errorf("%d are fetched", n)
			}
		}},
		{"nothing is asked where nobody has subscribed", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			c.log.Unsubscribe(context.Background(), "x", "x", r)
			e.routes(never)
			a.must("x", "1")
			e.routes(now)
			calls := s.called()
			a.must("x", "2")
			time.Sleep(2 * holeWait) // and no round in the background
			if n := s.called() - calls; n != 1 || len(c.log.followers) != 0 {
				t.Errorf("%d calls", n)
			}
		}},
		{"a node's own waits for its turn", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r := b.follow("x")
			e.routes(later(holeWait / 2))
			a.must("x", "1")
			begun := time.Now()
			b.must("x", "2")
			b.want("b", r.take(), "1:1", "2:2")
			if d := time.Since(begun); d != holeWait/2 {
				t.Errorf("after %v", d)
			}
			e.routes(never)
			a.must("x", "3")
			begun = time.Now()
			b.log.Publish(context.Background(), "x", &handler.Publication{Payload: shout("4")}, "x")
			b.want("b", r.take(), "3:3", "4:4 as it is")
			if d := time.Since(begun); d != holeWait {
				t.Errorf("after %v", d)
			}
			if n := b.log.Stats().Holes.Load(); n != 2 {
				t.Errorf("%d holes", n)
			}
		}},
		{"the last leaves while something is held", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			before := memory.Used()
			r := c.follow("x")
			e.routes(never)
			a.must("x", "1")
			e.routes(now)
			a.must("x", "2")
			synctest.Wait()
			if n := c.log.Stats().Held.Load(); n == 0 || memory.Used() != before+n {
				t.Errorf("%d bytes are held, %d by the process", n, memory.Used()-before)
			}
			c.log.Unsubscribe(context.Background(), "x", "x", r)
			if n := c.log.Stats().Held.Load(); n != 0 || memory.Used() != before {
				t.Errorf("%d bytes are held, %d by the process", n, memory.Used()-before)
			}
			again := c.follow("x")
			a.must("x", "3")
			time.Sleep(time.Second)
			c.want("first", r.take())
			c.want("second", again.take(), "3:3")
		}},
		{"a hole that is very large", Options{Policies: anything.Policies, Logger: anything.Logger, ResumeLimit: 1}, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			a.must("x", "1")
			e.routes(never)
			for range 2 * maxRounds {
				a.must("x", "y")
			}
			e.routes(now)
			a.must("x", "z")
			time.Sleep(time.Second)
			got, all := r.take(), s.stored("x")
			if want := append([]string{all[0], "gap"}, all[len(all)-maxRounds:]...); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}},
		{"what comes while another is delivered, and is not held", Options{Policies: anything.Policies, Logger: anything.Logger, HeldLimit: 1}, func(e *ether, s *fakeStore, a, b, c *world) {
			slow := &reader{pause: func() { time.Sleep(holeWait / 4) }}
			c.log.Subscribe(context.Background(), "x", "x", slow)
			a.must("x", "1")
			synctest.Wait()
			a.must("x", "2")
			time.Sleep(2 * holeWait)
			c.want("c", slow.take(), "1:1", "2:2")
		}},
		{"two of a topic that was not there", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			e.routes(later(1))
			a.must("x", "1")
			e.routes(now)
			b.must("x", "2")
			time.Sleep(time.Millisecond)
			synctest.Wait()
			c.want("c", r.take(), "1:1", "2:2")
		}},
		{"what is stored before somebody subscribes, and comes after", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			e.routes(later(100 * time.Millisecond))
			a.must("x", "1")
			r := c.follow("x")
			e.routes(later(50 * time.Millisecond))
			a.must("x", "2")
			e.routes(now)
			b.must("x", "3")
			time.Sleep(time.Second)
			c.want("c", r.take(), "2:2", "3:3")
		}},
		{"what comes twice is delivered once", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			e.routes(func(int, int) []time.Duration { return []time.Duration{0, 1, time.Second} })
			a.must("x", "1", "2")
			time.Sleep(2 * time.Second)
			c.want("c", r.take(), "1:1", "2:2")
		}},
		{"the last is lost, and the engine says so", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r, other := c.follow("x"), c.follow("y")
			e.routes(never)
			a.must("x", "1", "2")
			time.Sleep(time.Minute)
			c.want("before", r.take())
			s.fails(unreachable)
			e.waves[2].lost(errors.New("lost"))
			time.Sleep(time.Second)
			s.fails(nil)
			time.Sleep(10 * time.Second)
			c.want("after", r.take(), "1:1", "2:2")
			c.want("the other", other.take())
		}},
		{"a store that is away meanwhile", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			e.routes(never)
			a.must("x", "1")
			e.routes(now)
			a.must("x", "2")
			s.fails(unreachable)
			time.Sleep(30 * time.Second)
			c.want("away", r.take())
			s.fails(nil)
			time.Sleep(lastRetry)
			c.want("back", r.take(), "1:1", "2:2")
		}},
		{"a store that does not come back", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			a.must("x", "1")
			e.routes(never)
			a.must("x", "2")
			e.routes(now)
			a.must("x", "3")
			s.fails(unreachable)
			time.Sleep(doubtFor + time.Second)
			c.want("away", r.take(), "1:1", "gap", "3:3")
			if n := c.log.Stats().Abandoned.Load(); n != 1 {
				t.Errorf("%d are given up", n)
			}
			s.fails(nil)
			time.Sleep(lastRetry)
		}},
		{"a store that is away when somebody subscribes", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			a.must("x", "1", "2")
			s.fails(unreachable)
			r := c.follow("x")
			s.fails(nil)
			time.Sleep(lastRetry)
			a.must("x", "3")
			synctest.Wait()
			a.must("x", "4")
			synctest.Wait()
			c.want("c", r.take(), "3:3", "4:4")
		}},
		{"what is missing is not kept any more", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			a.must("x", "1")
			e.routes(never)
			a.must("x", "2", "3")
			e.routes(now)
			a.must("x", "4")
			s.Trim(context.Background(), "x", Keep{Count: 2}, time.Now())
			time.Sleep(time.Second)
			c.want("c", r.take(), "1:1", "gap", "3:3", "4:4")
		}},
		{"more waits than may be held", Options{Policies: anything.Policies, Logger: anything.Logger, HeldLimit: 1000}, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			e.routes(never)
			a.must("x", "1")
			e.routes(now)
			for i := 2; i <= 20; i++ {
				a.must("x", strings.Repeat("x", 90))
				if n := c.log.Stats().Held.Load(); n > 1000 {
					t.Fatalf("%d bytes are held", n)
				}
			}
			time.Sleep(time.Second)
			if got, want := r.take(), s.stored("x"); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			if n := c.log.Stats().Fetched.Load(); n != 18 { // two are held
				t.Errorf("%d are fetched", n)
			}
		}},
		{"removed and made again", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			r := c.follow("x")
			a.must("x", "1", "2", "3")
			synctest.Wait()
			s.mu.Lock()
			delete(s.topics, "x")
			s.mu.Unlock()
			a.must("x", "4")
			synctest.Wait()
			a.must("x", "5")
			synctest.Wait()
			c.want("c", r.take(), "1:1", "2:2", "3:3", "gap", "1:4", "2:5")
		}},
		{"who has stored it has ended; it is published again", anything, func(e *ether, s *fakeStore, a, b, c *world) {
			own, other := b.follow("x"), c.follow("x")
			e.routes(never)
			again := func(w *world) (duplicate bool) {
				_, duplicate, err := w.log.Publish(context.Background(), "x", &handler.Publication{ID: "1", Text: []byte("1")}, "x")
				if err != nil {
					t.Error(err)
				}
				return duplicate
			}
			again(a)
			e.routes(now)
			if !again(b) {
				t.Error("it is stored twice")
			}
			synctest.Wait()
			b.want("b", own.take(), "1:1")
			c.want("c", other.take(), "1:1")
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			nodes(t, c.o, 3, func(e *ether, s *fakeStore, all []*world) { c.f(e, s, all[0], all[1], all[2]) })
		})
	}
}

// A subscription that fails leaves nothing behind, nor one that is given up.
func TestFollowersEnd(t *testing.T) {
	nodes(t, anything, 1, func(e *ether, s *fakeStore, all []*world) {
		w := all[0]
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		r := &reader{}
		w.log.Subscribe(gone, "x", "x", r)
		w.log.Unsubscribe(context.Background(), "x", "x", r)
		w.log.Unsubscribe(context.Background(), "x", "x", r)
		if n := w.hub.Subscribers("x"); n != 0 || len(w.log.followers) != 0 {
			t.Errorf("%d subscribers, %d followers", n, len(w.log.followers))
		}
		first, second := w.follow("x"), w.follow("x")
		w.log.Unsubscribe(context.Background(), "x", "x", first)
		w.must("x", "1")
		w.want("first", first.take())
		w.want("second", second.take(), "1:1")
		w.log.Unsubscribe(context.Background(), "x", "x", second)
		if n := w.hub.Subscribers("x"); n != 0 || len(w.log.followers) != 0 {
			t.Errorf("%d subscribers, %d followers", n, len(w.log.followers))
		}
	})
}
