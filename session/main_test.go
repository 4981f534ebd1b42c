package session

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"switchback/session/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
