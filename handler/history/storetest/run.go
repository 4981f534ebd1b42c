package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"switchback/handler/history"
)

// An Open opens a new store, which the test closes. Reopen ends the store without Settle and
// opens what it has kept as another process would; it is nil where nothing outlives a store.
type Open func(t *testing.T) (s history.Store, reopen func() history.Store)

// Run tests that what open opens is a history.Store.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *store)
	}{
		{"Append", testAppend},
		{"AppendIsWhole", testAppendIsWhole},
		{"AppendMany", testAppendMany},
		{"Duplicates", testDuplicates},
		{"GivenOffsets", testGivenOffsets},
		{"Open", testOpen},
		{"Renew", testRenew},
		{"Topics", testTopics},
		{"Read", testRead},
		{"Trim", testTrim},
		{"Remove", testRemove},
		{"MarkRead", testMarkRead},
		{"Unread", testUnread},
		{"Rooms", testRooms},
		{"RoomsOf", testRoomsOf},
		{"AnyBytes", testAnyBytes},
		{"Names", testNames},
		{"Concurrent", testConcurrent},
		{"Cancelled", testCancelled},
		{"Size", testSize},
		{"Closed", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := open(t)
			defer s.Close()
			test.run(t, &store{s, t})
		})
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *store, reopen func() *store)
	}{
		{"Kept", testKept},
		{"Marks", testMarks},
	} {
		t.Run(test.name, func(t *testing.T) {
			first, again := open(t)
			last := &store{first, t}
			defer func() { last.Close() }()
			if again != nil {
				test.run(t, last, func() *store {
					last = &store{again(), t}
					return last
				})
			}
		})
	}
}

// A store is one of which a test asks what must not fail.
type store struct {
	history.Store
	t *testing.T
}

// at is a time as entries have it.
var at = time.UnixMilli(1_700_000_000_123).UTC()

// after is so many seconds after at.
func after(seconds int) time.Time { return at.Add(time.Duration(seconds) * time.Second) }

func entry(topic, data string) *history.Append {
	return &history.Append{Topic: topic, Entry: history.Entry{At: at, Data: []byte(data)}}
}

func (s *store) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) append(batch ...*history.Append) {
	s.t.Helper()
	s.ok(s.Append(s.t.Context(), batch))
}

// fill appends entries to a topic, one of each text.
func (s *store) fill(topic string, texts ...string) {
	s.t.Helper()
	var batch []*history.Append
	for _, text := range texts {
		batch = append(batch, entry(topic, text))
	}
	s.append(batch...)
}

func (s *store) topic(name string) history.Topic {
	s.t.Helper()
	topic, err := s.Topic(s.t.Context(), name)
	s.ok(err)
	return topic
}

// isTopic tells all of a topic but its name and epoch.
func (s *store) isTopic(name string, first, last uint64, count, bytes int64) {
	s.t.Helper()
	got := s.topic(name)
	want := history.Topic{Name: name, Epoch: got.Epoch, First: first, Last: last, Count: count, Bytes: bytes}
	if got != want || got.Epoch == 0 {
		s.t.Errorf("%q is %+v, not %+v", name, got, want)
	}
}

func (s *store) read(topic string, r history.Range) []history.Entry {
	s.t.Helper()
	entries, err := s.Read(s.t.Context(), topic, r)
	s.ok(err)
	return entries
}

// has tells the data of all entries of a topic, with a space between.
func (s *store) has(topic, want string) {
	s.t.Helper()
	if got := texts(s.read(topic, history.Range{Limit: 1000})); got != want {
		s.t.Errorf("%q has %q, not %q", topic, got, want)
	}
}

func texts(entries []history.Entry) string {
	var texts []string
	for _, e := range entries {
		texts = append(texts, string(e.Data))
	}
	return strings.Join(texts, " ")
}

func (s *store) is(got, want error) {
	s.t.Helper()
	if !errors.Is(got, want) {
		s.t.Errorf("the error is %v, not %v", got, want)
	}
}

