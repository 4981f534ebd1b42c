package handler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchback/session"
	"switchback/session/sessiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func heard(s *sessiontest.Session) string { return fmt.Sprint(s.Texts()) }

func newHub(t testing.TB, e Engine) *Hub {
	t.Helper()
	h, err := NewHub(e)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSubscribersHearTheirTopic(t *testing.T) {
	h, ctx := newHub(t, NewMemory()), t.Context()
	a, b := sessiontest.New(session.Peer{}), sessiontest.New(session.Peer{})
	h.Publish(ctx, "x", []byte("nobody"))
	h.Subscribe(ctx, "x", a)
	h.Subscribe(ctx, "x", a)
	h.Subscribe(ctx, "x", b)
	h.Subscribe(ctx, "y", b)
	h.Publish(ctx, "x", []byte("1"))
	h.Publish(ctx, "y", []byte("2"))
	h.Unsubscribe(ctx, "x", a)
	h.Unsubscribe(ctx, "x", a)
	h.Publish(ctx, "x", []byte("3"))
	if heard(a) != "[1]" || heard(b) != "[1 2 3]" {
		t.Errorf("got %s and %s", heard(a), heard(b))
	}
	if h.Subscribers("x") != 1 || h.Subscribers("z") != 0 {
		t.Errorf("%d subscribers", h.Subscribers("x"))
	}
	h.Unsubscribe(ctx, "x", b)
	h.Unsubscribe(ctx, "y", b)
	for i := range h.shards {
		if n := len(h.shards[i].topics); n != 0 {
			t.Errorf("%d topics are kept", n)
		}
	}
}

// A strictEngine fails the test where calls for a topic are not in turn.
type strictEngine struct {
	Memory
	t    *testing.T
	mu   sync.Mutex
	have map[string]bool
	fail error
}

func (e *strictEngine) turn(topic string, on bool) error {
	e.mu.Lock()
	if e.fail != nil {
		defer e.mu.Unlock()
		return e.fail
	}
	if e.have[topic] == on {
		e.t.Errorf("%s: subscribed %v twice", topic, on)
	}
	e.mu.Unlock()
	time.Sleep(10 * time.Microsecond) // as a network would take
	e.mu.Lock()
	defer e.mu.Unlock()
	e.have[topic] = on
	return nil
}

func (e *strictEngine) Subscribe(_ context.Context, topic string) error { return e.turn(topic, true) }

func (e *strictEngine) Unsubscribe(_ context.Context, topic string) error {
	return e.turn(topic, false)
}

func TestEngineIsSubscribedInTurn(t *testing.T) {
	e := &strictEngine{t: t, have: make(map[string]bool)}
	h, ctx := newHub(t, e), t.Context()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s := sessiontest.New(session.Peer{})
			for i := range 100 {
				topic := fmt.Sprint(i % 2)
				if err := h.Subscribe(ctx, topic, s); err != nil {
					t.Error(err)
				}
				h.Publish(ctx, topic, []byte("x"))
				if err := h.Unsubscribe(ctx, topic, s); err != nil {
					t.Error(err)
				}
			}
			if n := len(s.Texts()); n < 100 {
				t.Errorf("%d of 100 messages were heard", n)
			}
		})
	}
	all.Wait()
	for topic, on := range e.have {
		if on {
			t.Errorf("%s: still subscribed", topic)
		}
	}
}

func TestEngineThatFailsSubscribesNobody(t *testing.T) {
	e := &strictEngine{t: t, have: make(map[string]bool), fail: errors.New("no network")}
	h := newHub(t, e)
	if err := h.Subscribe(t.Context(), "x", sessiontest.New(session.Peer{})); err != e.fail {
		t.Errorf("got %v", err)
	}
	if h.Subscribers("x") != 0 || len(h.shard("x").topics) != 0 {
		t.Error("is subscribed all the same, or the topic is kept")
	}
}

func TestAmplify(t *testing.T) {
	s := sessiontest.New(session.Peer{})
	for n := 1; n <= 18; n++ {
		if err := (Amplify{}).OnMessage(s, fmt.Append(nil, n)); err != nil || s.Texts()[n-1] != strings.Repeat("x", 1<<n) {
			t.Errorf("%d: %d bytes, %v", n, len(s.Texts()[n-1]), err)
		}
	}
	for _, wrong := range []string{"", "0", "19", "-1", "x", "1.5", "99999999999999999999"} {
		var end *session.CloseError
		if err := (Amplify{}).OnMessage(s, []byte(wrong)); !errors.As(err, &end) || end.Code != 1007 {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
}
