package storetest

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"switchback/handler/history"
)

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
