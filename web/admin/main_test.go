package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"switchback/handler"
	"switchback/handler/chat"
	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/handler/rules"
	"switchback/handler/stomp"
	"switchback/session"
	"switchback/session/auth"
	"switchback/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-token-of-the-tests"

// A site is endpoints and their admin listener: /chat, which broadcasts, and /ws for STOMP,
// with topics at /topic, and queues of two messages at /work.
type site struct {
	*Server
	*testing.T
	url    string // of the admin listener
	public string // of the endpoints
	broker *stomp.Broker
	chat   *transport.Endpoint
	past   *history.Log // of topics at /kept
	client *http.Client
}

// open serves a site until the end of the test. change may change the options.
func open(t *testing.T, change func(o *Options)) *site {
	t.Helper()
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	kept, err := history.New(memory.New(memory.Options{}), hub, history.Options{
		Policies: []history.Policy{{Topics: "/kept/*"}, {Topics: "/topic/stored"}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	broker, err := stomp.New(stomp.Options{
		Hub: hub, History: kept, Topics: []string{"/topic"}, Queues: []string{"/work"}, QueueLimit: 2,
		Login:  stomp.Passwords(map[string]string{"ann": "a", "bob": "b", "a/b": "c"}),
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, broker: broker, past: kept}
	rooms, err := chat.New(chat.Options{Log: kept, Path: "/kept"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	endpoint := func(path string, o session.Opener) *transport.Endpoint {
		e, err := transport.NewEndpoint(path, o, transport.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		e.Register(mux)
		return e
	}
	everything, err := rules.New([]rules.Rule{{Allow: true}}, rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	guard := everything.Guard("/chat", session.Shared(handler.Broadcast{Hub: hub, Topic: "/chat"}))
	s.chat = endpoint("/chat", guard.Opener())
	ws := endpoint("/ws", broker)
	tickets, err := auth.NewTickets(auth.TicketOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Tickets: tickets, Verifier: verifier(t),
		Token: token, Hub: hub, Topics: []string{"/chat"}, Broker: broker, History: kept, Guards: map[string]*rules.Guard{"/chat": guard}, Chats: map[string]*chat.Chat{"/kept": rooms},
		Endpoints: map[string]*transport.Endpoint{"/chat": s.chat, "/ws": ws},
		Logger:    slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	if s.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	ln, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	public := httptest.NewServer(mux)
	s.url, s.public = "http://"+ln.Addr().String(), public.URL
	pool := new(http.Transport)
	s.client = &http.Client{Transport: pool}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(s.chat.Shutdown(ctx), ws.Shutdown(ctx)); err != nil {
			t.Error(err)
		}
		public.Close()
		broker.Close()
		if s.past != nil {
			s.past.Close()
		}
		hub.Close()
		pool.CloseIdleConnections()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return s
}

// keep publishes on a topic that is kept.
func (s *site) keep(topic string, p *handler.Publication) {
	s.Helper()
	if _, _, err := s.past.Publish(s.Context(), topic, p, topic); err != nil {
		s.Fatal(err)
	}
}

// ask makes a request with the token, and returns the status and the body.
func (s *site) ask(method, path, body string) (int, string) {
	s.Helper()
	return s.askAs("Bearer "+token, method, path, body)
}

func (s *site) askAs(authorization, method, path, body string) (int, string) {
	s.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// A sock is the other end of a native WebSocket.
type sock struct {
	t    *testing.T
	conn *websocket.Conn
}

// dial opens a native WebSocket.
func (s *site) dial(path string) *sock {
	s.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.public, "http")+path+"/websocket", nil)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	return &sock{s.T, conn}
}

// stomp connects a user, who subscribes to destinations, each with its index as the id.
func (s *site) stomp(user, passcode string, destinations ...string) *sock {
	s.Helper()
	k := s.dial("/ws")
	k.send("CONNECT\naccept-version:1.2\nlogin:" + user + "\npasscode:" + passcode + "\n\n\x00")
	if got := k.next(); !strings.HasPrefix(got, "CONNECTED") {
		s.Fatalf("got %q", got)
	}
	for i, d := range destinations {
		k.send("SUBSCRIBE\nid:" + string(rune('0'+i)) + "\nreceipt:r\ndestination:" + d + "\n\n\x00")
		if got := k.next(); !strings.HasPrefix(got, "RECEIPT") {
			s.Fatalf("got %q", got)
		}
	}
	return k
}

func (k *sock) send(text string) {
	k.t.Helper()
	if err := k.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		k.t.Fatal(err)
	}
}

// next is the next message, or how the session was closed.
func (k *sock) next() string {
	k.t.Helper()
	k.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, text, err := k.conn.ReadMessage()
	var end *websocket.CloseError
	if errors.As(err, &end) {
		return end.Error()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return string(text)
}

func (k *sock) want(texts ...string) {
	k.t.Helper()
	for _, want := range texts {
		if got := k.next(); got != want {
			k.t.Errorf("got %q, want %q", got, want)
		}
	}
}

// verifier accepts tokens of a secret.
func verifier(t *testing.T) *auth.Verifier {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(strings.Repeat("secret", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	v, err := auth.NewVerifier(keys, auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
