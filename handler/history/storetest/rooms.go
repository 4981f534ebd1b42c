package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"switchback/handler/history"
)

func testMarkRead(t *testing.T, s *store) {
	_, err := s.MarkRead(t.Context(), "a", "kim", 1)
	s.is(err, history.ErrNoTopic)
	s.fill("a", "1", "2", "3")
	for _, test := range []struct {
		user         string
		offset, want uint64
	}{
		{"kim", 0, 0}, {"kim", 2, 2}, {"kim", 1, 2}, {"lee", 1, 1}, {"kim", 9, 3},
		{"kim", math.MaxUint64, 3}, {"lee", 1 << 63, 3}, {"kim", 0, 3},
	} {
		got, err := s.MarkRead(t.Context(), "a", test.user, test.offset)
		s.ok(err)
		if got != test.want {
			t.Errorf("%s has read to %d, not %d", test.user, got, test.want)
		}
	}
	s.fill("a", "4")
	s.unread("kim", 10, "a 3 4 1")
}

// unread tells, for each of some topics, its name, the read and the last offset, and the
// count.
func (s *store) unread(user string, limit int, want ...string) {
	s.t.Helper()
	var topics, got []string
	for _, one := range want {
		topics = append(topics, strings.Fields(one)[0])
	}
	unread, err := s.Unread(s.t.Context(), user, topics, limit)
	s.ok(err)
	for _, u := range unread {
		got = append(got, fmt.Sprint(u.Topic, " ", u.Read, " ", u.Last, " ", u.Count))
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("unread by %s: %q, not %q", user, got, want)
	}
}

func testUnread(t *testing.T, s *store) {
	of := func(user string) *history.Append {
		e := entry("a", "x")
		e.Entry.User = user
		return e
	}
	s.append(of("kim"), of("lee"), of(""), of("kim"), of("lee"), of("lee"), of("kim"))
	s.fill("b", "x", "y")
	s.unread("kim", 10, "a 0 7 4", "b 0 2 2", "none 0 0 0", "a 0 7 4")
	s.unread("kim", 3, "b 0 2 2", "a 0 7 3")
	s.unread("lee", 10, "a 0 7 4")
	s.unread("max", 100, "a 0 7 7")
	s.unread("max", 0, "a 0 7 0")
	s.unread("max", -1, "a 0 7 0")
	s.unread("max", 10)
	_, err := s.MarkRead(t.Context(), "a", "kim", 4)
	s.ok(err)
	s.unread("kim", 10, "a 4 7 2")
	s.unread("kim", 1, "a 4 7 1")
	_, err = s.Trim(t.Context(), "a", history.Keep{Count: 2}, at)
	s.ok(err)
	s.unread("kim", 10, "a 4 7 1")
	s.unread("max", 10, "a 0 7 2")

	// What is looked at is bounded.
	var own []*history.Append
	for range 100 {
		e := of("max")
		e.Topic = "c"
		own = append(own, e)
	}
	s.append(own...)
	s.fill("c", "x")
	s.unread("max", 1, "c 0 101 0")
	s.unread("max", 2, "c 0 101 1")
	_, err = s.MarkRead(t.Context(), "c", "max", 1)
	s.ok(err)
	s.unread("max", 1, "c 1 101 1")
}

func (s *store) isRoom(want history.Room) {
	s.t.Helper()
	got, err := s.Room(s.t.Context(), want.Topic)
	s.ok(err)
	if got.Topic != want.Topic || !bytes.Equal(got.Attributes, want.Attributes) || !slices.Equal(got.Members, want.Members) {
		s.t.Errorf("the room is %+v, not %+v", got, want)
	}
}

