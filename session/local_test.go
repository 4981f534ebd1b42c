package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"switchback/session/memory"
)

// config is as SockJS has it, with small limits.
var config = Config{
	HeartbeatDelay:  25 * time.Second,
	DisconnectDelay: 5 * time.Second,
	InboxTimeout:    30 * time.Second,
	SessionLimit:    1000,
	QueueLimit:      100,
	InboxLimit:      200,
}

// A recorder is a handler that notes its events, and does what a test gives it.
type recorder struct {
	mu     sync.Mutex
	events []string
	open   func(Session) error
	text   func(Session, []byte) error
}

func (h *recorder) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, fmt.Sprintf(format, args...))
}

func (h *recorder) OnOpen(s Session) error {
	h.note("open")
	if h.open != nil {
		return h.open(s)
	}
	return nil
}

func (h *recorder) OnMessage(s Session, text []byte) error {
	h.note("message %s", text)
	if h.text != nil {
		return h.text(s, text)
	}
	return nil
}

func (h *recorder) OnClose(_ Session, err error) {
	end := err.(*CloseError)
	h.note("close %d %s", end.Code, end.Reason)
}

func (h *recorder) want(t *testing.T, events ...string) {
	t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !reflect.DeepEqual(h.events, events) {
		t.Errorf("events: got %q, want %q", h.events, events)
	}
}

// A receiver counts how often it is woken.
type receiver struct{ woken atomic.Int32 }

func (r *receiver) Wake() { r.woken.Add(1) }

// next demands the next frame.
func (r *receiver) next(t *testing.T, s *Local, want string) {
	t.Helper()
	if _, got := r.take(s); got != want {
		t.Errorf("frame: got %s, want %s", got, want)
	}
}

// take takes the next frame.
func (r *receiver) take(s *Local) (Frame, string) {
	var p memory.Pieces
	defer p.Reset()
	f := s.Next(r, &p)
	var b []byte
	for chunk := range p.Chunks(1 << 20) {
		b = append(b, chunk...)
	}
	return f, string(b)
}

// limitMemory sets the limit of package memory for a test, beside what is held already.
func limitMemory(t *testing.T, bytes int64) {
	before := memory.SetLimit(memory.Used() + bytes)
	t.Cleanup(func() { memory.SetLimit(before) })
}

func open1(t *testing.T, g *Registry, key string) (*Local, *receiver) {
	t.Helper()
	r := new(receiver)
	s, err := g.Open(key, nil, Peer{Address: "192.0.2.1"}, SockJS, r)
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// bubble runs a test in virtual time, with a registry whose clock has stopped
// at its end.
func bubble(t *testing.T, opener Opener, c Config, f func(t *testing.T, g *Registry)) {
	synctest.Test(t, func(t *testing.T) {
		g := NewRegistry(opener, c)
		defer g.wheel.stop()
		f(t, g)
		synctest.Wait()
		held := int64(0)
		for _, s := range g.Sessions() {
			s.mu.Lock()
			held += int64(s.counted)
			s.mu.Unlock()
		}
		if got := g.Stats().Memory.Load(); got != held {
			t.Errorf("memory: %d counted, %d held", got, held)
		}
		if known, live := len(g.Sessions()), g.Stats().Sessions.Load(); int64(known) != live {
			t.Errorf("%d sessions are known, %d live", known, live)
		}
	})
}

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

// Who returns an error of OnOpen has to give back what it took before, as ever in OnClose.
func TestErrorOfOnOpenEndsTheSession(t *testing.T) {
	h := &recorder{open: func(s Session) error {
		s.Send([]byte("sorry"))
		return &CloseError{Code: 4000, Reason: "Full"}
	}}
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		r.next(t, s, `a["sorry"]`)
		r.next(t, s, `c[4000,"Full"]`)
		h.want(t, "open", "close 4000 Full")
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

func TestSessionLimits(t *testing.T) {
	c := config
	c.SessionLimit, c.AddressLimit = 3, 2
	bubble(t, Shared(&recorder{}), c, func(t *testing.T, g *Registry) {
		var refused *RefusedError
		s, r := open1(t, g, "")
		open1(t, g, "")
		if _, err := g.Open("", nil, Peer{Address: "192.0.2.1"}, SockJS, r); !errors.As(err, &refused) || refused.Status != 503 {
			t.Errorf("third of an address: got %v", err)
		}
		if _, err := g.Open("", nil, Peer{Address: "192.0.2.2"}, SockJS, r); err != nil {
			t.Error(err)
		}
		if _, err := g.Open("", nil, Peer{Address: "192.0.2.3"}, SockJS, r); !errors.As(err, &refused) || refused.Status != 503 {
			t.Errorf("fourth of all: got %v", err)
		}
		if g.Stats().Refused.Load() != 2 {
			t.Errorf("stats: %+v", g.Stats())
		}
		s.Detach(r, nil)
		open1(t, g, "")
	})
}

// One client has a whole /64 of IPv6 at least.
func TestAddressLimitCountsNetworks(t *testing.T) {
	for _, c := range []struct {
		first, second string
		same          bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"::1", "192.0.2.1", false},
		{"fe80::1%eth0", "fe80::2", true},
		{"", "192.0.2.1", false},
		{"", "", true},
		{"", "unknown", true},
	} {
		config := config
		config.AddressLimit = 1
		bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
			r := new(receiver)
			s, err := g.Open("", nil, Peer{Address: c.first}, SockJS, r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Open("", nil, Peer{Address: c.second}, SockJS, new(receiver)); (err != nil) != c.same {
				t.Errorf("%q after %q: got %v", c.second, c.first, err)
			}
			s.Detach(r, nil)
			if _, err := g.Open("", nil, Peer{Address: c.first}, SockJS, new(receiver)); err != nil {
				t.Errorf("%q once its session has gone: got %v", c.first, err)
			}
		})
	}
}

