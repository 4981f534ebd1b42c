package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"switchback/handler/history"
)

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
