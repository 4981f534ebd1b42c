package memory

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"switchback/handler/history"
	"switchback/handler/history/internal/plan"
	"switchback/session/option"
)

// Options are those of a Store.
type Options struct {
	// Bytes is how much memory the store takes, about. Where it would be more, the oldest
	// entries of the topics that take most go. Topics, rooms, members and marks of what is
	// read have half of it at most: what would be over that is refused with
	// history.ErrFull.
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

	mu      sync.RWMutex // guards the rest
	closed  bool
	topics  map[string]*topic
	names   []string                       // of topics, sorted
	rooms   map[string]map[string]struct{} // names of rooms, by member
	largest byEntries
	fixed   int64 // bytes of all but entries
	entries int64 // bytes of entries
	dropped uint64
}

var _ history.Store = (*Store)(nil)

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

// Dropped is how many entries have gone because the store was full.
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

// Append implements history.Store.
func (s *Store) Append(ctx context.Context, batch []*history.Append) error {
	names, err := plan.Topics(batch)
	if err != nil {
		return err
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	planned := make(map[string]*plan.Topic, len(names))
	var more int64
	for _, name := range names {
		if t := s.topics[name]; t != nil {
			planned[name] = &plan.Topic{Topic: t.Topic}
		} else {
			planned[name] = &plan.Topic{Topic: newTopic(name)}
			more += sizeOf(name)
		}
	}
	rows, err := plan.Batch(batch, planned, s.find)
	if err != nil {
		return err
	}
	if err := s.fits(more); err != nil {
		return err
	}
	for _, name := range names {
		if s.topics[name] == nil {
			s.add(planned[name].Topic)
		}
		s.topics[name].Topic = planned[name].Topic
	}
	for _, row := range rows {
		if !row.Duplicate {
			s.store(s.topics[row.Topic], row)
		}
	}
	for s.fixed+s.entries > s.limit && s.entries > 0 {
		s.removeOldest(s.largest[0])
		s.dropped++
	}
	plan.Done(rows)
	return nil
}

// find is for plan.Batch. mu must be held, as for what follows.
func (s *Store) find(t *plan.Topic, id string) (offset uint64, at time.Time, found bool, err error) {
	of := s.topics[t.Name]
	if of == nil {
		return 0, time.Time{}, false, nil
	}
	if offset, found = of.ids[id]; found {
		at = of.entries[of.search(offset)].At
	}
	return offset, at, found, nil
}

func (s *Store) store(t *topic, row plan.Row) {
	e := history.Entry{
		Offset: row.Offset,
		At:     row.At,
		ID:     strings.Clone(row.Entry.ID),
		User:   strings.Clone(row.Entry.User),
		Data:   slices.Clone(row.Entry.Data),
	}
	t.entries = append(t.entries, e)
	if e.ID != "" {
		t.ids[e.ID] = e.Offset
	}
	s.resize(t, size(&e))
}

// removeOldest removes the oldest entry of a topic.
func (s *Store) removeOldest(t *topic) {
	e := t.entries[0]
	t.Count--
	t.Bytes -= int64(len(e.Data))
	t.entries[0] = history.Entry{} // which append does not copy, and so would be held for long
	t.entries = t.entries[1:]
	delete(t.ids, e.ID)
	t.First = t.Last + 1
	if len(t.entries) > 0 {
		t.First = t.entries[0].Offset
	}
	s.resize(t, -size(&e))
}

func (s *Store) resize(t *topic, by int64) {
	t.size += by
	s.entries += by
	heap.Fix(&s.largest, t.place)
}

func size(e *history.Entry) int64 {
	n := int64(entrySize + len(e.ID) + len(e.User) + len(e.Data))
	if e.ID != "" {
		n += idSize
	}
	return n
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

func newTopic(name string) history.Topic {
	return history.Topic{Name: strings.Clone(name), Epoch: plan.Random(), First: 1}
}

func (s *Store) add(what history.Topic) *topic {
	t := &topic{
		Topic:   what,
		ids:     make(map[string]uint64),
		read:    make(map[string]uint64),
		members: make(map[string]struct{}),
	}
	s.topics[t.Name] = t
	i, _ := slices.BinarySearch(s.names, t.Name)
	s.names = slices.Insert(s.names, i, t.Name)
	s.fixed += sizeOf(t.Name)
	heap.Push(&s.largest, t)
	return t
}

// open returns a topic, which it makes if it is not there.
func (s *Store) open(name string) (*topic, error) {
	if t := s.topics[name]; t != nil {
		return t, nil
	}
	if err := s.fits(sizeOf(name)); err != nil {
		return nil, err
	}
	return s.add(newTopic(name)), nil
}

// Open implements history.Store. There is no process before, of which a mark could be.
func (s *Store) Open(ctx context.Context, name string, fast bool) (history.Topic, error) {
	if err := plan.CheckNames(name); err != nil {
		return history.Topic{}, err
	}
	if err := s.lock(ctx); err != nil {
		return history.Topic{}, err
	}
	defer s.mu.Unlock()
	t, err := s.open(name)
	if err != nil {
		return history.Topic{}, err
	}
	return t.Topic, nil
}

// Renew implements history.Store.
func (s *Store) Renew(ctx context.Context, name string) (history.Topic, error) {
	if err := s.lock(ctx); err != nil {
		return history.Topic{}, err
	}
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		return history.Topic{}, history.ErrNoTopic
	}
	t.Epoch = plan.Random()
	return t.Topic, nil
}

// Settle implements history.Store.
func (s *Store) Settle(ctx context.Context) error {
	err := s.rlock(ctx)
	if err == nil {
		s.mu.RUnlock()
	}
	return err
}

// Topic implements history.Store.
func (s *Store) Topic(ctx context.Context, name string) (history.Topic, error) {
	if err := s.rlock(ctx); err != nil {
		return history.Topic{}, err
	}
	defer s.mu.RUnlock()
	t := s.topics[name]
	if t == nil {
		return history.Topic{}, history.ErrNoTopic
	}
	return t.Topic, nil
}

// Topics implements history.Store.
func (s *Store) Topics(ctx context.Context, after string, limit int) ([]history.Topic, error) {
	if err := s.rlock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	var topics []history.Topic
	for _, name := range page(s.names, after, limit) {
		topics = append(topics, s.topics[name].Topic)
	}
	return topics, nil
}

// page returns the names after one, of some that are sorted.
func page(names []string, after string, limit int) []string {
	i, found := slices.BinarySearch(names, after)
	if found {
		i++
	}
	names = names[i:]
	return names[:min(len(names), max(limit, 0))]
}

// search returns where in entries the first is whose offset is not before one.
func (t *topic) search(offset uint64) int {
	i, _ := slices.BinarySearchFunc(t.entries, offset, func(e history.Entry, offset uint64) int {
		return cmp.Compare(e.Offset, offset)
	})
	return i
}

// Read implements history.Store.
func (s *Store) Read(ctx context.Context, name string, r history.Range) ([]history.Entry, error) {
	if err := s.rlock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	t := s.topics[name]
	if t == nil {
		return nil, nil
	}
	from, to := t.search(r.After+1), len(t.entries)
	if r.Before > 0 {
		to = t.search(r.Before)
	}
	if r.After >= t.Last || from >= to {
		return nil, nil
	}
	some := bounded(t.entries[from:to], r)
	for i := range some {
		some[i].Data = slices.Clone(some[i].Data)
	}
	return some, nil
}

// bounded copies as many entries as a range allows.
func bounded(all []history.Entry, r history.Range) []history.Entry {
	next := func(n int) *history.Entry {
		if r.Newest {
			return &all[len(all)-1-n]
		}
		return &all[n]
	}
	n, bytes := 0, int64(0)
	for n < min(len(all), r.Limit) {
		bytes += int64(len(next(n).Data))
		if r.Bytes > 0 && bytes > r.Bytes && n > 0 {
			break
		}
		n++
	}
	if r.Newest {
		return slices.Clone(all[len(all)-n:])
	}
	return slices.Clone(all[:n])
}

// Trim implements history.Store.
func (s *Store) Trim(ctx context.Context, name string, k history.Keep, now time.Time) (history.Topic, error) {
	if err := s.lock(ctx); err != nil {
		return history.Topic{}, err
	}
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		return history.Topic{}, history.ErrNoTopic
	}
	for t.Count > 0 && plan.TooMuch(&t.Topic, k, now, t.entries[0].At) {
		s.removeOldest(t)
	}
	return t.Topic, nil
}

