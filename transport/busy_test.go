package transport

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
)

// A blocked is a handler that does not return from OnMessage until it is let.
type blocked struct {
	handler.Echo
	begun, let chan struct{}
	ends       chan *session.CloseError
}

func newBlocked() blocked {
	return blocked{begun: make(chan struct{}, 100), let: make(chan struct{}), ends: make(chan *session.CloseError, 10)}
}

func (h blocked) OnMessage(session.Session, []byte) error {
	h.begun <- struct{}{}
	<-h.let
	return nil
}

func (h blocked) OnClose(_ session.Session, err error) { h.ends <- err.(*session.CloseError) }

// A handler at work keeps the pongs from being read: its peer is not gone for
// that. When the peer is, the session ends all the same.
func TestBusyHandlerAndItsPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	h := newBlocked()
	s := serve(t, session.Shared(h), Options{HeartbeatDelay: 300 * time.Millisecond})
	conn := s.dial(t, "/0/0/websocket")
	read(t, conn, "o")
	conn.WriteMessage(websocket.TextMessage, []byte(`["x"]`))
	<-h.begun
	for range 5 {
		read(t, conn, "h")
	}
	conn.NetConn().Close()
	select {
	case <-h.ends:
		t.Error("OnClose overlaps OnMessage")
	case <-time.After(time.Second):
	}
	close(h.let)
	if end := <-h.ends; end.Code != 1006 {
		t.Errorf("got %v", end)
	}
}

// status sends a message and returns the answer's status, or 0.
func (s *site) status(path string) int {
	r, err := http.NewRequest("POST", s.url+path, strings.NewReader(`["0123456789"]`))
	if err != nil {
		return 0
	}
	a, _ := s.do(r)
	return a.status
}

func (s *site) pollTwice(id string) (text string) {
	for range 2 {
		r, err := http.NewRequest("POST", s.url+"/0/"+id+"/xhr", nil)
		if err != nil {
			return err.Error()
		}
		a, _ := s.do(r)
		text += a.body
	}
	return text
}

// A request that waits for a busy handler is refused where many do already.
func TestManyRequestsForABusyHandler(t *testing.T) {
	h := newBlocked()
	s := serve(t, session.Shared(h), Options{InboxLimit: 10})
	path := s.openPolling(t)
	statuses := make(chan int, 20)
	for range 20 {
		go func() { statuses <- s.status(path + "/xhr_send") }()
	}
	for range 10 {
		if status := <-statuses; status != 503 && status != 204 {
			t.Errorf("got %d", status)
		}
	}
	close(h.let)
	if s.Stats().Busy.Load() == 0 {
		t.Error("none was refused")
	}
	eventually(t, "all are answered", func() bool { return s.Stats().Memory.Load() == 0 })
}

// At the deadline of a shutdown, busy handlers or not, all clients are told.
func TestShutdownDoesNotWaitForHandlers(t *testing.T) {
	t.Parallel()
	h := newBlocked()
	e, err := NewEndpoint("/echo", session.Shared(h), Options{CloseTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	s.server.Config.Handler = e
	stream := func(id string) *bufio.Reader {
		res, err := s.client.Post(s.url+"/0/"+id+"/xhr_streaming", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return bufio.NewReader(res.Body)
	}
	id := newID()
	streamed, conn := stream(id), s.dial(t, "/websocket")
	conn.WriteMessage(websocket.TextMessage, []byte("x"))
	go s.status("/0/" + id + "/xhr_send")
	<-h.begun
	<-h.begun
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := e.Shutdown(ctx); err == nil {
		t.Error("got no error")
	}
	readClose(t, conn, 1001, "Server is going away")
	if rest, err := io.ReadAll(streamed); err != nil || !strings.HasSuffix(string(rest), `c[1001,"Server is going away"]`+"\n") {
		t.Errorf("stream: got %q, %v", rest, err)
	}
	close(h.let)
	<-h.ends
	<-h.ends
	e.Shutdown(t.Context())
}

// An opener that is asked while the server shuts down opens nothing that stays.
func TestShutdownFindsLateSessions(t *testing.T) {
	asked, let := make(chan struct{}), make(chan struct{})
	opener := session.OpenerFunc(func(*http.Request) (session.Handler, error) {
		close(asked)
		<-let
		return handler.Echo{}, nil
	})
	s := serve(t, opener, Options{})
	got := make(chan string)
	go func() { got <- s.pollTwice("late") }()
	<-asked
	down := make(chan error)
	go func() { down <- s.Shutdown(t.Context()) }()
	eventually(t, "it drains", func() bool { return s.ask(t, "GET", "/info", "").status == 503 })
	close(let)
	if text := <-got; text != "o\n"+`c[1001,"Server is going away"]`+"\n" {
		t.Errorf("got %q", text)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}
