package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"switchback/session/memory"
)

func TestFirstFrameIsOpen(t *testing.T) {
	h := &recorder{open: func(s Session) error { return s.Send([]byte("welcome")) }}
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		r.next(t, s, `a["welcome"]`)
		r.next(t, s, "")
		if g.Find("k") != s {
			t.Error("session is not found by its key")
		}
	})
}

func TestQueueLeavesInOneFrame(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		r.next(t, s, "")
		s.Send([]byte("a"))
		s.SendPrepared(Prepare([]byte("b\n")))
		s.Send([]byte("c"))
		if n := r.woken.Load(); n != 1 {
			t.Errorf("woken %d times, want 1", n)
		}
		r.next(t, s, `a["a","b\n","c"]`)
		if got, want := s.Queued(), len(`a["a","b\n","c"]`); got != want {
			t.Errorf("queued: got %d, want the %d bytes not yet taken", got, want)
		}
		r.next(t, s, "")
		if s.Queued() != 0 {
			t.Error("still queued after it was taken")
		}
		if err := s.SendBinary([]byte{1}); err != ErrText {
			t.Errorf("binary: got %v, want ErrText", err)
		}
		r.next(t, s, "")
	})
}

func TestFramesSayWhatTheyAre(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		want := func(kind FrameKind) {
			t.Helper()
			if f, _ := r.take(s); f.Kind != kind {
				t.Errorf("got %+v, want kind %d", f, kind)
			}
		}
		want(OpenFrame)
		want(NoFrame)
		s.Send([]byte("x"))
		want(MessageFrame)
		time.Sleep(26 * time.Second)
		synctest.Wait()
		want(HeartbeatFrame)
		want(NoFrame)
		s.Close(3000, "")
		want(CloseFrame)
	})
}

func TestSecondReceiverIsRefused(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r2 := new(receiver)
		if err := s.Attach(r2); err != ErrAttached {
			t.Errorf("second receiver: got %v, want ErrAttached", err)
		}
		if f, _ := r2.take(s); f.Kind != NoFrame || f.More {
			t.Errorf("its next: got %+v, want nothing", f)
		}
		r.next(t, s, "o")
		s.Detach(r, nil)
		if err := s.Attach(r2); err != nil {
			t.Error(err)
		}
		s.Send([]byte("x"))
		r2.next(t, s, `a["x"]`)
	})
}

func TestHeartbeatAfterSilence(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		r.next(t, s, "")
		time.Sleep(10 * time.Second)
		s.Send([]byte("x"))
		r.next(t, s, `a["x"]`)
		r.next(t, s, "")
		r.woken.Store(0)
		time.Sleep(24900 * time.Millisecond)
		synctest.Wait()
		if r.woken.Load() != 0 {
			t.Fatal("heartbeat before its time")
		}
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		if r.woken.Load() != 1 {
			t.Fatal("no heartbeat after 25 s of silence")
		}
		r.next(t, s, "h")
		r.next(t, s, "")
		time.Sleep(26 * time.Second)
		synctest.Wait()
		r.next(t, s, "h")
	})
}

// A sleeper is woken slowly.
type sleeper time.Duration

func (d sleeper) Wake() { time.Sleep(time.Duration(d)) }

func TestLateHeartbeatsAreCounted(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		want := func(n int64) {
			t.Helper()
			if got := g.stats.HeartbeatsLate.Load(); got != n {
				t.Errorf("%d are late, want %d", got, n)
			}
		}
		s, r := open1(t, g, "k")
		heartbeat := func(after time.Duration) {
			t.Helper()
			r.next(t, s, "")
			time.Sleep(after)
			synctest.Wait()
			r.next(t, s, "h")
		}
		r.next(t, s, "o")
		heartbeat(26 * time.Second)
		want(0)
		heartbeat(30 * time.Second)
		want(1)
		r.next(t, s, "")
		time.Sleep(26 * time.Second)
		s.Send([]byte("x")) // stands for the heartbeat
		time.Sleep(10 * time.Second)
		r.next(t, s, `a["x"]`)
		want(1)
		r.next(t, s, "")
		time.Sleep(51 * time.Second) // two are due: the first has not left, the second has just begun
		synctest.Wait()
		r.next(t, s, "h")
		want(2)
		slow := sleeper(5 * time.Second) // which keeps the clock busy while s is due
		busy, err := g.Open("busy", nil, Peer{}, SockJS, slow)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			busy.Next(slow, new(memory.Pieces))
		}
		time.Sleep(time.Second)
		s.Send([]byte("x"))
		r.next(t, s, `a["x"]`)
		heartbeat(30 * time.Second)
		want(3)
	})
}

