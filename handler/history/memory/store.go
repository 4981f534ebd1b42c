package memory

import (
	"context"
	"fmt"
	"sync"

	"switchback/handler/history"
	"switchback/session/option"
)

// Options are the settings of a Store. A zero number stands for its default.
type Options struct {
	// Bytes is how much memory the store takes, about. Where it would be more, the oldest
	// entries of the topics that take most go. Topics, rooms, members and marks of what is
	// read have half of it at most: what would be over that is refused with
	// history.ErrFull. The default is 64 MiB.
	Bytes int64 `default:"64MiB" unit:"bytes"`
}

// What things take beside their texts, about.
const (
	topicSize = 512
	userSize  = 256 // a member, or a mark of what is read
	entrySize = 128
	idSize    = 96
)

// A Store is a history.Store in memory.
type Store struct {
	limit int64

	mu      sync.RWMutex // guards the rest; held by who calls what is not exported, but for lock and rlock
	closed  bool
	topics  map[string]*topic
	names   []string                       // of topics, sorted
	rooms   map[string]map[string]struct{} // names of rooms, by member
	largest byEntries
	fixed   int64 // bytes of all but entries
	entries int64 // bytes of entries
	dropped uint64
}

var (
	_ history.Store   = (*Store)(nil)
	_ history.Dropper = (*Store)(nil)
)

// A topic is one with all that belongs to it.
type topic struct {
	history.Topic
	entries    []history.Entry   // in the order of their offsets
	ids        map[string]uint64 // offsets
	size       int64             // of entries
	place      int               // in Store.largest
	read       map[string]uint64 // offsets by user
	members    map[string]struct{}
	attributes []byte
	room       bool
}

// New returns an empty store. It panics if an option is below zero.
func New(options Options) *Store {
	if name, n := option.Negative(options); name != "" {
		panic(fmt.Sprintf("memory: %s is %d", name, n))
	}
	option.SetDefaults(&options)
	return &Store{
		limit:  options.Bytes,
		topics: make(map[string]*topic),
		rooms:  make(map[string]map[string]struct{}),
	}
}

// Dropped implements history.Dropper.
func (s *Store) Dropped() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.dropped
}

var errClosed = fmt.Errorf("%w: it is closed", history.ErrUnavailable)

// lock takes mu, unless nothing is to be done any more.
func (s *Store) lock(ctx context.Context) error {
	s.mu.Lock()
	err := s.usable(ctx)
	if err != nil {
		s.mu.Unlock()
	}
	return err
}

func (s *Store) rlock(ctx context.Context) error {
	s.mu.RLock()
	err := s.usable(ctx)
	if err != nil {
		s.mu.RUnlock()
	}
	return err
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return errClosed
	}
	return ctx.Err()
}

func sizeOf(topic string) int64 { return int64(topicSize + len(topic)) }

// sizeOfUser is of a member or a mark.
func sizeOfUser(user string) int64 { return int64(userSize + len(user)) }

// fits returns history.ErrFull if the store may not have so much more beside entries.
func (s *Store) fits(more int64) error {
	if more > 0 && s.fixed+more > s.limit/2 {
		return history.ErrFull
	}
	return nil
}

// Size implements history.Store.
func (s *Store) Size(ctx context.Context) (int64, error) {
	if err := s.rlock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.RUnlock()
	return s.fixed + s.entries, nil
}

// Close implements history.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.topics, s.names, s.rooms, s.largest = nil, nil, nil, nil
	return nil
}

// byEntries is a heap of topics, that whose entries take most first.
type byEntries []*topic

func (h byEntries) Len() int           { return len(h) }
func (h byEntries) Less(i, j int) bool { return h[i].size > h[j].size }

func (h byEntries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *byEntries) Push(t any) {
	t.(*topic).place = len(*h)
	*h = append(*h, t.(*topic))
}

func (h *byEntries) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return t
}
