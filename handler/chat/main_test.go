package chat

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/handler/rules"
	"switchback/session"
	held "switchback/session/memory"
	"switchback/session/sessiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A flaky store is one in memory that can be taken away, and counts what it is asked to keep.
type flaky struct {
	*memory.Store
	mu   sync.Mutex
	down bool
	hold chan struct{} // RoomsOf waits for it once it has its answer; nil: it does not
}

func (s *flaky) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *flaky) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return fmt.Errorf("%w: connection refused", history.ErrUnavailable)
	}
	return nil
}

func (s *flaky) Append(ctx context.Context, batch []*history.Append) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Append(ctx, batch)
}

func (s *flaky) Topic(ctx context.Context, name string) (history.Topic, error) {
	if err := s.err(); err != nil {
		return history.Topic{}, err
	}
	return s.Store.Topic(ctx, name)
}

func (s *flaky) Room(ctx context.Context, name string) (history.Room, error) {
	if err := s.err(); err != nil {
		return history.Room{}, err
	}
	return s.Store.Room(ctx, name)
}

func (s *flaky) RoomsOf(ctx context.Context, user, after string, limit int) ([]string, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	rooms, err := s.Store.RoomsOf(ctx, user, after, limit)
	s.mu.Lock()
	hold := s.hold
	s.hold = nil
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return rooms, err
}

// A world is a chat over a store in memory, in virtual time.
type world struct {
	*testing.T
	store *flaky
	log   *history.Log
	chat  *Chat
	open  []*talker
	began time.Time
}

// in plays f in virtual time. At its end nothing must be left.
func in(t *testing.T, o Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		before := held.Kept.Used()
		hub, err := handler.NewHub(handler.NewMemory())
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, store: &flaky{Store: memory.New(memory.Options{})}, began: time.Now()}
		if w.log, err = history.New(w.store, hub, history.Options{
			Policies: []history.Policy{{Topics: "/chat/**"}}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		}); err != nil {
			t.Fatal(err)
		}
		o.Log, o.Path = w.log, "/chat"
		if w.chat, err = New(o); err != nil {
			t.Fatal(err)
		}
		f(w)
		for _, k := range w.open {
			k.close()
		}
		synctest.Wait()
		s := w.chat.Stats()
		if n := held.Kept.Used(); s.Joined.Load() != 0 || s.Watched.Load() != 0 || n != before {
			t.Errorf("%d are joined, %d watched, %d bytes are held", s.Joined.Load(), s.Watched.Load(), n-before)
		}
		if err := w.log.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A talker is a session with a client at its end.
type talker struct {
	*world
	s      *sessiontest.Session
	h      session.Handler
	read   int
	closed bool
}

// comes opens a session of a user.
func (w *world) comes(user string) *talker {
	w.Helper()
	k := w.stands(user)
	k.enters()
	return k
}

// stands is before comes: the session is there and not open.
func (w *world) stands(user string) *talker {
	w.Helper()
	k := &talker{world: w, s: sessiontest.New(session.Peer{Identity: &session.Identity{User: user}})}
	var err error
	if k.h, err = w.chat.Open(nil); err != nil {
		w.Fatal(err)
	}
	w.open = append(w.open, k)
	return k
}

func (k *talker) enters() {
	if err := k.h.OnOpen(k.s); err != nil {
		k.s.Fail(err)
	}
}

func (k *talker) close() {
	if !k.closed {
		k.closed = true
		k.h.OnClose(k.s, k.s.Leave())
	}
}

// says sends requests; ' stands for ".
func (k *talker) says(requests ...string) {
	k.Helper()
	for _, r := range requests {
		if err := k.h.OnMessage(k.s, []byte(strings.ReplaceAll(r, "'", `"`))); err != nil {
			k.Errorf("%s: %v", r, err)
		}
	}
}

// gets fails the test where the session has not been sent just that, since it was last asked.
// ' stands for ", E for the epoch of the room r, and AT for the time when the test began.
func (k *talker) gets(want ...string) {
	k.Helper()
	synctest.Wait()
	texts := k.s.Texts()
	got := texts[k.read:]
	k.read = len(texts)
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = k.whole(want[i])
		}
		if g != w {
			k.Errorf("got  %s\nwant %s", g, w)
		}
	}
}

// whole is a text with what is meant in it.
func (k *talker) whole(text string) string {
	epoch := "?"
	if t, err := k.store.Store.Topic(context.Background(), "/chat/r"); err == nil {
		epoch, _, _ = strings.Cut(t.Position().String(), "/")
	}
	return strings.NewReplacer("'", `"`, "E/", epoch+"/", "AT", k.began.UTC().Format(time.RFC3339Nano)).Replace(text)
}

// sends is says with what whole puts in.
func (k *talker) sends(requests ...string) {
	k.Helper()
	for _, r := range requests {
		k.says(k.whole(r))
	}
}

// kept are the texts in a room.
func (w *world) kept(room string) string {
	entries, err := w.store.Store.Read(context.Background(), w.chat.topic(room), history.Range{Limit: 10000})
	if err != nil {
		w.Error(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, string(e.Data))
	}
	return strings.Join(all, " ")
}

func mustRules(t testing.TB, list ...rules.Rule) *rules.List {
	t.Helper()
	l, err := rules.New(list, rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
