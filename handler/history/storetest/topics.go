package storetest

import (
	"fmt"
	"testing"

	"switchback/handler/history"
)

func testOpen(t *testing.T, s *store) {
	made, err := s.Open(t.Context(), "a", false)
	s.ok(err)
	s.isTopic("a", 1, 0, 0, 0)
	s.fill("a", "1")
	for _, fast := range []bool{false, true, true, false} {
		again, err := s.Open(t.Context(), "a", fast)
		s.ok(err)
		if again.Epoch != made.Epoch || again.Last != 1 || again != s.topic("a") {
			t.Errorf("opened %+v, not %+v", again, made)
		}
	}
	s.ok(s.Settle(t.Context()))
	s.ok(s.Settle(t.Context()))
}

func testRenew(t *testing.T, s *store) {
	_, err := s.Renew(t.Context(), "a")
	s.is(err, history.ErrNoTopic)
	s.fill("a", "1", "2")
	before := s.topic("a")
	renewed, err := s.Renew(t.Context(), "a")
	s.ok(err)
	if renewed != s.topic("a") || renewed.Epoch == before.Epoch || renewed.Has(before.Position()) {
		t.Errorf("renewed %+v to %+v", before, renewed)
	}
	s.isTopic("a", 1, 2, 2, 2)
	s.has("a", "1 2")
	next := entry("a", "3")
	s.append(next)
	if next.Epoch != renewed.Epoch || next.Entry.Offset != 3 {
		t.Errorf("told %+v", next)
	}
}

// names are in the order of their bytes.
var names = []string{"\x00", "A", "B", "a", "a\x00", "a b", "aa", "b", "~", "\x80", "ä", "\xff"}

func testTopics(t *testing.T, s *store) {
	topics := func(after string, limit int) string {
		t.Helper()
		topics, err := s.Topics(t.Context(), after, limit)
		s.ok(err)
		var names []string
		for _, topic := range topics {
			if topic != s.topic(topic.Name) {
				t.Errorf("listed %+v", topic)
			}
			names = append(names, topic.Name)
		}
		return fmt.Sprintf("%q", names)
	}
	if got := topics("", 10); got != "[]" {
		t.Errorf("an empty store has %s", got)
	}
	for _, i := range []int{7, 0, 11, 3, 1, 2, 10, 9, 8, 5, 6, 4} {
		s.fill(names[i], "data")
	}
	for _, test := range []struct {
		after string
		limit int
		want  []string
	}{
		{"", 100, names},
		{"", 2, names[:2]},
		{"a", 3, names[4:7]},
		{"a a", 1, names[5:6]},
		{"\xff", 9, nil},
		{"", 0, nil},
		{"", -1, nil},
	} {
		if got := topics(test.after, test.limit); got != fmt.Sprintf("%q", test.want) {
			t.Errorf("after %q come %s, not %q", test.after, got, test.want)
		}
	}
}

func testRemove(t *testing.T, s *store) {
	ctx := t.Context()
	s.ok(s.Remove(ctx, "a"))
	s.ok(s.MakeRoom(ctx, history.Room{Topic: "a", Members: []string{"kim", "lee"}}))
	s.fill("a", "1", "2")
	s.fill("b", "1")
	_, err := s.MarkRead(ctx, "a", "max", 1)
	s.ok(err)
	before := s.topic("a")
	s.ok(s.Remove(ctx, "a"))

	_, err = s.Topic(ctx, "a")
	s.is(err, history.ErrNoTopic)
	_, err = s.Room(ctx, "a")
	s.is(err, history.ErrNoTopic)
	rooms, err := s.RoomsOf(ctx, "kim", "", 10)
	s.ok(err)
	if len(rooms) > 0 {
		t.Errorf("kim is still in %q", rooms)
	}
	s.has("a", "")
	s.has("b", "1")

	s.fill("a", "new")
	s.isTopic("a", 1, 1, 1, 3)
	if s.topic("a").Epoch == before.Epoch {
		t.Error("what is made again has the epoch that it had")
	}
	_, err = s.Room(ctx, "a")
	s.is(err, history.ErrNoTopic)
	s.unread("max", 10, "a 0 1 1")
}

func testMarks(t *testing.T, s *store, reopen func() *store) {
	ctx := t.Context()
	open := func(name string, fast bool) uint64 {
		t.Helper()
		topic, err := s.Open(ctx, name, fast)
		s.ok(err)
		if topic != s.topic(name) {
			t.Errorf("opened %+v, which is %+v", topic, s.topic(name))
		}
		return topic.Epoch
	}
	s.fill("fast", "1")
	fast, slow, settled, turned := open("fast", true), open("slow", false), open("settled", true), open("turned", true)
	s.ok(s.Settle(ctx))
	open("fast", true)
	open("turned", true)

	s = reopen()
	if open("slow", true) != slow || open("settled", true) != settled {
		t.Error("a topic that is not marked has another epoch")
	}
	now := open("fast", true)
	if now == fast {
		t.Error("a topic that is marked has the epoch it had")
	}
	if open("fast", true) != now || open("fast", false) != now {
		t.Error("a topic that is opened again has another epoch")
	}
	if open("turned", false) == turned {
		t.Error("a topic that is not fast any more has the epoch it had")
	}
	s.isTopic("fast", 1, 1, 1, 1)
	turned = open("turned", false)
	s.ok(s.Settle(ctx))

	s = reopen()
	for name, epoch := range map[string]uint64{"fast": now, "slow": slow, "settled": settled, "turned": turned} {
		if open(name, false) != epoch {
			t.Errorf("%s is settled and has another epoch", name)
		}
	}
}
