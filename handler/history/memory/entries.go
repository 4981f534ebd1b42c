package memory

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"strings"
	"time"

	"switchback/handler/history"
	"switchback/handler/history/internal/plan"
)

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

// find is for plan.Batch.
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

// topic returns a topic that is there.
func (s *Store) topic(name string) (*topic, error) {
	if t := s.topics[name]; t != nil {
		return t, nil
	}
	return nil, history.ErrNoTopic
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
	t, err := s.topic(name)
	if err != nil {
		return history.Topic{}, err
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
	t, err := s.topic(name)
	if err != nil {
		return history.Topic{}, err
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
	t, err := s.topic(name)
	if err != nil {
		return history.Topic{}, err
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