func TestNoHeartbeatsWhenOff(t *testing.T) {
	c := config
	c.HeartbeatDelay = -1
	bubble(t, Shared(&recorder{}), c, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		r.next(t, s, "")
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.woken.Load() != 0 {
			t.Error("heartbeat")
		}
		s.Detach(r, nil)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if g.Find("k") != nil {
			t.Error("session outlives the disconnect delay")
		}
	})
}

func TestSessionOutlivesItsReceiverForTheDisconnectDelay(t *testing.T) {
	h := new(recorder)
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		for range 5 {
			s.Detach(r, nil)
			time.Sleep(4900 * time.Millisecond)
			if err := s.Attach(r); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Second) // attached: it may take its time
		s.Detach(r, nil)
		time.Sleep(4900 * time.Millisecond)
		h.want(t, "open")
		time.Sleep(400 * time.Millisecond)
		h.want(t, "open", "close 1006 Client went away")
		if g.Find("k") != nil || g.Stats().Sessions.Load() != 0 {
			t.Error("session is not forgotten")
		}
		if err := s.Attach(r); err != ErrClosed {
			t.Errorf("attach: got %v, want ErrClosed", err)
		}
		if err := s.Send([]byte("x")); err != ErrClosed {
			t.Errorf("send: got %v, want ErrClosed", err)
		}
	})
}

// sockjs-protocol, Protocol.test_closeSession.
func TestClosedSessionTellsEachReceiver(t *testing.T) {
	h := new(recorder)
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		s.Send([]byte("last words"))
		if err := s.Close(3000, "Go away!"); err != nil {
			t.Fatal(err)
		}
		h.want(t, "open", "close 3000 Go away!")
		r.next(t, s, `a["last words"]`)
		for range 3 {
			r.next(t, s, `c[3000,"Go away!"]`)
			s.Detach(r, nil)
			time.Sleep(time.Second)
			if err := s.Attach(r); err != nil {
				t.Fatal(err)
			}
		}
		s.Detach(r, nil)
		if err := s.Receive(t.Context(), []byte("x")); err != ErrClosed {
			t.Errorf("receive: got %v, want ErrClosed", err)
		}
		if err := s.Close(3000, ""); err != ErrClosed {
			t.Errorf("close again: got %v, want ErrClosed", err)
		}
		time.Sleep(2500 * time.Millisecond) // polling does not keep it for ever
		synctest.Wait()
		if g.Find("k") != nil {
			t.Error("session is not forgotten")
		}
	})
}

// sockjs-protocol, HandlingClose.test_abort_xhr_polling.
func TestBrokenReceiverClosesTheSession(t *testing.T) {
	for _, detached := range []bool{false, true} {
		h := new(recorder)
		bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
			s, r := open1(t, g, "k")
			r.next(t, s, "o")
			if detached {
				s.Detach(r, nil) // the answer was on its way
			}
			s.Detach(r, errors.New("reset by peer"))
			h.want(t, "open", "close 1002 Connection interrupted")
			if err := s.Attach(r); err != nil {
				t.Fatal(err)
			}
			r.next(t, s, `c[1002,"Connection interrupted"]`)
		})
	}
}

func TestLateErrorOfAnOldReceiverIsNotTheNewOnes(t *testing.T) {
	h := new(recorder)
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		s.Detach(r, nil)
		if err := s.Attach(new(receiver)); err != nil {
			t.Fatal(err)
		}
		s.Detach(r, errors.New("reset by peer"))
		h.want(t, "open")
	})
}

// sockjs-protocol, Websocket.test_reuseSessionId.
func TestSessionWithoutKeyDiesWithItsReceiver(t *testing.T) {
	h := new(recorder)
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "")
		s2, _ := open1(t, g, "")
		if s.ID() == s2.ID() {
			t.Error("two sessions have one name")
		}
		s.Detach(r, nil)
		h.want(t, "open", "open", "close 1002 Connection interrupted")
		if g.Stats().Sessions.Load() != 1 {
			t.Error("session is not forgotten")
		}
	})
}

