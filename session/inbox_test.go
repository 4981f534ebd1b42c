package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

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

func TestBinaryNeedsABinaryHandler(t *testing.T) {
	h := new(recorder)
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, _ := open1(t, g, "")
		s.ReceiveBinary(t.Context(), []byte{1})
		h.want(t, "open", "close 1003 Binary messages are not supported")
	})
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
