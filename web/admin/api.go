package admin

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"switchback/handler/history"
	"switchback/handler/stomp"
	"switchback/session"
	"switchback/web/admin/client"
)

// A call is one path of the API.
type call struct {
	method, path string
	answer       func(s *Server, r *http.Request) (any, *client.Failure)
}

// calls are those that openapi.json describes.
var calls = []call{
	{http.MethodPost, "/api/publish", (*Server).publish},
	{http.MethodPost, "/api/publish-user", (*Server).publishUser},
	{http.MethodGet, "/api/sessions", (*Server).sessions},
	{http.MethodGet, "/api/topics", (*Server).subscribed},
	{http.MethodPost, "/api/disconnect", (*Server).disconnect},
	{http.MethodGet, "/api/cluster", (*Server).cluster},
	{http.MethodPost, "/api/tickets", (*Server).exchange},
	{http.MethodGet, "/api/history/topics", (*Server).kept},
	{http.MethodGet, "/api/history", (*Server).history},
	{http.MethodPost, "/api/history/trim", (*Server).trim},
	{http.MethodGet, "/api/openapi.json", (*Server).describe},
}

//go:embed openapi.json
var openAPI []byte

func (*Server) describe(*http.Request) (any, *client.Failure) { return json.RawMessage(openAPI), nil }

// callTimeout is how long a call may take: longer than a publisher waits for memory.
const callTimeout = 20 * time.Second

// answering is the handler of a call.
func (s *Server) answering(c call) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, int64(s.options.BodyLimit))
		answer, failure := c.answer(s, r)
		if failure != nil {
			s.write(w, failure.Error.Status, failure)
			return
		}
		s.write(w, http.StatusOK, answer)
	}
}

// write answers with JSON.
func (s *Server) write(w http.ResponseWriter, status int, answer any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(answer); err != nil {
		panic(err) // of types of ours
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

func (s *Server) fail(w http.ResponseWriter, err *client.Error) {
	if err.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	s.write(w, err.Status, client.Failure{Error: err})
}

// refusal is an answer that is no success. message is a sentence.
func refusal(status int, code, message string, args ...any) *client.Error {
	if len(args) > 0 {
		message = fmt.Sprintf(message, args...)
	}
	return &client.Error{Status: status, Code: code, Message: message}
}

// wrong is a refusal of what a request says.
func wrong(code, message string, args ...any) *client.Error {
	return refusal(http.StatusBadRequest, code, message, args...)
}

func failed(err *client.Error) *client.Failure { return &client.Failure{Error: err} }

// read reads the body of a request.
func read(r *http.Request, dst any) *client.Error {
	body, err := io.ReadAll(r.Body)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return refusal(http.StatusRequestEntityTooLarge, "too_large", "The body is over %d bytes.", over.Limit)
	case err != nil:
		return wrong("body", "The body has not come whole.")
	case !utf8.Valid(body):
		return wrong("body", "The body is not UTF-8.")
	}
	return decode(body, dst)
}

// decode decodes JSON that has nothing beside what dst has.
func decode(text []byte, dst any) *client.Error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(dst)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return wrong("body", "The body is no JSON, or not all of it.")
	}
	if of, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrong("body", "%s is no %s; it must be.", cmp.Or(strings.TrimPrefix(of.Field, "Publication."), "The body"), kindOf(of.Type))
	}
	if err != nil {
		return wrong("body", "The body is not what it should be: %s.", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return wrong("body", "The body goes on after its JSON.")
	}
	return nil
}

// kindOf is what JSON has for a type of ours.
func kindOf(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		return "whole number"
	case t.Kind() == reflect.String, t == reflect.TypeFor[[]byte]():
		return "text"
	case t.Kind() == reflect.Slice:
		return "list"
	}
	return "object"
}

// unsent is the refusal of a message that could not be sent.
func (s *Server) unsent(destination string, err error) *client.Error {
	const status = http.StatusServiceUnavailable
	switch {
	case errors.Is(err, stomp.ErrDestination):
		return s.unknown(destination)
	case errors.Is(err, session.ErrMemory):
		return refusal(status, client.CodeMemory, "The server holds as much for its clients as it may; publish again later.")
	case errors.Is(err, stomp.ErrQueueFull):
		return refusal(status, client.CodeQueueFull, "The queue %q is full, or one queue too many; publish again later.", destination)
	case errors.Is(err, history.ErrUnavailable):
		return refusal(status, "store", "The store of %q is not available; whether the message is kept is not known: publish it again later, with an id.", destination)
	case errors.Is(err, history.ErrBusy), errors.Is(err, history.ErrFull):
		return refusal(status, "store", "The store of %q takes no more at the moment; publish again later.", destination)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return refusal(status, "timeout", "The server was not ready to publish in time; publish again later.")
	}
	s.log.Error("admin: publishing failed", "error", err)
	return refusal(status, "unavailable", "Broker not available; publish again later.")
}

func (s *Server) unknown(destination string) *client.Error {
	if s.options.Broker == nil {
		return wrong(client.CodeDestination, "%q is no path of a broadcast, and no endpoint speaks STOMP.", destination)
	}
	return wrong(client.CodeDestination, "%q begins with no prefix of stomp.topics or stomp.queues, is no user's, and no path of a broadcast.", destination)
}
