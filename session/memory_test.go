package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchback/session/memory"
)

// held is what a session holds, found without the count of it.
func (s *Local) held() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = s.queue.own() + int(s.delivering)
	if s.inbox != nil {
		for _, e := range s.inbox.events {
			n += len(e.data) + eventCost
		}
	}
	return max(n-uncounted, 0)
}

// Whatever happens to sessions, in whatever order, the registry's count of memory is what
// they hold, and nothing once they are gone.
func TestMemoryIsWhatSessionsHold(t *testing.T) {
	c := config
	c.QueueLimit, c.InboxLimit = 5000, 3000
	limitMemory(t, 9000)
	before := memory.Used()
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var gate chan struct{}
		h := &recorder{text: func(_ Session, text []byte) error {
			if text[0] == 'b' { // it is busy
				<-gate
			}
			return nil
		}}
		bubble(t, Shared(h), c, func(t *testing.T, g *Registry) {
			gate = make(chan struct{})
			receivers := make(map[*Local]*receiver)
			var ever []*Local // a handler may be busy with what a session that is gone has brought
			for step := range 200 {
				if len(receivers) < 4 {
					key, r := "", new(receiver)
					if rnd.IntN(2) == 0 {
						key = fmt.Sprint("k", step)
					}
					s, err := g.Open(key, nil, Peer{}, SockJS, r)
					if err != nil {
						t.Fatal(err)
					}
					receivers[s] = r
					ever = append(ever, s)
				}
				all := g.Sessions()
				s := all[rnd.IntN(len(all))]
				r, text := receivers[s], []byte(strings.Repeat("x", rnd.IntN(1500)))
				switch rnd.IntN(12) {
				case 0, 1, 2:
					s.Send(text)
				case 3:
					s.SendPrepared(Prepare(text))
				case 4, 5:
					r.take(s)
				case 6:
					s.Taken()
				case 7:
					s.Detach(r, []error{nil, nil, errors.New("lost")}[rnd.IntN(3)])
				case 8:
					s.Attach(r)
				case 9:
					go func(after time.Duration, first byte) {
						ctx, cancel := context.WithTimeout(context.Background(), after)
						defer cancel()
						s.Receive(ctx, append([]byte{first}, text...))
					}(time.Duration(rnd.IntN(40))*time.Second, "bbxxx"[rnd.IntN(5)])
				case 10:
					select {
					case gate <- struct{}{}:
					default:
					}
				case 11:
					time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
				}
				synctest.Wait()
				sum := 0
				for _, s := range ever {
					sum += s.held()
				}
				if got := int(g.Stats().Memory.Load()); got != sum {
					t.Fatalf("seed %d, step %d: %d bytes are counted, %d are held", seed, step, got, sum)
				}
				for s := range receivers {
					if !slices.Contains(g.Sessions(), s) {
						delete(receivers, s)
					}
				}
			}
			close(gate)
			for s, r := range receivers {
				s.Detach(r, nil)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if m, n, all := g.Stats().Memory.Load(), g.Stats().Sessions.Load(), memory.Used()-before; m != 0 || n != 0 || all != 0 {
				t.Fatalf("seed %d: %d bytes and %d sessions are left, %d bytes in all", seed, m, n, all)
			}
		})
	}
}

// A session may be closed before its handler knows of it: the handler is told of its
// beginning all the same, and then of its end.
func TestClosedBeforeOnOpen(t *testing.T) {
	c := config
	c.Opened = func(s *Local) { s.Close(4000, "not now") }
	h := new(recorder)
	bubble(t, Shared(h), c, func(t *testing.T, g *Registry) {
		open1(t, g, "k")
		synctest.Wait()
		h.want(t, "open", "close 4000 not now")
	})
	bubble(t, Blocking(func(c *Conn) error { <-c.Context().Done(); return nil }), c, func(t *testing.T, g *Registry) {
		open1(t, g, "k") // returns
	})
}

// At the limit a publisher is refused, and never a session closed: who reads gets
// small messages, and who holds something keeps it.
func TestMemoryLimitRefusesThePublisher(t *testing.T) {
	c := config
	c.QueueLimit = 1 << 20
	limitMemory(t, 100_000)
	bubble(t, Shared(&recorder{}), c, func(t *testing.T, g *Registry) {
		slow, r := open1(t, g, "slow")
		quick, _ := open1(t, g, "quick")
		own := strings.Repeat("x", smallMessage)
		for range 6 {
			slow.Send([]byte(own))
		}
		slow.Send([]byte("over the limit now: " + own[:uncounted+2000]))
		for _, s := range []struct {
			session *Local
			text    string
			want    error
		}{
			{slow, "x", ErrMemory},
			{quick, "x", nil},
			{quick, own + "x", ErrMemory},
		} {
			if err := s.session.Send([]byte(s.text)); err != s.want {
				t.Errorf("%d bytes to %s: %v, want %v", len(s.text), s.session.key, err, s.want)
			}
		}
		if err := slow.SendPrepared(Prepare([]byte(own))); err != nil {
			t.Errorf("what others hold, too: %v", err)
		}
		if n := g.Stats().Full.Load(); n != 2 {
			t.Errorf("%d were refused, want 2", n)
		}
		r.take(slow)
		if _, got := r.take(slow); !strings.Contains(got, "over the limit") || slow.Closing() {
			t.Errorf("what was queued before: %.20s..., closing %v", got, slow.Closing())
		}
	})
}

