package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"switchback/handler/history"
	"switchback/web/admin/client"
)

// pageBytes bounds the data of a page of entries, which may be large each.
const pageBytes = 1 << 20

// kept answers GET /api/history/topics.
func (s *Server) kept(r *http.Request) (any, *client.Failure) {
	query, limit, refused := s.query(r, "limit", "after")
	if refused != nil {
		return nil, failed(refused)
	}
	var topics []history.Topic
	refused = s.askStore(r.Context(), func(ctx context.Context, store history.Store) (err error) {
		topics, err = store.Topics(ctx, query.Get("after"), limit)
		return err
	})
	if refused != nil {
		return nil, failed(refused)
	}
	answer := client.KeptTopics{Topics: make([]client.KeptTopic, 0, len(topics))}
	for _, t := range topics {
		answer.Topics = append(answer.Topics, keptTopic(t))
	}
	if len(topics) == limit {
		answer.Next = topics[limit-1].Name
	}
	return answer, nil
}

// history answers GET /api/history.
func (s *Server) history(r *http.Request) (any, *client.Failure) {
	query, limit, refused := s.query(r, "topic", "after", "before", "limit")
	if refused != nil {
		return nil, failed(refused)
	}
	name, after, before := query.Get("topic"), query.Get("after"), query.Get("before")
	if name == "" {
		return nil, failed(wrong("topic", "topic is missing: one that /api/history/topics lists."))
	}
	if after != "" && before != "" {
		return nil, failed(wrong("query", "A page is after an offset or before one, not both."))
	}
	var topic history.Topic
	refused = s.askStore(r.Context(), func(ctx context.Context, store history.Store) (err error) {
		topic, err = store.Topic(ctx, name)
		return err
	})
	what := history.Range{Newest: after == "", Limit: limit, Bytes: pageBytes}
	if refused == nil {
		what.After, refused = offset(topic, after)
	}
	if refused == nil {
		what.Before, refused = offset(topic, before)
	}
	if refused != nil {
		return nil, failed(refused)
	}
	answer := client.History{KeptTopic: keptTopic(topic), Entries: []client.Entry{}}
	refused = s.askStore(r.Context(), func(ctx context.Context, store history.Store) error {
		entries, err := store.Read(ctx, name, what)
		for _, e := range entries {
			answer.Entries = append(answer.Entries, entry(topic.Epoch, e))
		}
		return err
	})
	if refused != nil {
		return nil, failed(refused)
	}
	return answer, nil
}

// offset is that of a place in a topic; 0 for none.
func offset(topic history.Topic, text string) (uint64, *client.Error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	p, err := history.ParsePosition(text)
	switch {
	case err != nil:
		return 0, wrong("offset", "%q is no offset; one is EPOCH/NUMBER as an entry has it, or 0 for the beginning.", text)
	case p.Epoch != topic.Epoch:
		return 0, wrong("offset", "%q is of another epoch of the topic, which is %s now.", text, strconv.FormatUint(topic.Epoch, 36))
	}
	return p.Offset, nil
}

func keptTopic(t history.Topic) client.KeptTopic {
	at := func(offset uint64) string { return history.Position{Epoch: t.Epoch, Offset: offset}.String() }
	return client.KeptTopic{Topic: t.Name, First: at(t.First), Last: at(t.Last), Count: t.Count, Bytes: t.Bytes}
}

func entry(epoch uint64, e history.Entry) client.Entry {
	told := client.Entry{Offset: history.Position{Epoch: epoch, Offset: e.Offset}.String(), At: e.At.UTC(), ID: e.ID, User: e.User}
	if text := string(e.Data); utf8.ValidString(text) {
		told.Text = &text
	} else {
		told.Base64 = &e.Data
	}
	return told
}

// trim answers POST /api/history/trim.
func (s *Server) trim(r *http.Request) (any, *client.Failure) {
	var t client.Trim
	if refused := read(r, &t); refused != nil {
		return nil, failed(refused)
	}
	keep, refused := keepOf(t)
	if refused != nil {
		return nil, failed(refused)
	}
	if s.options.History == nil {
		return nil, failed(noHistory())
	}
	topic, err := s.options.History.Trim(r.Context(), t.Topic, keep)
	if err != nil {
		return nil, failed(s.storeFailed(err))
	}
	s.log.Info("admin: a topic is trimmed", "topic", topic.Name, "first", topic.First, "last", topic.Last)
	return keptTopic(topic), nil
}

// keepOf is how much is to be kept.
func keepOf(t client.Trim) (history.Keep, *client.Error) {
	keep := history.Keep{Count: t.Count, Bytes: t.Bytes}
	if t.Topic == "" {
		return keep, wrong("topic", "topic is missing: one that /api/history/topics lists.")
	}
	if t.Age != "" {
		age, err := time.ParseDuration(t.Age)
		if err != nil || age <= 0 {
			return keep, wrong("age", "age is %q; it must be a duration such as 720h.", t.Age)
		}
		keep.Age = age
	}
	if keep.Count < 0 || keep.Bytes < 0 || keep == (history.Keep{}) {
		return keep, wrong("count", "count, age and bytes say how much is kept; give one of them at least, over 0.")
	}
	return keep, nil
}

// askStore asks the store of what is kept.
func (s *Server) askStore(ctx context.Context, f func(context.Context, history.Store) error) *client.Error {
	if s.options.History == nil {
		return noHistory()
	}
	if err := s.options.History.Ask(ctx, f); err != nil {
		return s.storeFailed(err)
	}
	return nil
}

func noHistory() *client.Error {
	return wrong("history", "Nothing is kept here: the server has no history.")
}

// storeFailed is what is told of an error of the store.
func (s *Server) storeFailed(err error) *client.Error {
	switch {
	case errors.Is(err, history.ErrNoTopic):
		return wrong("unknown_topic", "Nothing is kept of that topic; /api/history/topics lists those that are.")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return refusal(http.StatusServiceUnavailable, "timeout", "The history was not ready in time; ask again later.")
	case !errors.Is(err, history.ErrUnavailable): // which the log tells of once
		s.log.Error("admin: history failed", "error", err)
	}
	return refusal(http.StatusServiceUnavailable, "unavailable", "The history is not available; ask again later.")
}