func TestSessionsAreListedFoundAndClosed(t *testing.T) {
	var told []string
	c := config
	c.Opened = func(s *Local) { told = append(told, "opened "+s.Peer().Address) }
	c.Closed = func(s *Local, _ error) { told = append(told, "closed "+s.Peer().Address) }
	h := &recorder{open: func(Session) error { told = append(told, "OnOpen"); return nil }}
	bubble(t, Shared(h), c, func(t *testing.T, g *Registry) {
		keyed, _ := open1(t, g, "k")
		other, err := g.Open("", nil, Peer{Address: "192.0.2.2"}, SockJS, new(receiver))
		if err != nil {
			t.Fatal(err)
		}
		if all := g.Sessions(); len(all) != 2 || !slices.Contains(all, keyed) || !slices.Contains(all, other) {
			t.Errorf("listed: %v", all)
		}
		if g.FindID(keyed.ID()) != keyed || g.FindID(other.ID()) != other || g.FindID("k") != nil {
			t.Error("not found by their IDs, or found by a key")
		}
		from := func(address string) func(*Local) bool {
			return func(s *Local) bool { return s.Peer().Address == address }
		}
		if n, err := g.CloseIf(from("192.0.2.2"), 1006, ""); n != 0 || err != ErrCode {
			t.Errorf("got %d, %v, want ErrCode", n, err)
		}
		for _, want := range []int{1, 0} {
			if n, err := g.CloseIf(from("192.0.2.2"), 4000, "Out"); n != want || err != nil {
				t.Errorf("closed %d, %v, want %d", n, err, want)
			}
		}
		synctest.Wait()
		if keyed.Closing() || !other.Closing() {
			t.Error("the wrong session has closed")
		}
		want := []string{"opened 192.0.2.1", "OnOpen", "opened 192.0.2.2", "OnOpen", "closed 192.0.2.2"}
		if !slices.Equal(told, want) {
			t.Errorf("told: %q, want %q", told, want)
		}
	})
}

func TestOpenerRefuses(t *testing.T) {
	want := &RefusedError{Status: 401, Reason: "Who are you?"}
	opener := OpenerFunc(func(*http.Request) (Handler, error) { return nil, want })
	bubble(t, opener, config, func(t *testing.T, g *Registry) {
		_, err := g.Open("k", nil, Peer{}, SockJS, new(receiver))
		if err != want || g.Find("k") != nil || g.Stats().Sessions.Load() != 0 {
			t.Errorf("got %v, %+v", err, g.Stats())
		}
	})
}

func TestHandlerEndsItsSession(t *testing.T) {
	for _, c := range []struct {
		err   error
		frame string
		event string
	}{
		{&CloseError{Code: 4001, Reason: "no"}, `c[4001,"no"]`, "close 4001 no"},
		{fmt.Errorf("wrapped: %w", &CloseError{Code: 4001, Reason: "no"}), `c[4001,"no"]`, "close 4001 no"},
		{&CloseError{Code: 1006}, `c[1011,"Internal error"]`, "close 1011 Internal error"},
		{errors.New("database is down"), `c[1011,"Internal error"]`, "close 1011 Internal error"},
	} {
		h := &recorder{text: func(Session, []byte) error { return c.err }}
		bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
			s, r := open1(t, g, "k")
			r.next(t, s, "o")
			s.Receive(t.Context(), []byte("a"), []byte("b"))
			r.next(t, s, c.frame)
			h.want(t, "open", "message a", c.event)
		})
	}
}