func testRooms(t *testing.T, s *store) {
	ctx := t.Context()
	_, err := s.Room(ctx, "a")
	s.is(err, history.ErrNoTopic)
	s.is(s.AddMember(ctx, "a", "kim", 9), history.ErrNoTopic)
	s.is(s.RemoveMember(ctx, "a", "kim"), history.ErrNoTopic)
	s.fill("a", "1", "2")
	_, err = s.Room(ctx, "a")
	s.is(err, history.ErrNoTopic)
	s.is(s.AddMember(ctx, "a", "kim", 9), history.ErrNoTopic)

	before := s.topic("a")
	given := history.Room{Topic: "a", Attributes: []byte("x\x00y"), Members: []string{"lee", "kim", "lee"}}
	s.ok(s.MakeRoom(ctx, given))
	given.Attributes[0], given.Members[0] = 'z', "z"
	room := history.Room{Topic: "a", Attributes: []byte("x\x00y"), Members: []string{"kim", "lee"}}
	s.isRoom(room)
	if s.topic("a") != before {
		t.Error("a room changes the topic that is there")
	}
	s.is(s.MakeRoom(ctx, history.Room{Topic: "a", Members: []string{"max"}}), history.ErrExists)
	s.isRoom(room)
	s.ok(s.MakeRoom(ctx, history.Room{Topic: "new"}))
	var adding sync.WaitGroup
	var added atomic.Int32
	for i := range 8 {
		adding.Go(func() {
			err := s.AddMember(ctx, "new", fmt.Sprint(i), 3)
			if err == nil {
				added.Add(1)
			} else if !errors.Is(err, history.ErrMembers) {
				t.Error(err)
			}
		})
	}
	adding.Wait()
	if room, err := s.Room(ctx, "new"); err != nil || len(room.Members) != 3 || added.Load() != 3 {
		t.Errorf("at once %d were added of 3, %v", added.Load(), room.Members)
	}
	for i := range 8 {
		s.ok(s.RemoveMember(ctx, "new", fmt.Sprint(i)))
	}
	s.isRoom(history.Room{Topic: "new"})
	s.isTopic("new", 1, 0, 0, 0)

	s.unread("kim", 9, "a 2 2 0")
	s.fill("a", "3")
	s.ok(s.AddMember(ctx, "a", "kim", 9)) // is one already, and has not read it
	s.unread("kim", 9, "a 2 3 1")
	_, err = s.MarkRead(ctx, "a", "Max", 1)
	s.ok(err)
	s.is(s.AddMember(ctx, "a", "Max", 2), history.ErrMembers)
	s.ok(s.AddMember(ctx, "a", "kim", 1)) // is one already
	s.ok(s.AddMember(ctx, "a", "Max", 3))
	s.unread("Max", 9, "a 3 3 0")
	s.isRoom(history.Room{Topic: "a", Attributes: room.Attributes, Members: []string{"Max", "kim", "lee"}})
	s.ok(s.RemoveMember(ctx, "a", "kim"))
	s.ok(s.RemoveMember(ctx, "a", "kim"))
	s.unread("kim", 9, "a 0 3 3")
	_, err = s.MarkRead(ctx, "a", "no member", 1)
	s.ok(err)
	s.ok(s.RemoveMember(ctx, "a", "no member"))
	s.unread("no member", 9, "a 1 3 2")
	s.isRoom(history.Room{Topic: "a", Attributes: room.Attributes, Members: []string{"Max", "lee"}})
}

func testRoomsOf(t *testing.T, s *store) {
	ctx := t.Context()
	of := func(user, after string, limit int, want ...string) {
		t.Helper()
		rooms, err := s.RoomsOf(ctx, user, after, limit)
		s.ok(err)
		if !slices.Equal(rooms, want) {
			t.Errorf("%s is in %q, not %q", user, rooms, want)
		}
	}
	for _, i := range []int{5, 0, 11, 8, 2, 7, 4, 9, 10, 1, 3, 6} {
		s.ok(s.MakeRoom(ctx, history.Room{Topic: names[i], Members: []string{"kim", names[i]}}))
	}
	of("kim", "", 100, names...)
	of("kim", "", 3, names[:3]...)
	of("kim", "a", 3, names[4:7]...)
	of("kim", "\xff", 3)
	of("kim", "", 0)
	of("kim", "", -1)
	of("nobody", "", 3)
	of("", "", 3)
	of("\xff", "", 3, "\xff")
	s.ok(s.RemoveMember(ctx, names[0], "kim"))
	of("kim", "", 1, names[1])
}