// Remove implements history.Store.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		return nil
	}
	for user := range t.members {
		s.removeMember(t, user)
	}
	for user := range t.read {
		s.fixed -= sizeOfUser(user)
	}
	s.fixed -= sizeOf(name) + int64(len(t.attributes))
	s.entries -= t.size
	heap.Remove(&s.largest, t.place)
	delete(s.topics, name)
	i, _ := slices.BinarySearch(s.names, name)
	s.names = slices.Delete(s.names, i, i+1)
	return nil
}

// MarkRead implements history.Store.
func (s *Store) MarkRead(ctx context.Context, name, user string, offset uint64) (uint64, error) {
	if err := plan.CheckNames(name, user); err != nil {
		return 0, err
	}
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		return 0, history.ErrNoTopic
	}
	if _, marked := t.read[user]; !marked {
		if err := s.fits(sizeOfUser(user)); err != nil {
			return 0, err
		}
	}
	return s.mark(t, user, offset), nil
}

func (s *Store) mark(t *topic, user string, offset uint64) uint64 {
	before, marked := t.read[user]
	if !marked {
		user = strings.Clone(user)
		s.fixed += sizeOfUser(user)
	}
	t.read[user] = max(before, min(offset, t.Last))
	return t.read[user]
}

// Unread implements history.Store.
func (s *Store) Unread(ctx context.Context, user string, topics []string, limit int) ([]history.Unread, error) {
	if err := s.rlock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	unread := make([]history.Unread, len(topics))
	for i, name := range topics {
		u := &unread[i]
		u.Topic = name
		t := s.topics[name]
		if t == nil {
			continue
		}
		u.Read, u.Last = t.read[user], t.Last
		for n, e := range t.entries[t.search(u.Read+1):] {
			if u.Count >= limit || n == 100*limit {
				break
			}
			if e.User != user {
				u.Count++
			}
		}
	}
	return unread, nil
}