func TestPanicEndsItsSessionOnly(t *testing.T) {
	var ends []error
	c := config
	c.Closed = func(_ *Local, err error) { ends = append(ends, err) }
	h := &recorder{text: func(Session, []byte) error { panic("oops") }}
	bubble(t, Shared(h), c, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		s.Receive(t.Context(), []byte("a"))
		r.next(t, s, `c[1011,"Internal error"]`)
		h.want(t, "open", "message a", "close 1011 Internal error")
		var panicked *PanicError
		if len(ends) != 1 || !errors.As(ends[0], &panicked) || panicked.Value != "oops" || len(panicked.Stack) == 0 {
			t.Errorf("closed with %v", ends)
		}
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

func TestMessagesWaitForABusyHandler(t *testing.T) {
	gate := make(chan struct{})
	h := &recorder{text: func(_ Session, text []byte) error {
		if string(text) == "slow" {
			<-gate
		}
		return nil
	}}
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		gate = make(chan struct{}) // of the bubble
		s, _ := open1(t, g, "k")
		go s.Receive(t.Context(), []byte("slow"))
		synctest.Wait()
		kept := []byte("first")
		s.Receive(t.Context(), kept, []byte("second"))
		copy(kept, "XXXXX") // the caller's again
		h.want(t, "open", "message slow")
		close(gate)
		h.want(t, "open", "message slow", "message first", "message second")
	})
}

func TestClientWaitsWhenTooMuchWaits(t *testing.T) {
	var gate chan struct{}
	h := &recorder{text: func(_ Session, text []byte) error { <-gate; return nil }}
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		gate = make(chan struct{})
		s, _ := open1(t, g, "k")
		go s.Receive(t.Context(), []byte("0"))
		synctest.Wait()
		s.Receive(t.Context(), make([]byte, 200))
		var done atomic.Bool
		go func() { s.Receive(t.Context(), []byte("2")); done.Store(true) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Receive(ctx, []byte("never")); err != context.DeadlineExceeded {
			t.Errorf("got %v, want the context's error", err)
		}
		if done.Load() {
			t.Error("Receive did not wait")
		}
		gate <- struct{}{}
		synctest.Wait()
		if !done.Load() {
			t.Error("Receive goes on waiting")
		}
		gate <- struct{}{}
		gate <- struct{}{}
	})
}

func TestStuckHandlerLosesTheSession(t *testing.T) {
	var gate chan struct{}
	h := &recorder{text: func(Session, []byte) error { <-gate; return nil }}
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		gate = make(chan struct{})
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		go s.Receive(t.Context(), []byte("0"))
		synctest.Wait()
		s.Receive(t.Context(), make([]byte, 200))
		begun := time.Now()
		if err := s.Receive(t.Context(), []byte("2")); err != ErrClosed || time.Since(begun) != 30*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
		r.next(t, s, `c[1013,"Server is too slow"]`)
		h.want(t, "open", "message 0")
		close(gate)
		h.want(t, "open", "message 0", "close 1013 Server is too slow")
		if g.Stats().Stuck.Load() != 1 {
			t.Errorf("stats: %+v", g.Stats())
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

func TestBinaryNeedsABinaryHandler(t *testing.T) {
	h := new(recorder)
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, _ := open1(t, g, "")
		s.ReceiveBinary(t.Context(), []byte{1})
		h.want(t, "open", "close 1003 Binary messages are not supported")
	})
}

type drainer struct{ *recorder }

func (d drainer) OnDrain(s Session) { d.note("drain"); s.Send([]byte("goodbye")) }

func TestShutdownSaysGoodbye(t *testing.T) {
	h := new(recorder)
	bubble(t, Shared(drainer{h}), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		r.next(t, s, "")
		ended := make(chan error)
		go func() { ended <- g.Shutdown(t.Context()) }()
		synctest.Wait()
		r.next(t, s, `a["goodbye"]`)
		r.next(t, s, `c[1001,"Server is going away"]`)
		var refused *RefusedError
		if _, err := g.Open("new", nil, Peer{}, SockJS, r); !errors.As(err, &refused) || refused.Status != 503 {
			t.Errorf("new session: got %v", err)
		}
		select {
		case <-ended:
			t.Error("Shutdown did not wait for the receiver")
		case <-time.After(time.Second):
		}
		s.Detach(r, nil)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		h.want(t, "open", "drain", "close 1001 Server is going away")
	})
}