func testAppend(t *testing.T, s *store) {
	whole := &history.Append{Topic: "a", Entry: history.Entry{At: at, ID: "id", User: "kim", Data: []byte("1")}}
	local := &history.Append{Topic: "b", Entry: history.Entry{
		At: at.Add(999 * time.Microsecond).In(time.FixedZone("", 3600)), Data: []byte("11"),
	}}
	s.append(whole, local, entry("a", "2"))
	s.append(entry("a", "3"))
	s.append()

	if whole.Entry.Offset != 1 || whole.Duplicate || whole.Epoch == 0 || whole.Epoch != s.topic("a").Epoch {
		t.Errorf("told %+v", whole)
	}
	if local.Entry.Offset != 1 || local.Entry.At != at || local.Epoch == whole.Epoch {
		t.Errorf("told %+v", local)
	}
	got := s.read("a", history.Range{Limit: 10})
	for i, e := range got {
		if e.Offset != uint64(i+1) || string(e.Data) != fmt.Sprint(i+1) {
			t.Errorf("entry %d is %+v", i, e)
		}
	}
	if e := got[0]; e.ID != "id" || e.User != "kim" || e.At != at {
		t.Errorf("read %+v", e)
	}
	if e := got[1]; e.ID != "" || e.User != "" {
		t.Errorf("read %+v", e)
	}
	if e := s.read("b", history.Range{Limit: 10})[0]; e.At != at {
		t.Errorf("a time is %v, not %v", e.At, at)
	}
	s.isTopic("a", 1, 3, 3, 3)
	s.isTopic("b", 1, 1, 1, 2)

	// What is given and what is returned are not what is kept.
	whole.Entry.Data[0] = 'x'
	got[1].Data[0] = 'x'
	s.has("a", "1 2 3")
}

func testAppendIsWhole(t *testing.T, s *store) {
	s.fill("a", "1")
	long := entry("b", "2")
	long.Entry.ID = strings.Repeat("x", history.MaxName+1)
	low := entry("a", "2")
	low.Entry.Offset = 1
	for _, bad := range []*history.Append{long, low, entry("", "2")} {
		good := entry("a", "3")
		if s.Append(t.Context(), []*history.Append{entry("new", "4"), good, bad}) == nil {
			t.Errorf("%+v is taken", bad)
		}
		if good.Entry.Offset != 0 || good.Epoch != 0 {
			t.Errorf("an entry that is not stored is told %+v", good)
		}
	}
	s.isTopic("a", 1, 1, 1, 1)
	_, err := s.Topic(t.Context(), "new")
	s.is(err, history.ErrNoTopic)
}

func testAppendMany(t *testing.T, s *store) {
	var batch []*history.Append
	for i := range 5000 {
		e := entry(fmt.Sprint("topic ", i%7), fmt.Sprint(i))
		e.Entry.ID = fmt.Sprint(i)
		batch = append(batch, e)
	}
	s.append(batch...)
	if got := s.read("topic 3", history.Range{Limit: 10000}); len(got) != 714 || string(got[713].Data) != "4994" {
		t.Errorf("read %d entries", len(got))
	}
	large := strings.Repeat("large", 1<<18)
	s.fill("large", large)
	s.has("large", large)
}

func testDuplicates(t *testing.T, s *store) {
	make := func(topic, id, data string, at time.Time) *history.Append {
		e := entry(topic, data)
		e.Entry.ID, e.Entry.At = id, at
		return e
	}
	first, twice := make("a", "x", "1", at), make("a", "x", "1 again", after(1))
	s.append(first, entry("a", "2"), twice, make("b", "x", "other", at))
	late, given := make("a", "x", "1 again", after(2)), make("a", "x", "1 again", after(3))
	given.Entry.Offset = 1
	s.append(late, make("a", "", "3", at), make("a", "", "4", at), given)
	for _, e := range []*history.Append{twice, late, given} {
		if !e.Duplicate || e.Entry.Offset != 1 || e.Entry.At != at || e.Epoch != first.Epoch {
			t.Errorf("a duplicate is told %+v", e)
		}
	}
	if first.Duplicate {
		t.Error("the first is a duplicate")
	}
	s.has("a", "1 2 3 4")
	s.has("b", "other")
	s.isTopic("a", 1, 4, 4, 4)

	_, err := s.Trim(t.Context(), "a", history.Keep{Count: 1}, at)
	s.ok(err)
	again := make("a", "x", "5", at)
	s.append(again)
	if again.Duplicate || again.Entry.Offset != 5 {
		t.Errorf("an ID that is trimmed is told %+v", again)
	}
}

