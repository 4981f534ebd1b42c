package memory_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/handler/history/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) (history.Store, func() history.Store) {
		return memory.New(memory.Options{}), nil
	})
}

func TestOldestOfTheLargestTopicsGo(t *testing.T) {
	s := memory.New(memory.Options{Bytes: 100_000})
	appendTo := func(topic string, bytes int) {
		t.Helper()
		e := history.Append{Topic: topic, Entry: history.Entry{ID: fmt.Sprint("id", bytes), Data: make([]byte, bytes)}}
		if err := s.Append(t.Context(), []*history.Append{&e}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(name string, first, last uint64) {
		t.Helper()
		got, err := s.Topic(t.Context(), name)
		if err != nil || got.First != first || got.Last != last || got.Count != int64(last+1-first) {
			t.Errorf("%s is %+v, not %d to %d: %v", name, got, first, last, err)
		}
	}
	appendTo("small", 20_000)
	for i := range 10 {
		appendTo("large", 15_000+i)
	}
	is("small", 1, 1)
	is("large", 6, 10)
	appendTo("small", 5_000)
	is("small", 1, 2)
	is("large", 7, 10)
	appendTo("larger", 90_000)
	is("larger", 2, 1)
	is("large", 7, 10)
	is("small", 1, 2)
	appendTo("small", 40_000)
	is("small", 2, 3)
	is("large", 8, 10)
	if got := s.Dropped(); got != 9 {
		t.Errorf("%d entries are dropped, not 9", got)
	}
	if size, err := s.Size(t.Context()); err != nil || size > 100_000 {
		t.Errorf("%d bytes are taken: %v", size, err)
	}
}

// What is not an entry is refused, never more than half of the bytes.
func TestFull(t *testing.T) {
	ctx := t.Context()
	name := func(i int) string { return fmt.Sprint(strings.Repeat("n", 500), i) }
	members := make([]string, 1000)
	for i := range members {
		members[i] = name(i)
	}
	for what, call := range map[string]func(s history.Store, i int) error{
		"Append": func(s history.Store, i int) error {
			return s.Append(ctx, []*history.Append{{Topic: "a"}, {Topic: name(i)}})
		},
		"Open":     func(s history.Store, i int) error { _, err := s.Open(ctx, name(i), false); return err },
		"MakeRoom": func(s history.Store, i int) error { return s.MakeRoom(ctx, history.Room{Topic: name(i)}) },
		"Attributes": func(s history.Store, i int) error {
			return s.MakeRoom(ctx, history.Room{Topic: name(i), Attributes: make([]byte, 1000)})
		},
		"Members": func(s history.Store, i int) error {
			return s.MakeRoom(ctx, history.Room{Topic: name(i), Members: members[:10]})
		},
		"AddMember": func(s history.Store, i int) error { return s.AddMember(ctx, "room", name(i), math.MaxInt) },
		"MarkRead":  func(s history.Store, i int) error { _, err := s.MarkRead(ctx, "room", name(i), 0); return err },
	} {
		t.Run(what, func(t *testing.T) {
			s := memory.New(memory.Options{Bytes: 200_000})
			if err := s.MakeRoom(ctx, history.Room{Topic: "room"}); err != nil {
				t.Fatal(err)
			}
			if err := s.Append(ctx, []*history.Append{{Topic: "a"}}); err != nil {
				t.Fatal(err)
			}
			empty, _ := s.Size(ctx)
			n := 0
			var err error
			for ; err == nil && n < 1000; n++ {
				err = call(s, n)
			}
			if !errors.Is(err, history.ErrFull) || n < 5 {
				t.Errorf("number %d: %v", n, err)
			}
			if size, _ := s.Size(ctx); size > 130_000 {
				t.Errorf("%d bytes are taken", size)
			}
			if call(s, 0); what == "AddMember" || what == "MarkRead" {
				if err := call(s, 0); err != nil {
					t.Errorf("what is there already: %v", err)
				}
			}
			// What is there may be used, and what is removed has no size.
			if err := s.Append(ctx, []*history.Append{{Topic: "a", Entry: history.Entry{Data: make([]byte, 50_000)}}}); err != nil {
				t.Error(err)
			}
			topics, _ := s.Topics(ctx, "", 10_000)
			for _, topic := range topics {
				s.Remove(ctx, topic.Name)
			}
			if size, _ := s.Size(ctx); size != 0 {
				t.Errorf("%d of %d bytes are left", size, empty)
			}
		})
	}
	s := memory.New(memory.Options{Bytes: 200_000})
	if err := s.MakeRoom(ctx, history.Room{Topic: "room", Members: members}); !errors.Is(err, history.ErrFull) {
		t.Errorf("a thousand members: %v", err)
	}
	if _, err := s.Topic(ctx, "room"); !errors.Is(err, history.ErrNoTopic) {
		t.Errorf("what is refused is made: %v", err)
	}
}

func BenchmarkAppend(b *testing.B) { storetest.BenchAppend(b, memory.New(memory.Options{})) }

func BenchmarkRead(b *testing.B) {
	storetest.BenchRead(b, memory.New(memory.Options{Bytes: 1 << 30}))
}
