package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"switchback/handler/history"
)

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