func testGivenOffsets(t *testing.T, s *store) {
	give := func(offset uint64, id string) *history.Append {
		e := entry("a", fmt.Sprint(offset))
		e.Entry.Offset, e.Entry.ID = offset, id
		return e
	}
	s.append(give(3, ""), give(4, "x"), give(7, ""), entry("a", "8"))
	s.has("a", "3 4 7 8")
	s.isTopic("a", 3, 8, 4, 4)
	if got := texts(s.read("a", history.Range{After: 4, Before: 8, Limit: 10})); got != "7" {
		t.Errorf("read %q", got)
	}
	for _, offset := range []uint64{1, 5, 8, 1 << 63, math.MaxUint64} {
		s.is(s.Append(t.Context(), []*history.Append{give(offset, "y")}), history.ErrOffset)
	}
	s.is(s.Append(t.Context(), []*history.Append{give(10, ""), give(9, "")}), history.ErrOffset)
	s.append(give(4, "x")) // which may not be known to be stored
	s.isTopic("a", 3, 8, 4, 4)
	s.append(give(12, "x")) // which has been delivered with it
	s.isTopic("a", 3, 12, 4, 4)
	s.is(s.Append(t.Context(), []*history.Append{give(12, "")}), history.ErrOffset)
	topic, err := s.Trim(t.Context(), "a", history.Keep{Count: 2}, at)
	s.ok(err)
	if topic.First != 7 {
		t.Errorf("the first is %d, not 7", topic.First)
	}
	_, err = s.Trim(t.Context(), "a", history.Keep{Bytes: 1}, at)
	s.ok(err)
	s.append(give(20, ""))
	s.isTopic("a", 8, 20, 2, 3)
}

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

func testRead(t *testing.T, s *store) {
	s.fill("other", "x", "y", "z")
	s.fill("a", "1", "22", "333", "4444", "55555")
	s.fill("b", "x")
	for _, test := range []struct {
		r    history.Range
		want string
	}{
		{history.Range{Limit: 9}, "1 22 333 4444 55555"},
		{history.Range{Limit: 2}, "1 22"},
		{history.Range{Limit: 2, Newest: true}, "4444 55555"},
		{history.Range{After: 1, Limit: 2}, "22 333"},
		{history.Range{After: 3, Limit: 9}, "4444 55555"},
		{history.Range{After: 3, Limit: 9, Newest: true}, "4444 55555"},
		{history.Range{Before: 4, Limit: 2, Newest: true}, "22 333"},
		{history.Range{Before: 4, Limit: 9}, "1 22 333"},
		{history.Range{After: 1, Before: 4, Limit: 9}, "22 333"},
		{history.Range{After: 1, Before: 4, Limit: 1, Newest: true}, "333"},
		{history.Range{After: 2, Before: 3, Limit: 9}, ""},
		{history.Range{After: 4, Before: 2, Limit: 9}, ""},
		{history.Range{After: 5, Limit: 9}, ""},
		{history.Range{Before: 1, Limit: 9}, ""},
		{history.Range{Limit: 0}, ""},
		{history.Range{Limit: -1}, ""},
		{history.Range{Limit: -1, Newest: true}, ""},
		{history.Range{After: math.MaxUint64, Limit: 9}, ""},
		{history.Range{After: 1 << 63, Limit: 9}, ""},
		{history.Range{Before: math.MaxUint64, Limit: 9}, "1 22 333 4444 55555"},
		{history.Range{Before: 1 << 63, Limit: 9}, "1 22 333 4444 55555"},
		{history.Range{Limit: 9, Bytes: 6}, "1 22 333"},
		{history.Range{Limit: 9, Bytes: 5}, "1 22"},
		{history.Range{Limit: 2, Bytes: 6}, "1 22"},
		{history.Range{After: 2, Limit: 9, Bytes: 1}, "333"},
		{history.Range{Limit: 9, Bytes: 12, Newest: true}, "333 4444 55555"},
		{history.Range{Limit: 9, Bytes: 8, Newest: true}, "55555"},
		{history.Range{Limit: 9, Bytes: 1, Newest: true}, "55555"},
	} {
		if got := texts(s.read("a", test.r)); got != test.want {
			t.Errorf("%+v is %q, not %q", test.r, got, test.want)
		}
	}
	s.has("no topic", "")
}