// A handler that returns ErrMemory ends its session as one that may be tried again.
func TestErrMemoryTellsTheClientToComeBack(t *testing.T) {
	h := &recorder{text: func(Session, []byte) error { return ErrMemory }}
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, _ := open1(t, g, "k")
		s.Receive(context.Background(), []byte("a"))
		h.want(t, "open", "message a", "close 1013 Server is out of memory")
	})
}

// A large message to many is held once, from the first who has to write it to the last,
// and closes nobody at the QueueLimit.
func TestSharedMessagesAreCountedOnce(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		before := memory.Used()
		text := strings.Repeat("\x01", 10_000)
		want := `a["` + strings.Repeat(`\u0001`, 10_000) + `","` + strings.Repeat(`\u0001`, 10_000) + `"]`
		receivers := make(map[*Local]*receiver)
		for range 100 {
			s, r := open1(t, g, "")
			r.take(s)
			receivers[s] = r
		}
		for range 2 {
			m := Prepare([]byte(text))
			for s := range receivers {
				if err := s.SendPrepared(m); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := memory.Used() - before; n < 120_000 || n > 125_000 {
			t.Errorf("%d bytes are counted for 100 sessions with 120,000 bytes in common", n)
		}
		for s, r := range receivers {
			if n := s.Queued(); n < 120_000 {
				t.Errorf("%d bytes are queued", n)
			}
			if _, got := r.take(s); got != want {
				t.Fatalf("%d bytes, want %d", len(got), len(want))
			}
		}
		if n := memory.Used() - before; n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

// Messages that differ by little around one body share it.
func TestMessageAroundABody(t *testing.T) {
	c := config
	c.QueueLimit = 1 << 20
	bubble(t, Shared(&recorder{}), c, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "")
		r.take(s)
		for _, size := range []int{3, 2 * copied} {
			body := Prepare([]byte(strings.Repeat("\n", size)))
			s.SendPrepared(body.Around([]byte("1\""), []byte("\x00")))
			s.SendPrepared(body.Around([]byte("2\t"), nil))
			n := strings.Repeat(`\n`, size)
			if _, got := r.take(s); got != `a["1\"`+n+`\u0000","2\t`+n+`"]` {
				t.Errorf("got %s", got)
			}
			if got := string(body.Around([]byte("1"), []byte("2")).Text()); got != "1"+strings.Repeat("\n", size)+"2" {
				t.Errorf("text: %q", got)
			}
		}
		if err := s.SendPrepared(PrepareBinary([]byte("x"))); err != ErrText {
			t.Errorf("binary: %v", err)
		}
	})
}

// While publishers have to wait, a session is closed that alone holds much of what was sent
// to many; those who hold it together are not.
func TestHoardersAreClosedUnderPressure(t *testing.T) {
	const limit = 16 << 20
	limitMemory(t, limit)
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		var receivers []*receiver
		var sessions []*Local
		for range 4 {
			s, r := open1(t, g, "")
			r.take(s)
			sessions, receivers = append(sessions, s), append(receivers, r)
		}
		send := func(size int, to ...*Local) {
			m := Prepare(make([]byte, size))
			for _, s := range to {
				s.SendPrepared(m)
			}
		}
		send(400_000, sessions...) // 2.4 MB in JSON, of which each holds its part
		send(400_000, sessions[0]) // one holds that alone
		send(20_000, sessions[1])  // and another less
		reserved := make(chan error)
		go func() { reserved <- memory.Reserve(context.Background(), limit-1<<20) }()
		time.Sleep(4 * time.Second)
		if sessions[0].Closing() {
			t.Error("closed although publishers have not waited for long")
		}
		time.Sleep(1500 * time.Millisecond) // between two looks
		for i, s := range sessions {
			if s.Closing() != (i == 0) {
				t.Errorf("session %d: closing: %v", i, s.Closing())
			}
		}
		for i, s := range sessions {
			receivers[i].take(s)
		}
		if err := <-reserved; err != nil {
			t.Error(err)
		}
		memory.Add(-(limit - 1<<20))
		if n := g.Stats().Slow.Load(); n != 1 {
			t.Errorf("%d sessions are counted as slow", n)
		}
	})
}