// MakeRoom implements history.Store.
func (s *Store) MakeRoom(ctx context.Context, r history.Room) error {
	if err := cmp.Or(plan.CheckNames(r.Topic), plan.CheckNames(r.Members...)); err != nil {
		return err
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	t := s.topics[r.Topic]
	if t != nil && t.room {
		return history.ErrExists
	}
	more := int64(len(r.Attributes))
	if t == nil {
		more += sizeOf(r.Topic)
	}
	for _, user := range r.Members {
		more += 2 * sizeOfUser(user)
	}
	if err := s.fits(more); err != nil {
		return err
	}
	if t == nil {
		t = s.add(newTopic(r.Topic))
	}
	t.room, t.attributes = true, slices.Clone(r.Attributes)
	s.fixed += int64(len(t.attributes))
	for _, user := range r.Members {
		s.addMember(t, user)
	}
	return nil
}

func (s *Store) addMember(t *topic, user string) {
	if _, is := t.members[user]; is {
		return
	}
	user = strings.Clone(user)
	t.members[user] = struct{}{}
	if s.rooms[user] == nil {
		s.rooms[user] = make(map[string]struct{})
	}
	s.rooms[user][t.Name] = struct{}{}
	s.fixed += sizeOfUser(user)
	s.mark(t, user, t.Last)
}

func (s *Store) removeMember(t *topic, user string) {
	if _, is := t.members[user]; !is {
		return
	}
	delete(t.members, user)
	delete(s.rooms[user], t.Name)
	if len(s.rooms[user]) == 0 {
		delete(s.rooms, user)
	}
	delete(t.read, user)
	s.fixed -= 2 * sizeOfUser(user)
}

// room returns the topic of a room.
func (s *Store) room(name string) (*topic, error) {
	if t := s.topics[name]; t != nil && t.room {
		return t, nil
	}
	return nil, history.ErrNoTopic
}

// Room implements history.Store.
func (s *Store) Room(ctx context.Context, name string) (history.Room, error) {
	if err := s.rlock(ctx); err != nil {
		return history.Room{}, err
	}
	defer s.mu.RUnlock()
	t, err := s.room(name)
	if err != nil {
		return history.Room{}, err
	}
	return history.Room{
		Topic:      t.Name,
		Attributes: slices.Clone(t.attributes),
		Members:    slices.Sorted(maps.Keys(t.members)),
	}, nil
}

// AddMember implements history.Store.
func (s *Store) AddMember(ctx context.Context, name, user string, most int) error {
	if err := plan.CheckNames(name, user); err != nil {
		return err
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	t, err := s.room(name)
	if err != nil {
		return err
	}
	if _, is := t.members[user]; is {
		return nil
	}
	if len(t.members) >= most {
		return history.ErrMembers
	}
	if err := s.fits(2 * sizeOfUser(user)); err != nil {
		return err
	}
	s.addMember(t, user)
	return nil
}

// RemoveMember implements history.Store.
func (s *Store) RemoveMember(ctx context.Context, name, user string) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	t, err := s.room(name)
	if err == nil {
		s.removeMember(t, user)
	}
	return err
}

// RoomsOf implements history.Store.
func (s *Store) RoomsOf(ctx context.Context, user, after string, limit int) ([]string, error) {
	if err := s.rlock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	return page(slices.Sorted(maps.Keys(s.rooms[user])), after, limit), nil
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