// A client between two polls comes for what is queued and for the close frame, or does
// not; one that has nothing to come for is not waited for.
func TestShutdownWaitsForPolls(t *testing.T) {
	for _, c := range []struct {
		name   string
		queued bool
		comes  int // how often
		took   time.Duration
	}{
		{"nothing is queued", false, 0, 0},
		{"it fetches everything", true, 2, 2 * time.Second},
		{"it fetches the message only", true, 1, config.DisconnectDelay},
		{"it is gone", true, 0, config.DisconnectDelay},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
				s, r := open1(t, g, "k")
				r.next(t, s, "o")
				s.Detach(r, nil)
				frames := []string{`c[1001,"Server is going away"]`}
				if c.queued {
					s.Send([]byte("left"))
					frames = append([]string{`a["left"]`}, frames...)
				}
				begun, ended := time.Now(), make(chan error)
				go func() { ended <- g.Shutdown(t.Context()) }()
				for _, frame := range frames[:c.comes] {
					time.Sleep(time.Second)
					if err := s.Attach(r); err != nil {
						t.Fatal(err)
					}
					r.next(t, s, frame)
					s.Detach(r, nil)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took < c.took || took > c.took+time.Second/2 {
					t.Errorf("took %v, want %v", took, c.took)
				}
			})
		})
	}
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		open1(t, g, "k")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}

func TestBlockingReceivesInALoop(t *testing.T) {
	opener := Blocking(func(c *Conn) error {
		for {
			text, err := c.Recv(context.Background())
			if err != nil {
				return err
			}
			if string(text) == "quit" {
				return nil
			}
			c.Send(append([]byte("got "), text...))
		}
	})
	bubble(t, opener, config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		s.Receive(t.Context(), []byte("a"), []byte("b"))
		synctest.Wait()
		r.next(t, s, `a["got a","got b"]`)
		s.Receive(t.Context(), []byte("quit"))
		synctest.Wait()
		r.next(t, s, `c[3000,"Go away!"]`)
	})
	bubble(t, opener, config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		s.Detach(r, errors.New("gone")) // ends the function, and waits for it
	})
}

func TestBlockingFunctionMayPanic(t *testing.T) {
	opener := Blocking(func(*Conn) error { panic("oops") })
	bubble(t, opener, config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		synctest.Wait()
		r.next(t, s, "o")
		r.next(t, s, `c[1011,"Internal error"]`)
	})
}

// The allocator gives the next size 352 bytes.
func TestLocalIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Local{}); n > 320 {
		t.Errorf("a session takes %d bytes", n)
	}
}

// A thousand quiet sessions are one timer and no goroutine: the bubble's end
// would find one.
func TestManySessionsKeepTheirTime(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		receivers := make(map[*Local]*receiver)
		for i := range 1000 {
			s, r := open1(t, g, fmt.Sprint(i))
			r.next(t, s, "o")
			r.next(t, s, "")
			receivers[s] = r
			time.Sleep(7 * time.Millisecond)
		}
		for range 3 {
			time.Sleep(26 * time.Second)
			synctest.Wait()
			for s, r := range receivers {
				r.next(t, s, "h")
				r.next(t, s, "")
			}
		}
		for s, r := range receivers {
			s.Detach(r, nil)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if n := g.Stats().Sessions.Load(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
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

func BenchmarkReceive(b *testing.B) {
	b.ReportAllocs()
	g := NewRegistry(Shared(&lockingHandler{}), config)
	defer g.wheel.stop()
	s, _ := g.Open("k", nil, Peer{}, SockJS, new(receiver))
	text := []byte(strings.Repeat("x", 100))
	for b.Loop() {
		s.Receive(b.Context(), text)
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

// A name has one form, by which it is known in other processes.
func TestIsID(t *testing.T) {
	g := NewRegistry(Shared(nil), Config{DisconnectDelay: time.Second})
	for number := range uint64(100) {
		if id := g.name(number * number); !IsID(id) {
			t.Errorf("%s is no ID", id)
		}
	}
	for _, text := range []string{"", "-", "ABCDEF", "ABCDEF-", "ABCDE-1", "ABCDEFG-1", "abcdef-1", "ABCDE1-1", "ABCDEF-A", "ABCDEF-01", "ABCDEF-1-1", "ABCDEF--1", "s", "ABCDEF-3w5e11264sgsg"} {
		if IsID(text) {
			t.Errorf("%q is an ID", text)
		}
	}
}