// The wheel may have taken out a session just when its receiver leaves.
func TestClosedSessionIsForgottenOnce(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "")
		s.Close(3000, "")
		s.Detach(r, nil)
		s.expire(1 << 30)
		if n := g.Stats().Sessions.Load(); n != 0 {
			t.Errorf("%d sessions are counted", n)
		}
	})
}

func TestSlowClientIsClosedAtItsLimit(t *testing.T) {
	h := new(recorder)
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		big := []byte(strings.Repeat("x", 300))
		if err := s.Send(big); err != nil {
			t.Fatalf("one message of any size: %v", err)
		}
		if err := s.Send([]byte("y")); err != ErrSlow {
			t.Fatalf("got %v, want ErrSlow", err)
		}
		h.want(t, "open", "close 1013 Client is too slow")
		if g.Stats().Memory.Load() != 0 || g.Stats().Slow.Load() != 1 {
			t.Errorf("stats: %+v", g.Stats())
		}
		if err := s.Send([]byte("y")); err != ErrClosed {
			t.Errorf("got %v, want ErrClosed", err)
		}
		r.next(t, s, "o")
		r.next(t, s, `c[1013,"Client is too slow"]`)
	})
}

// What Next gave counts as queued until it is taken: it may not be written. Who writes
// it counts it as held.
func TestFrameOnItsWayCounts(t *testing.T) {
	for name, taken := range map[string]func(*Local, *receiver){
		"by Taken": func(s *Local, _ *receiver) { s.Taken() },
		"by Next":  func(s *Local, r *receiver) { r.take(s) },
		"no":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			c := config
			c.QueueLimit = 1000
			bubble(t, Shared(&recorder{}), c, func(t *testing.T, g *Registry) {
				s, r := open1(t, g, "k")
				r.next(t, s, "o")
				s.Send([]byte(strings.Repeat("x", 990)))
				if got, want := g.Stats().Memory.Load(), int64(992-uncounted); got != want {
					t.Errorf("queued: %d bytes are counted, want %d", got, want)
				}
				r.next(t, s, `a["`+strings.Repeat("x", 990)+`"]`)
				if got := s.Queued(); got != 995 {
					t.Errorf("on its way: %d bytes are queued, want 995", got)
				}
				if taken == nil {
					if err := s.Send([]byte("0123456789")); err != ErrSlow {
						t.Errorf("got %v, want ErrSlow", err)
					}
					return
				}
				taken(s, r)
				if s.Queued() != 0 || g.Stats().Memory.Load() != 0 {
					t.Errorf("taken: %d bytes are queued, %d counted", s.Queued(), g.Stats().Memory.Load())
				}
				if err := s.Send([]byte("0123456789")); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A receiver that is told that there is more is not woken for it.
func TestReceiverIsWokenOnlyForWhatItWasNotTold(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		s.Send([]byte("a"))
		wantNext := func(frame string, more bool, woken int32) {
			t.Helper()
			if f, got := r.take(s); got != frame || f.More != more || r.woken.Load() != woken {
				t.Errorf("%s, %v, woken %d times; want %s, %v, %d", got, f.More, r.woken.Load(), frame, more, woken)
			}
		}
		wantNext("o", true, 0)
		wantNext(`a["a"]`, false, 0)
		s.Send([]byte("b")) // while that is being written
		s.Send([]byte("c"))
		wantNext(`a["b","c"]`, false, 1)
		s.Send([]byte("d"))
		s.Close(3000, "")
		wantNext(`a["d"]`, true, 2)
		wantNext(`c[3000,""]`, false, 2)
	})
}

func TestCloseCodes(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		for _, code := range []int{-1, 0, 999, 1004, 1005, 1006, 1015, 2010, 2999, 5000} {
			s, _ := open1(t, g, "")
			if err := s.Close(code, ""); err != ErrCode {
				t.Errorf("%d: got %v, want ErrCode", code, err)
			}
		}
		for _, code := range []int{1000, 1003, 1007, 1014, 3000, 4999} {
			s, _ := open1(t, g, "")
			if err := s.Close(code, ""); err != nil {
				t.Errorf("%d: %v", code, err)
			}
		}
		s, r := open1(t, g, "long")
		r.next(t, s, "o")
		s.Close(3000, strings.Repeat("x", 122)+"é")
		r.next(t, s, `c[3000,"`+strings.Repeat("x", 122)+`"]`)
	})
}

