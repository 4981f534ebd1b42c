package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"switchback/handler/history"
	"switchback/handler/history/internal/plan"
)

// MarkRead implements history.Store.
func (s *Store) MarkRead(ctx context.Context, name, user string, offset uint64) (uint64, error) {
	if err := plan.CheckNames(name, user); err != nil {
		return 0, err
	}
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	t, err := s.topic(name)
	if err != nil {
		return 0, err
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
