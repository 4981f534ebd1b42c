package history

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"switchback/handler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = fmt.Errorf("%w: the disk is on fire", ErrUnavailable)

// A fakeStore is what a Log asks of a store, in memory, with a tap for errors. It survives
// the log, as a file does.
type fakeStore struct {
	Store // what is not here is not asked for

	mu      sync.Mutex // guards the rest
	epochs  uint64
	topics  map[string]*fakeTopic
	marked  map[string]bool
	batches []int // how large each was
	calls   int
	settled bool
	fail    func(what string) (before, after error) // of a call: before it has its effect, or after
	hold    chan struct{}                           // Append waits for it, or for its context
}

type fakeTopic struct {
	Topic
	entries []Entry
}

func newFakeStore() *fakeStore {
	return &fakeStore{topics: make(map[string]*fakeTopic), marked: make(map[string]bool)}
}

// restart is what a process does that finds the store as another has left it.
func (s *fakeStore) restart() *fakeStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &fakeStore{epochs: s.epochs, topics: s.topics, marked: make(map[string]bool), fail: nil, Store: &fakeStore{marked: s.marked}}
}

func (s *fakeStore) before() map[string]bool {
	if old, ok := s.Store.(*fakeStore); ok {
		return old.marked
	}
	return nil
}

// call has a call fail as it is told to.
func (s *fakeStore) call(ctx context.Context, what string, f func() error) error {
	s.mu.Lock()
	hold, fail := s.hold, s.fail
	s.calls++
	s.mu.Unlock()
	if hold != nil && what == "append" {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var before, after error
	if fail != nil {
		before, after = fail(what)
	}
	if before != nil {
		return before
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := f(); err != nil {
		return err
	}
	return after
}

func (s *fakeStore) topic(name string) *fakeTopic {
	t := s.topics[name]
	if t == nil {
		s.epochs++
		t = &fakeTopic{Topic: Topic{Name: name, Epoch: s.epochs, First: 1}}
		s.topics[name] = t
	}
	return t
}

func (t *fakeTopic) has(id string) bool {
	return id != "" && slices.ContainsFunc(t.entries, func(e Entry) bool { return e.ID == id })
}

func (s *fakeStore) Append(ctx context.Context, batch []*Append) error {
	return s.call(ctx, "append", func() error {
		s.batches = append(s.batches, len(batch))
		for _, a := range batch {
			if string(a.Entry.Data) == "poison" {
				return ErrFull
			}
			if t := s.topic(a.Topic); a.Entry.Offset > 0 && a.Entry.Offset <= t.Last && !t.has(a.Entry.ID) {
				return ErrOffset
			}
		}
		for _, a := range batch {
			t := s.topic(a.Topic)
			a.Epoch = t.Epoch
			if i := slices.IndexFunc(t.entries, func(e Entry) bool { return e.ID != "" && e.ID == a.Entry.ID }); i >= 0 {
				t.Last = max(t.Last, a.Entry.Offset)
				a.Duplicate, a.Entry.Offset, a.Entry.At = true, t.entries[i].Offset, t.entries[i].At
				continue
			}
			if a.Entry.Offset == 0 {
				a.Entry.Offset = t.Last + 1
			}
			t.Last = a.Entry.Offset
			t.Count++
			t.Bytes += int64(len(a.Entry.Data))
			t.entries = append(t.entries, a.Entry)
		}
		return nil
	})
}

func (s *fakeStore) Open(ctx context.Context, name string, fast bool) (found Topic, err error) {
	err = s.call(ctx, "open", func() error {
		t := s.topic(name)
		if s.before()[name] {
			delete(s.before(), name)
			s.epochs++
			t.Epoch = s.epochs
		}
		s.marked[name] = fast || s.marked[name]
		found = t.Topic
		return nil
	})
	return found, err
}

func (s *fakeStore) Renew(ctx context.Context, name string) (found Topic, err error) {
	err = s.call(ctx, "renew", func() error {
		t := s.topic(name)
		s.epochs++
		t.Epoch = s.epochs
		found = t.Topic
		return nil
	})
	return found, err
}

func (s *fakeStore) Settle(ctx context.Context) error {
	return s.call(ctx, "settle", func() error {
		clear(s.marked)
		s.settled = true
		return nil
	})
}

func (s *fakeStore) Topic(ctx context.Context, name string) (found Topic, err error) {
	err = s.call(ctx, "topic", func() error {
		t := s.topics[name]
		if t == nil {
			return ErrNoTopic
		}
		found = t.Topic
		return nil
	})
	return found, err
}

func (s *fakeStore) Topics(ctx context.Context, after string, limit int) (all []Topic, err error) {
	err = s.call(ctx, "topics", func() error {
		for name, t := range s.topics {
			if name > after {
				all = append(all, t.Topic)
			}
		}
		slices.SortFunc(all, func(a, b Topic) int { return cmpText(a.Name, b.Name) })
		all = all[:min(len(all), limit)]
		return nil
	})
	return all, err
}

func cmpText(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func (s *fakeStore) Read(ctx context.Context, name string, r Range) (found []Entry, err error) {
	err = s.call(ctx, "read", func() error {
		t := s.topics[name]
		if t == nil {
			return nil
		}
		for _, e := range t.entries {
			if e.Offset > r.After && (r.Before == 0 || e.Offset < r.Before) {
				found = append(found, e)
			}
		}
		if r.Newest {
			slices.Reverse(found)
		}
		n, size := 0, int64(0)
		for n < len(found) && n < r.Limit {
			size += int64(len(found[n].Data))
			if n > 0 && r.Bytes > 0 && size > r.Bytes {
				break
			}
			n++
		}
		found = found[:n]
		if r.Newest {
			slices.Reverse(found)
		}
		return nil
	})
	return found, err
}

func (s *fakeStore) Trim(ctx context.Context, name string, k Keep, now time.Time) (found Topic, err error) {
	err = s.call(ctx, "trim", func() error {
		t := s.topics[name]
		if t == nil {
			return ErrNoTopic
		}
		for len(t.entries) > 0 && (k.Count > 0 && len(t.entries) > k.Count || k.Bytes > 0 && t.Bytes > k.Bytes || k.Age > 0 && now.Sub(t.entries[0].At) > k.Age) {
			t.Bytes -= int64(len(t.entries[0].Data))
			t.entries = t.entries[1:]
			t.Count--
			t.First++
		}
		found = t.Topic
		return nil
	})
	return found, err
}

func (s *fakeStore) Close() error { return nil }

// called is how often the store was called.
func (s *fakeStore) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// holds has Append wait until what it returns is called.
func (s *fakeStore) holds() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold := make(chan struct{})
	s.hold = hold
	return func() { close(hold) }
}

// fails has all calls fail, or none.
func (s *fakeStore) fails(fail func(what string) (before, after error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func broken(string) (before, after error) { return errBroken, nil }

func unreachable(string) (before, after error) {
	return fmt.Errorf("%w: connection refused", ErrUnavailable), nil
}

// stored are the texts of a topic.
func (s *fakeStore) stored(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	if t := s.topics[name]; t != nil {
		for _, e := range t.entries {
			all = append(all, fmt.Sprintf("%d:%s", e.Offset, e.Data))
		}
	}
	return all
}

// A reader is a subscriber of a topic.
type reader struct {
	cursor *Cursor // nil: it takes all
	pause  func()  // of each; or nil

	mu  sync.Mutex // guards got
	got []string
}

func (r *reader) Receive(p *handler.Publication) {
	gap := false
	if r.cursor != nil {
		var ok bool
		if ok, gap = r.cursor.Take(p); !ok {
			return
		}
	}
	text := p.Text
	if text == nil && p.Payload != nil {
		text = append(p.Payload.Append(nil), " as it is"...)
	}
	if r.pause != nil {
		r.pause()
	}
	r.add(gap, p.Offset, text)
}

func (r *reader) add(gap bool, offset uint64, text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gap {
		r.got = append(r.got, "gap")
	}
	r.got = append(r.got, fmt.Sprintf("%d:%s", offset, text))
}

func (r *reader) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// A world is a log over a fake store, in virtual time.
type world struct {
	*testing.T
	store *fakeStore
	hub   *handler.Hub
	log   *Log
}

var anything = Options{Policies: []Policy{{Topics: "fast/**", Fast: true}, {Topics: "**"}}, Logger: slog.New(slog.DiscardHandler)}

func bubble(t *testing.T, o Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, store: newFakeStore()}
		w.open(o)
		f(w)
		if w.log != nil {
			w.close()
		}
	})
}

func (w *world) open(o Options) {
	w.Helper()
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		w.Fatal(err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if w.log, err = New(w.store, hub, o); err != nil {
		w.Fatal(err)
	}
	w.hub = hub
}

func (w *world) close() {
	w.Helper()
	if err := w.log.Close(); err != nil {
		w.Error(err)
	}
	s := w.log.Stats()
	if n := s.Pending.Load(); n != 0 {
		w.Errorf("%d bytes are still counted", n)
	}
	for _, t := range w.log.topics {
		if len(t.queue) > 0 || t.users != 0 && !t.doubted() {
			w.Errorf("%s: %d users, %d queued", t.name, t.users, len(t.queue))
		}
	}
	w.log = nil
}

func (w *world) reader(topic string) *reader {
	r := &reader{}
	w.hub.Subscribe(context.Background(), topic, r)
	return r
}

func (w *world) publish(topic, text string) error {
	_, _, err := w.log.Publish(context.Background(), topic, &handler.Publication{Text: []byte(text)}, topic)
	return err
}

func (w *world) must(topic string, texts ...string) {
	w.Helper()
	for _, text := range texts {
		if err := w.publish(topic, text); err != nil {
			w.Fatalf("%s: %v", text, err)
		}
	}
}

func (w *world) want(what string, got []string, want ...string) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("%s: got %q, want %q", what, got, want)
	}
}
