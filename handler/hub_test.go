package handler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchback/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A listener is a subscriber that notes what it is sent.
type listener struct {
	mu    sync.Mutex
	texts []string
}

func (l *listener) SendPrepared(m *session.Prepared) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts = append(l.texts, string(m.Text()))
	return nil
}

func (l *listener) heard() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.texts)
}

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
	var a, b listener
	h.Publish(ctx, "x", []byte("nobody"))
	h.Subscribe(ctx, "x", &a)
	h.Subscribe(ctx, "x", &a)
	h.Subscribe(ctx, "x", &b)
	h.Subscribe(ctx, "y", &b)
	h.Publish(ctx, "x", []byte("1"))
	h.Publish(ctx, "y", []byte("2"))
	h.Unsubscribe(ctx, "x", &a)
	h.Unsubscribe(ctx, "x", &a)
	h.Publish(ctx, "x", []byte("3"))
	if a.heard() != "[1]" || b.heard() != "[1 2 3]" {
		t.Errorf("got %s and %s", a.heard(), b.heard())
	}
	if h.Subscribers("x") != 1 || h.Subscribers("z") != 0 {
		t.Errorf("%d subscribers", h.Subscribers("x"))
	}
	h.Unsubscribe(ctx, "x", &b)
	h.Unsubscribe(ctx, "y", &b)
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
			var l listener
			for i := range 100 {
				topic := fmt.Sprint(i % 2)
				if err := h.Subscribe(ctx, topic, &l); err != nil {
					t.Error(err)
				}
				h.Publish(ctx, topic, []byte("x"))
				if err := h.Unsubscribe(ctx, topic, &l); err != nil {
					t.Error(err)
				}
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if len(l.texts) < 100 {
				t.Errorf("%d of 100 messages were heard", len(l.texts))
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
	if err := h.Subscribe(t.Context(), "x", new(listener)); err != e.fail {
		t.Errorf("got %v", err)
	}
	if h.Subscribers("x") != 0 || len(h.shard("x").topics) != 0 {
		t.Error("is subscribed all the same, or the topic is kept")
	}
}

// A replier notes what a handler sends.
type replier struct {
	session.Session
	sent []byte
}

func (r *replier) Send(text []byte) error { r.sent = append(r.sent[:0], text...); return nil }

func TestAmplify(t *testing.T) {
	var r replier
	for n := 1; n <= 18; n++ {
		if err := (Amplify{}).OnMessage(&r, fmt.Append(nil, n)); err != nil || len(r.sent) != 1<<n || r.sent[0] != 'x' {
			t.Errorf("%d: %d bytes, %v", n, len(r.sent), err)
		}
	}
	for _, wrong := range []string{"", "0", "19", "-1", "x", "1.5", "99999999999999999999"} {
		var end *session.CloseError
		if err := (Amplify{}).OnMessage(&r, []byte(wrong)); !errors.As(err, &end) || end.Code != 1007 {
			t.Errorf("%q: got %v", wrong, err)
		}
	}
}
