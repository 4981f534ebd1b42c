package igm_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"switchback/session"
	"switchback/transport"
	"switchback/transport/igm"
)

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "16") // the tests that are parallel wait for most of their time
	goleak.VerifyTestMain(afterDelay{m})
}

// afterDelay ends the tests when no session of igm's can have a goroutine any
// more: each has one until its disconnect delay has passed.
type afterDelay struct{ *testing.M }

func (m afterDelay) Run() int {
	code := m.M.Run()
	time.Sleep(disconnectDelay)
	return code
}

// disconnectDelay is that of all endpoints: long enough for a busy machine to
// poll again.
const disconnectDelay = 3 * time.Second

// patience only tells that something hangs: a machine that has much else to do takes its time.
const patience = 2 * time.Minute

// A server is an endpoint at /echo on a server of its own.
type server struct {
	*httptest.Server
	endpoint *igm.Endpoint
	base     string // URL of the endpoint
	t        *testing.T
}

func serve(t *testing.T, o session.Opener, opts transport.Options) *server {
	t.Helper()
	opts.DisconnectDelay = disconnectDelay
	e, err := igm.NewEndpoint("/echo", o, opts)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(e)
	s := &server{h, e, h.URL + "/echo", t}
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.endpoint.Shutdown(ctx); err != nil {
		s.t.Errorf("Shutdown: %v", err)
	}
	s.Client().CloseIdleConnections()
	s.Close()
}

// request makes a request with an Origin header, where it is not empty.
func (s *server) request(method, path, origin, body string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (s *server) status(method, path, body string) int {
	s.t.Helper()
	return s.request(method, path, "", body).StatusCode
}

// handshake returns the status of a WebSocket handshake that has no key, and so
// cannot succeed.
func (s *server) handshake(path string) int {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", s.base+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}}
	resp, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// poll returns the frame of an xhr poll. It asks again where igm has not yet
// detached the receiver before.
func (s *server) poll(session string) string {
	s.t.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); {
		body, err := io.ReadAll(s.request("POST", session+"/xhr", "", "").Body)
		if err != nil {
			s.t.Fatal(err)
		}
		if frame := strings.TrimSuffix(string(body), "\n"); frame != attached {
			return frame
		}
	}
	s.t.Fatal("the receiver is never detached")
	return ""
}

const attached = `c[2010,"Another connection still open"]`

// stream opens an xhr stream and returns what comes after the prelude.
func (s *server) stream(session string) *lines {
	s.t.Helper()
	l := newLines(s.t, s.request("POST", session+"/xhr_streaming", "", ""))
	if prelude := l.next(); prelude != strings.Repeat("h", 2048) {
		s.t.Fatalf("prelude: %q", prelude)
	}
	return l
}

// get returns what a GET request is answered.
func (s *server) get(path string) *lines {
	s.t.Helper()
	return newLines(s.t, s.request("GET", path, "", ""))
}

// lines are those of a response, without empty ones.
type lines struct {
	t       *testing.T
	body    io.Closer
	scanner *bufio.Scanner
}

func newLines(t *testing.T, r *http.Response) *lines {
	return &lines{t, r.Body, bufio.NewScanner(r.Body)}
}

func (l *lines) next() string {
	l.t.Helper()
	for l.scanner.Scan() {
		if line := strings.TrimRight(l.scanner.Text(), " "); line != "" {
			return line
		}
	}
	l.t.Fatalf("the response ends: %v", l.scanner.Err())
	return ""
}

func (l *lines) expect(want ...string) {
	l.t.Helper()
	for _, want := range want {
		if got := l.next(); got != want {
			l.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func (l *lines) expectEnd() {
	l.t.Helper()
	if l.scanner.Scan() || l.scanner.Err() != nil {
		l.t.Fatalf("got %q, %v, want the end", l.scanner.Text(), l.scanner.Err())
	}
}

// A peer is the client's end of a WebSocket.
type peer struct {
	*websocket.Conn
	t *testing.T
}

func (s *server) dial(path string, subprotocols ...string) *peer {
	s.t.Helper()
	d := websocket.Dialer{HandshakeTimeout: patience, Subprotocols: subprotocols}
	c, _, err := d.DialContext(s.t.Context(), "ws"+strings.TrimPrefix(s.base, "http")+path, nil)
	if err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(patience))
	return &peer{c, s.t}
}

func (p *peer) write(text string) {
	p.t.Helper()
	if err := p.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) expect(want ...string) {
	p.t.Helper()
	for _, want := range want {
		_, got, err := p.ReadMessage()
		if err != nil || string(got) != want {
			p.t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

// expectClose expects a close frame with the code and reason.
func (p *peer) expectClose(code int, reason string) {
	p.t.Helper()
	_, got, err := p.ReadMessage()
	var end *websocket.CloseError
	if !errors.As(err, &end) || end.Code != code || end.Text != reason {
		p.t.Fatalf("got %q, %v, want close frame %d %q", got, err, code, reason)
	}
}

// A probe is a handler that keeps what happened to its sessions. Texts are
// answered as they are, but for those that act has something else for.
type probe struct {
	act map[string]func(s session.Session) error // "" is OnOpen

	mu       sync.Mutex
	sessions []session.Session
	ends     chan error
}

func newProbe() *probe {
	return &probe{act: make(map[string]func(session.Session) error), ends: make(chan error, 64)}
}

func (p *probe) OnOpen(s session.Session) error {
	p.mu.Lock()
	p.sessions = append(p.sessions, s)
	p.mu.Unlock()
	if act := p.act[""]; act != nil {
		return act(s)
	}
	return nil
}

func (p *probe) OnMessage(s session.Session, text []byte) error {
	if act := p.act[string(text)]; act != nil {
		return act(s)
	}
	return s.Send(bytes.Clone(text))
}

func (p *probe) OnClose(_ session.Session, err error) { p.ends <- err }

// last returns the session that opened last.
func (p *probe) last() session.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[len(p.sessions)-1]
}

// end waits for one OnClose and returns what it got.
func (p *probe) end(t *testing.T) *session.CloseError {
	t.Helper()
	select {
	case err := <-p.ends:
		var end *session.CloseError
		if !errors.As(err, &end) {
			t.Fatalf("OnClose got %v", err)
		}
		return end
	case <-time.After(patience):
		t.Fatal("OnClose is not called")
		return nil
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}