func testTrim(t *testing.T, s *store) {
	_, err := s.Trim(t.Context(), "a", history.Keep{Count: 1}, at)
	s.is(err, history.ErrNoTopic)
	for i, test := range []struct {
		keep history.Keep
		want string // of 1 22 333 4444 55555, one a second
	}{
		{history.Keep{}, "1 22 333 4444 55555"},
		{history.Keep{Count: 5, Bytes: 15, Age: 4 * time.Second}, "1 22 333 4444 55555"},
		{history.Keep{Count: 2}, "4444 55555"},
		{history.Keep{Bytes: 14}, "22 333 4444 55555"},
		{history.Keep{Bytes: 11}, "4444 55555"},
		{history.Keep{Bytes: 4}, ""},
		{history.Keep{Age: 2 * time.Second}, "333 4444 55555"},
		{history.Keep{Age: time.Millisecond}, "55555"},
		{history.Keep{Age: 3 * time.Second, Count: 3, Bytes: 5}, "55555"},
		{history.Keep{Age: 3 * time.Second, Count: 3, Bytes: 100}, "333 4444 55555"},
		{history.Keep{Age: -1, Count: -1, Bytes: -1}, "1 22 333 4444 55555"},
	} {
		name := fmt.Sprint("a", i)
		for i, data := range []string{"1", "22", "333", "4444", "55555"} {
			e := entry(name, data)
			e.Entry.At = after(i)
			s.append(e)
		}
		got, err := s.Trim(t.Context(), name, test.keep, after(4))
		s.ok(err)
		s.has(name, test.want)
		if got != s.topic(name) {
			t.Errorf("%+v: returned %+v", test.keep, got)
		}
		n := int64(len(strings.Fields(test.want)))
		s.isTopic(name, uint64(6-n), 5, n, int64(len(strings.ReplaceAll(test.want, " ", ""))))
		s.fill(name, "next")
		if got := s.read(name, history.Range{Limit: 1, Newest: true})[0].Offset; got != 6 {
			t.Errorf("%+v: the next is %d, not 6", test.keep, got)
		}
	}

	// More than a store may remove at once.
	var batch []*history.Append
	for range 20_000 {
		batch = append(batch, entry("long", "x"))
	}
	s.append(batch...)
	_, err = s.Trim(t.Context(), "long", history.Keep{Count: 3}, at)
	s.ok(err)
	s.isTopic("long", 19_998, 20_000, 3, 3)
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

func testAnyBytes(t *testing.T, s *store) {
	ctx := t.Context()
	for _, text := range []string{
		"\x00", "a\x00b", "\xff\xfe", "\xc3\x28", "'", "'; drop table entries; --", `"; drop table topics; --`,
		"$1", "?", "?1", ":a", "%s%n", `\`, `\x00`, "a\r\nb", "\u2028", "NULL", "{a,b}", "0",
	} {
		e := &history.Append{Topic: text, Entry: history.Entry{At: at, ID: text, User: text, Data: []byte(text)}}
		again := *e
		s.append(e, &again)
		if !again.Duplicate {
			t.Errorf("the ID %q is not found", text)
		}
		if got := s.read(text, history.Range{Limit: 9}); len(got) != 1 || got[0].ID != text || got[0].User != text || string(got[0].Data) != text {
			t.Errorf("%q is read as %+v", text, got)
		}
		unread, err := s.Unread(ctx, text, []string{text}, 9)
		s.ok(err)
		if u := unread[0]; u.Topic != text || u.Last != 1 || u.Count != 0 {
			t.Errorf("%q: unread is %+v", text, u)
		}
		s.ok(s.MakeRoom(ctx, history.Room{Topic: text, Attributes: []byte(text), Members: []string{text}}))
		s.ok(s.AddMember(ctx, text, text+text, 9))
		s.isRoom(history.Room{Topic: text, Attributes: []byte(text), Members: []string{text, text + text}})
		rooms, err := s.RoomsOf(ctx, text, "", 9)
		s.ok(err)
		if !slices.Equal(rooms, []string{text}) {
			t.Errorf("%q is in %q", text, rooms)
		}
		s.isTopic(text, 1, 1, 1, int64(len(text)))
	}
}

// incompressible is what no database makes shorter.
func incompressible(n int) []byte {
	random := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

func testNames(t *testing.T, s *store) {
	ctx := t.Context()
	random := incompressible(2 * history.MaxName)
	longest, other := string(random[:history.MaxName]), string(random[history.MaxName:])
	e := &history.Append{Topic: longest, Entry: history.Entry{At: at, ID: longest, User: longest}}
	s.append(e)
	s.ok(s.MakeRoom(ctx, history.Room{Topic: longest, Members: []string{longest}}))
	s.ok(s.AddMember(ctx, longest, other, 9))
	_, err := s.MarkRead(ctx, longest, longest, 1)
	s.ok(err)
	s.isTopic(longest, 1, 1, 1, 0)

	for _, bad := range []string{longest + "x", strings.Repeat("x", 64<<10), ""} {
		s.is(s.Append(ctx, []*history.Append{{Topic: bad}}), history.ErrName)
		if bad != "" {
			s.is(s.Append(ctx, []*history.Append{{Topic: "a", Entry: history.Entry{ID: bad}}}), history.ErrName)
			s.is(s.Append(ctx, []*history.Append{{Topic: "a", Entry: history.Entry{User: bad}}}), history.ErrName)
		}
		_, err := s.Open(ctx, bad, false)
		s.is(err, history.ErrName)
		s.is(s.MakeRoom(ctx, history.Room{Topic: bad}), history.ErrName)
		s.is(s.MakeRoom(ctx, history.Room{Topic: "a", Members: []string{"kim", bad}}), history.ErrName)
		s.is(s.AddMember(ctx, longest, bad, 9), history.ErrName)
		_, err = s.MarkRead(ctx, longest, bad, 1)
		s.is(err, history.ErrName)

		// What is not stored is not there.
		_, err = s.Topic(ctx, bad)
		s.is(err, history.ErrNoTopic)
		_, err = s.Renew(ctx, bad)
		s.is(err, history.ErrNoTopic)
		_, err = s.Room(ctx, bad)
		s.is(err, history.ErrNoTopic)
		s.ok(s.Remove(ctx, bad))
		s.ok(s.RemoveMember(ctx, longest, bad))
		_, err = s.Unread(ctx, bad, []string{bad}, 9)
		s.ok(err)
		_, err = s.RoomsOf(ctx, bad, bad, 9)
		s.ok(err)
		_, err = s.Topics(ctx, bad, 9)
		s.ok(err)
	}
	_, err = s.Topic(ctx, "a")
	s.is(err, history.ErrNoTopic)
}

func testConcurrent(t *testing.T, s *store) {
	const publishers, batches = 8, 20
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for b := range batches {
				var batch []*history.Append
				for i := range 6 {
					// Topics in another order for each, of which all wait for one another.
					e := entry(fmt.Sprint("topic ", (p+i)%4), "x")
					e.Entry.ID = fmt.Sprint(b, i) // p/4 publishers and more have the same
					batch = append(batch, e)
				}
				if err := s.Append(t.Context(), batch); err != nil {
					t.Error(err)
				}
				if _, err := s.Trim(t.Context(), "topic 0", history.Keep{Count: 5}, at); err != nil {
					t.Error(err)
				}
				if _, err := s.MarkRead(t.Context(), "topic 0", "kim", uint64(b)); err != nil {
					t.Error(err)
				}
				_, err := s.Open(t.Context(), fmt.Sprint("opened ", b), true)
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for i := 1; i < 4; i++ {
		got := s.read(fmt.Sprint("topic ", i), history.Range{Limit: 10_000})
		ids := make(map[string]bool)
		for n, e := range got {
			if e.Offset != uint64(n+1) {
				t.Fatalf("after %d comes %d", n, e.Offset)
			}
			ids[e.ID] = true
		}
		if len(got) != batches*6 || len(ids) != len(got) {
			t.Errorf("topic %d has %d entries of %d IDs, not %d", i, len(got), len(ids), batches*6)
		}
	}
}

// calls are one of each method that takes a context.
func (s *store) calls() map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Append":       func(ctx context.Context) error { return s.Append(ctx, []*history.Append{entry("a", "x")}) },
		"Open":         func(ctx context.Context) error { _, err := s.Open(ctx, "a", true); return err },
		"Renew":        func(ctx context.Context) error { _, err := s.Renew(ctx, "a"); return err },
		"Settle":       func(ctx context.Context) error { return s.Settle(ctx) },
		"Topic":        func(ctx context.Context) error { _, err := s.Topic(ctx, "a"); return err },
		"Topics":       func(ctx context.Context) error { _, err := s.Topics(ctx, "", 1); return err },
		"Read":         func(ctx context.Context) error { _, err := s.Read(ctx, "a", history.Range{Limit: 1}); return err },
		"Trim":         func(ctx context.Context) error { _, err := s.Trim(ctx, "a", history.Keep{Count: 1}, at); return err },
		"Remove":       func(ctx context.Context) error { return s.Remove(ctx, "a") },
		"MarkRead":     func(ctx context.Context) error { _, err := s.MarkRead(ctx, "a", "kim", 1); return err },
		"Unread":       func(ctx context.Context) error { _, err := s.Unread(ctx, "kim", []string{"a"}, 1); return err },
		"MakeRoom":     func(ctx context.Context) error { return s.MakeRoom(ctx, history.Room{Topic: "new"}) },
		"Room":         func(ctx context.Context) error { _, err := s.Room(ctx, "room"); return err },
		"AddMember":    func(ctx context.Context) error { return s.AddMember(ctx, "room", "kim", 9) },
		"RemoveMember": func(ctx context.Context) error { return s.RemoveMember(ctx, "room", "lee") },
		"RoomsOf":      func(ctx context.Context) error { _, err := s.RoomsOf(ctx, "lee", "", 1); return err },
		"Size":         func(ctx context.Context) error { _, err := s.Size(ctx); return err },
	}
}

func testCancelled(t *testing.T, s *store) {
	s.fill("a", "1", "2")
	s.ok(s.MakeRoom(t.Context(), history.Room{Topic: "room", Members: []string{"lee"}}))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range s.calls() {
		if err := call(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.has("a", "1 2")
	s.isRoom(history.Room{Topic: "room", Members: []string{"lee"}})
	_, err := s.Topic(t.Context(), "new")
	s.is(err, history.ErrNoTopic)
	for name, call := range s.calls() {
		if name != "Remove" {
			if err := call(t.Context()); err != nil {
				t.Errorf("%s after that: %v", name, err)
			}
		}
	}
}

func testSize(t *testing.T, s *store) {
	size := func() int64 {
		size, err := s.Size(t.Context())
		s.ok(err)
		return size
	}
	before := size()
	for range 10 {
		s.fill("a", string(incompressible(1<<17)))
	}
	if grown := size() - before; grown < 1<<20 || grown > 1<<23 {
		t.Errorf("1.25 MiB takes %d bytes", grown)
	}
}

func testClosed(t *testing.T, s *store) {
	s.fill("a", "1")
	s.ok(s.Close())
	for name, call := range s.calls() {
		if err := call(t.Context()); !errors.Is(err, history.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.ok(s.Close())
}

func testKept(t *testing.T, s *store, reopen func() *store) {
	ctx := t.Context()
	e := entry("a", "1")
	e.Entry.ID, e.Entry.User = "id", "kim"
	s.append(e, entry("a", "2"), entry("a", "3"), entry("all trimmed", "1"))
	s.ok(s.MakeRoom(ctx, history.Room{Topic: "a", Attributes: []byte("x"), Members: []string{"kim"}}))
	_, err := s.MarkRead(ctx, "a", "lee", 2)
	s.ok(err)
	_, err = s.Trim(ctx, "all trimmed", history.Keep{Age: time.Second}, after(9))
	s.ok(err)
	before := s.topic("a")

	s = reopen()
	if got := s.topic("a"); got != before {
		t.Errorf("kept %+v, not %+v", got, before)
	}
	s.has("a", "1 2 3")
	if got := s.read("a", history.Range{Limit: 1})[0]; got.ID != "id" || got.User != "kim" || got.At != at {
		t.Errorf("kept %+v", got)
	}
	s.isRoom(history.Room{Topic: "a", Attributes: []byte("x"), Members: []string{"kim"}})
	s.unread("lee", 9, "a 2 3 1")
	again := entry("a", "1")
	again.Entry.ID = "id"
	s.append(again)
	if !again.Duplicate {
		t.Error("an ID is not kept")
	}
	s.isTopic("all trimmed", 2, 1, 0, 0)
	s.fill("all trimmed", "2")
	s.isTopic("all trimmed", 2, 2, 1, 1)
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
