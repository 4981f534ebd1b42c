package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchback/handler"
	"switchback/handler/stomp"
	"switchback/session/memory"
	"switchback/web/admin"
	"switchback/web/admin/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve is an admin listener of a broker without clients, and a client of it. What the
// listener is sent is noted.
func serve(t *testing.T) (*client.Client, *string) {
	t.Helper()
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	broker, err := stomp.New(stomp.Options{Hub: hub, Queues: []string{"/work"}, QueueLimit: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := admin.New(admin.Options{Token: "x", Hub: hub, Broker: broker, Topics: []string{"/chat"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	said := new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*said = strings.TrimSpace(r.URL.Path + " " + string(body))
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.Close()
		broker.Close()
		hub.Close()
	})
	return client.New(server.URL+"/", "x", server.Client()), said
}

// Payloads are what they are to a Broker.
func TestSend(t *testing.T) {
	c, said := serve(t)
	for _, test := range []struct {
		payload any
		want    string
	}{
		{"hi", `"text":"hi"`},
		{nil, `"text":""`},
		{5, `"payload":5`},
		{[]string(nil), `"payload":[]`},
		{map[string]int(nil), `"payload":{}`},
		{json.RawMessage(`{"a":"<&>"}`), `"payload":{"a":"<&>"}`},
		{[]byte{0, 255}, `"base64":"AP8="`},
		{[]byte{}, `"base64":""`},
		{stomp.Message{Headers: stomp.Headers{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}, Payload: "x"}, `"text":"x","headers":{"a":"1"}`},
		{&stomp.Message{Payload: 1}, `"payload":1`},
		{(*stomp.Message)(nil), `"text":""`},
	} {
		if err := c.Send(t.Context(), "/topic/a", test.payload); err != nil {
			t.Errorf("%v: %v", test.payload, err)
		}
		if want := `/api/publish {"destination":"/topic/a",` + test.want + `}`; *said != want {
			t.Errorf("%v: got %s, want %s", test.payload, *said, want)
		}
	}
	if err := c.SendToUser(t.Context(), "ann", "/queue/a", 1); err != nil || *said != `/api/publish-user {"user":"ann","destination":"/queue/a","payload":1}` {
		t.Errorf("%v, %s", err, *said)
	}
	if err := c.Send(t.Context(), "/chat", "to a broadcast"); err != nil {
		t.Error(err)
	}
	if err := c.Send(t.Context(), "/topic/a", func() {}); err == nil {
		t.Error("a function is sent")
	}
}

// Errors are those of a Broker, where it has a name for them.
func TestErrors(t *testing.T) {
	c, _ := serve(t)
	c.Send(t.Context(), "/work/a", 1)
	err := c.Send(t.Context(), "/work/a", 2)
	if !errors.Is(err, stomp.ErrQueueFull) || errors.Is(err, stomp.ErrMemory) {
		t.Errorf("got %v", err)
	}
	if err := c.Send(t.Context(), "/nowhere", 1); !errors.Is(err, stomp.ErrDestination) {
		t.Errorf("got %v", err)
	}
	before := memory.SetLimit(1)
	err = c.Send(t.Context(), "/topic/a", 1)
	memory.SetLimit(before)
	var told *client.Error
	if !errors.Is(err, stomp.ErrMemory) || !errors.As(err, &told) || told.Status != 503 || told.Code != client.CodeMemory {
		t.Errorf("got %v", err)
	}
	if _, err := c.Disconnect(t.Context(), client.Disconnection{}); !errors.As(err, &told) || told.Status != 400 {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Send(ctx, "/topic/a", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSessions(t *testing.T) {
	c, _ := serve(t)
	page, err := c.Sessions(t.Context(), client.Filter{User: "a&b"}, 7, "x")
	if err != nil || len(page.Sessions) != 0 || page.Next != "" {
		t.Errorf("%+v, %v", page, err)
	}
	if n, err := c.Disconnect(t.Context(), client.Disconnection{User: "ann"}); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// What is no admin listener is told as such, and its answer is read up to a limit.
func TestOtherServers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := client.New(server.URL, "", server.Client()).Send(ctx, "/topic/a", 1)
	if err == nil || err.Error() != server.URL+" answers 502 Bad Gateway, and not as an admin listener does." {
		t.Errorf("got %v", err)
	}
}

func ExampleClient() {
	var to stomp.Messenger = client.New("http://127.0.0.1:8082", "the token", &http.Client{Timeout: 10 * time.Second})
	_ = to // to.Send(ctx, "/topic/alarm", map[string]int{"level": 3})
}
