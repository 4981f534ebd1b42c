package admin

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"switchback/handler"
	"switchback/handler/stomp"
	"switchback/web/admin/client"
)

// publish answers POST /api/publish. A batch is checked as a whole before the first of it
// is published.
func (s *Server) publish(r *http.Request) (any, *client.Failure) {
	var body struct {
		client.Publication
		Batch *[]json.RawMessage `json:"batch"`
	}
	if err := read(r, &body); err != nil {
		return nil, failed(err)
	}
	if body.Batch == nil {
		return s.publishAll(r.Context(), []client.Publication{body.Publication}, func(int) *int { return nil })
	}
	if p := body.Publication; p.Destination != "" || p.Payload != nil || p.Text != nil || p.Base64 != nil || p.Headers != nil || p.ID != "" {
		return nil, failed(wrong("batch", "A body with batch has nothing beside it."))
	}
	items := *body.Batch
	if n := len(items); n == 0 || n > s.options.BatchLimit {
		return nil, failed(wrong("batch", "A batch has 1 to %d publications; this has %d.", s.options.BatchLimit, n))
	}
	all := make([]client.Publication, len(items))
	for i, item := range items {
		if err := decode(item, &all[i]); err != nil {
			err.Index = &i
			return nil, failed(err)
		}
	}
	return s.publishAll(r.Context(), all, func(i int) *int { return &i })
}

// publishAll publishes all, or none where one is wrong; where one cannot be sent, those
// after it are not. index is what an error says of the one it is for.
func (s *Server) publishAll(ctx context.Context, all []client.Publication, index func(i int) *int) (any, *client.Failure) {
	for i := range all {
		if err := s.check(&all[i]); err != nil {
			err.Index = index(i)
			return nil, failed(err)
		}
	}
	for i := range all {
		if err := s.send(ctx, &all[i]); err != nil {
			e := s.unsent(all[i].Destination, err)
			e.Index = index(i)
			return nil, &client.Failure{Error: e, Published: i}
		}
	}
	return client.Published{Published: len(all)}, nil
}

// check returns what is wrong with a publication.
func (s *Server) check(p *client.Publication) *client.Error {
	if p.Destination == "" {
		return wrong("destination", "destination is missing: /topic/news, say.")
	}
	if err := checkContent(p); err != nil {
		return err
	}
	switch {
	case s.topics[p.Destination]:
		return checkBroadcast(p)
	case s.options.Broker == nil || !s.options.Broker.Sends(p.Destination):
		return s.unknown(p.Destination)
	}
	return nil
}

// checkContent returns what is wrong with a message to any destination. A frame of STOMP
// ends at the first NUL that is not in its body.
func checkContent(p *client.Publication) *client.Error {
	contents := 0
	for _, given := range []bool{p.Payload != nil, p.Text != nil, p.Base64 != nil} {
		if given {
			contents++
		}
	}
	if contents != 1 {
		return wrong("payload", "A publication has one of payload, text and base64; this has %d.", contents)
	}
	if strings.Contains(p.Destination, "\x00") {
		return wrong("destination", "destination must not hold NUL.")
	}
	if len(p.ID) > handler.MaxID || strings.ContainsFunc(p.ID, unicode.IsControl) {
		return wrong("id", "id has at most %d bytes, and no control characters.", handler.MaxID)
	}
	for name, value := range p.Headers {
		if name == "" || strings.Contains(name+value, "\x00") {
			return wrong("headers", "A header must have a name, and not hold NUL.")
		}
	}
	return nil
}

// checkBroadcast returns what is wrong with a message to all sessions of an endpoint.
func checkBroadcast(p *client.Publication) *client.Error {
	switch {
	case len(p.Headers) > 0:
		return wrong("headers", "headers are of STOMP only: %q is a broadcast.", p.Destination)
	case p.Base64 != nil && !utf8.Valid(*p.Base64):
		return wrong("payload", "What is broadcast is text, and base64 holds what is not UTF-8.")
	}
	return nil
}

// send sends a publication that has been checked.
func (s *Server) send(ctx context.Context, p *client.Publication) error {
	if s.topics[p.Destination] {
		sent := &handler.Publication{ID: p.ID, Text: text(p)}
		if p.ID != "" {
			sent.Once = handler.Once(p.Destination, p.ID)
		}
		return s.options.Hub.PublishTo(ctx, sent, p.Destination)
	}
	return s.options.Broker.Send(ctx, p.Destination, message(p))
}

func text(p *client.Publication) []byte {
	switch {
	case p.Text != nil:
		return []byte(*p.Text)
	case p.Base64 != nil:
		return *p.Base64
	}
	return p.Payload
}

// message is a publication as brokers take it. Headers are in order of their names, so
// that it is always the same.
func message(p *client.Publication) stomp.Message {
	m := stomp.Message{ID: p.ID}
	for _, name := range slices.Sorted(maps.Keys(p.Headers)) {
		m.Headers = append(m.Headers, stomp.Header{Name: name, Value: p.Headers[name]})
	}
	switch {
	case p.Text != nil:
		m.Payload = *p.Text
	case p.Base64 != nil:
		m.Payload = *p.Base64
	default:
		m.Payload = p.Payload
	}
	return m
}

// publishUser answers POST /api/publish-user.
func (s *Server) publishUser(r *http.Request) (any, *client.Failure) {
	var p client.UserPublication
	if err := read(r, &p); err != nil {
		return nil, failed(err)
	}
	if err := s.checkUser(&p); err != nil {
		return nil, failed(err)
	}
	if err := s.options.Broker.SendToUser(r.Context(), p.User, p.Destination, message(&p.Publication)); err != nil {
		return nil, failed(s.unsent(p.Destination, err))
	}
	return client.Published{Published: 1}, nil
}

func (s *Server) checkUser(p *client.UserPublication) *client.Error {
	switch {
	case s.options.Broker == nil:
		return wrong("user", "There are no users here: no endpoint speaks STOMP.")
	case p.User == "" || strings.Contains(p.User, "\x00"):
		return wrong("user", "user is missing: the name of a user.")
	case strings.Trim(p.Destination, "/") == "":
		return wrong("destination", "destination is missing: what a client has subscribed to without the prefix of users, /queue/alarm, say.")
	}
	return checkContent(&p.Publication)
}