func TestContextEndsWithTheSession(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		s, _ := open1(t, g, "k")
		before := s.Context()
		if before.Err() != nil {
			t.Error("done while the session is open")
		}
		s.Close(3000, "x")
		for _, ctx := range []context.Context{before, s.Context()} {
			var end *CloseError
			if ctx.Err() == nil || !errors.As(context.Cause(ctx), &end) || end.Code != 3000 {
				t.Errorf("got %v, %v", ctx.Err(), context.Cause(ctx))
			}
		}
	})
}

// A handler may hold a lock while it sends that its OnClose needs.
func TestSendDoesNotCallTheHandler(t *testing.T) {
	h := &lockingHandler{}
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, _ := open1(t, g, "k")
		h.Lock()
		s.Send(make([]byte, 200))
		if err := s.Send([]byte("x")); err != ErrSlow {
			t.Errorf("got %v, want ErrSlow", err)
		}
		h.Unlock()
		synctest.Wait()
		if !h.closed {
			t.Error("OnClose was not called")
		}
	})
}

type lockingHandler struct {
	Nop
	sync.Mutex
	closed bool
}

func (h *lockingHandler) OnClose(Session, error) { h.Lock(); h.closed = true; h.Unlock() }

// The allocator gives the next size 352 bytes.
func TestLocalIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Local{}); n > 320 {
		t.Errorf("a session takes %d bytes", n)
	}
}

// Whatever goroutines do at once, OnOpen comes first, OnClose last and once,
// and messages of one goroutine stay in order.
func TestEverythingAtOnce(t *testing.T) {
	for round := range 200 {
		h := new(recorder)
		c := config
		c.QueueLimit, c.DisconnectDelay = 1<<20, 50*time.Millisecond // for which what is left is waited for
		g := NewRegistry(Shared(h), c)
		s, r := open1(t, g, "k")
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := range 20 {
					s.Receive(t.Context(), fmt.Appendf(nil, "%d %02d", i, j))
					s.Send([]byte("x"))
				}
			})
		}
		wg.Go(func() {
			for range 20 {
				r.take(s)
			}
			if round%2 == 0 {
				s.Detach(r, errors.New("gone"))
			}
			s.Close(3000, "")
		})
		wg.Wait()
		if err := shutdown(t, g, s, r); err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		checkEvents(t, h.events)
		h.mu.Unlock()
	}
}

func shutdown(t *testing.T, g *Registry, s *Local, r *receiver) error {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s.Detach(r, nil)
	return g.Shutdown(ctx)
}

func checkEvents(t *testing.T, events []string) {
	t.Helper()
	last := len(events) - 1
	if events[0] != "open" || !strings.HasPrefix(events[last], "close") {
		t.Fatalf("events: %q", events)
	}
	seen := make(map[string]string)
	for _, e := range events[1:last] {
		who, n, _ := strings.Cut(strings.TrimPrefix(e, "message "), " ")
		if !strings.HasPrefix(e, "message ") || n <= seen[who] {
			t.Fatalf("event %q after %q", e, seen[who])
		}
		seen[who] = n
	}
}

func BenchmarkSendAndNext(b *testing.B) {
	b.ReportAllocs()
	c := config
	c.QueueLimit = 1 << 20
	g := NewRegistry(Shared(&lockingHandler{}), c)
	defer g.wheel.stop()
	r := new(receiver)
	s, _ := g.Open("k", nil, Peer{}, SockJS, r)
	text, p := []byte(strings.Repeat("x", 100)), new(memory.Pieces)
	for b.Loop() {
		s.Send(text)
		s.Next(r, p)
		p.Reset()
		s.Taken()
	}
}

func TestAgeIsTheTimeSinceASessionOpened(t *testing.T) {
	bubble(t, Shared(Nop{}), config, func(t *testing.T, g *Registry) {
		time.Sleep(time.Hour) // of a registry that had sessions before
		s, err := g.Open("k", nil, Peer{}, SockJS, new(receiver))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []time.Duration{0, 10 * time.Millisecond, time.Second, 400 * 24 * time.Hour} {
			s.opened = g.age() - age(want/(10*time.Millisecond))
			if got := s.Age(); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		s.opened = g.age()
		time.Sleep(90 * time.Second)
		if got := s.Age(); got != 90*time.Second {
			t.Errorf("got %v", got)
		}
	})
}
