package igm_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchback/session"
	"switchback/transport"
	"switchback/transport/igm"
)

func TestOptionsThatIgmHasNotAreRefused(t *testing.T) {
	for name, o := range map[string]transport.Options{
		"BatchLimit":             {BatchLimit: 1},
		"QueueLimit":             {QueueLimit: 1},
		"InboxLimit":             {InboxLimit: 1},
		"CloseTimeout":           {CloseTimeout: 1},
		"InboxTimeout":           {InboxTimeout: 1},
		"Opened":                 {Opened: func(session.Session) {}},
		"Closed":                 {Closed: func(session.Session, error) {}},
		"QueueLimit, InboxLimit": {QueueLimit: 1, InboxLimit: 1},
		"ResponseLimit":          {ResponseLimit: math.MaxInt},
		"SessionLimit":           {SessionLimit: -1},
		"DisabledTransports":     {DisabledTransports: []string{"xhr"}},
		"AllowedOrigins":         {AllowedOrigins: []string{"example.com"}},
	} {
		_, err := igm.NewEndpoint("/echo", session.Shared(newProbe()), o)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, prefix := range []string{"echo", "/echo/", "/"} {
		if _, err := igm.NewEndpoint(prefix, session.Shared(newProbe()), transport.Options{}); err == nil {
			t.Errorf("prefix %q is taken", prefix)
		}
	}
}

// A guard is an Opener that knows who may come in.
type guard struct{ session.Opener }

func (guard) Authenticate(*http.Request) (*session.Identity, error) {
	return nil, &session.RefusedError{Status: http.StatusUnauthorized}
}

// Where nobody would ask them, everybody would be let in.
func TestOpenersThatAskAreRefused(t *testing.T) {
	if _, err := igm.NewEndpoint("/echo", guard{session.Shared(newProbe())}, transport.Options{}); err == nil {
		t.Error("is taken")
	}
}

func TestOptionsThatIgmHasAreTaken(t *testing.T) {
	_, err := igm.NewEndpoint("/echo", session.Shared(newProbe()), transport.Options{
		ClientURL: "/client.js", HeartbeatDelay: 1, DisconnectDelay: 1, ResponseLimit: 1, DisabledTransports: []string{"websocket"},
		RawWebSocket: true, Hixie76: true, CookieNeeded: true, AllowedOrigins: []string{"*"}, TrustedProxies: []netip.Prefix{},
		Forwarded: "either", Hosts: []string{"localhost"}, MessageLimit: 1, BodyLimit: 1, SessionLimit: 1, AddressLimit: 1,
		BodyTimeout: 1, WriteTimeout: 1, HandshakeTimeout: 1, Logger: slog.Default(),
	})
	if err != nil {
		t.Error(err)
	}
}

func TestConformanceOptionsAreTaken(t *testing.T) {
	s := serve(t, session.Shared(newProbe()), transport.Options{
		ResponseLimit: 4096, RawWebSocket: true, Hixie76: true, CookieNeeded: true, HeartbeatDelay: -1,
	})
	c := s.dial("") // RawWebSocket
	c.write("one")
	c.expect("one")
	if status := s.status("GET", "", ""); status != 200 {
		t.Errorf("greeting: status %d", status)
	}
}

func TestRootEndpoint(t *testing.T) {
	e, err := igm.NewEndpoint("", session.Shared(newProbe()), transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, session.Shared(newProbe()), transport.Options{})
	s.Config.Handler = e
	if status := s.status("GET", "/../info", ""); status != 404 {
		t.Errorf("/echo/../info: status %d", status)
	}
	s.base = s.URL
	if status := s.status("GET", "/info", ""); status != 200 {
		t.Errorf("/info: status %d", status)
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	s := serve(t, session.Shared(newProbe()), transport.Options{})
	for _, path := range []string{"x", "/x", "/000/a.b/xhr", "/000//xhr", "/000/a/b/xhr", "/000/a/xhr/"} {
		if status := s.status("POST", path, ""); status != 404 {
			t.Errorf("%s: status %d", path, status)
		}
	}
	if status := s.status("GET", "/000/a/xhr", ""); status != 405 {
		t.Errorf("GET xhr: status %d", status)
	}
}

func TestDisabledTransportsAreNotFound(t *testing.T) {
	for transportName, request := range map[string]string{
		"websocket":     "GET /000/a/websocket",
		"xhr-streaming": "POST /000/a/xhr_streaming",
		"xhr-polling":   "POST /000/a/xhr",
		"eventsource":   "GET /000/a/eventsource",
		"htmlfile":      "GET /000/a/htmlfile?c=cb",
		"jsonp-polling": "GET /000/a/jsonp?c=cb",
	} {
		var opened atomic.Int32
		o := session.OpenerFunc(func(*http.Request) (session.Handler, error) {
			opened.Add(1)
			return newProbe(), nil
		})
		s := serve(t, o, transport.Options{DisabledTransports: []string{transportName}, AllowedOrigins: []string{"*"}})
		method, path, _ := strings.Cut(request, " ")
		if status := s.status(method, path, ""); status != 404 || opened.Load() != 0 {
			t.Errorf("%s: status %d, %d sessions", transportName, status, opened.Load())
		}
	}
}

func TestCookieOnSessionsOnly(t *testing.T) {
	s := serve(t, session.Shared(newProbe()), transport.Options{CookieNeeded: true})
	if got := s.request("POST", "/000/a/xhr", "", "").Header.Get("Set-Cookie"); got != "JSESSIONID=dummy; Path=/" {
		t.Errorf("xhr: %q", got)
	}
	info := s.request("GET", "/info", "", "")
	if got := info.Header.Get("Set-Cookie"); got != "" {
		t.Errorf("info: %q", got)
	}
	if body, _ := io.ReadAll(info.Body); !strings.Contains(string(body), `"cookie_needed":true`) {
		t.Errorf("info: %s", body)
	}
}

func TestOpenerRefuses(t *testing.T) {
	var err error
	o := session.OpenerFunc(func(*http.Request) (session.Handler, error) { return nil, err })
	s := serve(t, o, transport.Options{SessionLimit: 1})
	for _, c := range []struct {
		err    error
		status int
		reason string
	}{
		{&session.RefusedError{Status: 401, Reason: "Who are you?"}, 401, "Who are you?\n"},
		{errors.New("secret"), 500, "Internal error.\n"},
	} {
		err = c.err
		resp := s.request("POST", "/000/a/xhr", "", "")
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != c.status || string(body) != c.reason {
			t.Errorf("xhr: %d %q", resp.StatusCode, body)
		}
		if status := s.handshake("/000/a/websocket"); status != c.status {
			t.Errorf("websocket: status %d", status)
		}
	}
}

// soon is a heartbeat delay: a heartbeat ends the poll that igm has attached to
// a session which has just ended.
const soon = 20 * time.Millisecond

func TestOpenerIsAskedOnceForASession(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	p := newProbe()
	o := session.OpenerFunc(func(r *http.Request) (session.Handler, error) {
		if !strings.HasPrefix(r.URL.Path, "/echo/") {
			t.Errorf("asked with %s", r.URL)
		}
		asked.Add(1)
		return p, nil
	})
	s := serve(t, o, transport.Options{HeartbeatDelay: soon})
	s.poll("/000/a")
	for range 3 {
		s.sendXHR("/000/a", `["one"]`)
		s.poll("/000/a")
	}
	if n := asked.Load(); n != 1 {
		t.Fatalf("asked %d times", n)
	}
	p.end(t) // the client is gone
	eventually(t, "a new session", func() bool { return s.poll("/000/a") == "o" })
	if asked.Load() < 2 {
		t.Fatal("not asked about the new session")
	}
}

// The client may come back with its id while the handler of the session that
// it left is still busy: that is a new session.
func TestNewSessionWhileTheOldHandlerIsBusy(t *testing.T) {
	p := newProbe()
	busy, release := make(chan struct{}), make(chan struct{})
	p.act["wait"] = func(session.Session) error {
		close(busy)
		<-release
		return nil
	}
	s := serve(t, session.Shared(p), transport.Options{HeartbeatDelay: soon})
	first := s.stream("/000/a")
	first.expect("o")
	s.sendXHR("/000/a", `["wait"]`) // until the handler has it
	<-busy
	first.body.Close()
	eventually(t, "the first session ends", func() bool { return p.last().Context().Err() != nil })
	eventually(t, "a new session", func() bool { return s.poll("/000/a") == "o" })
	close(release)
	p.end(t)
}

type speaks []string

func (s speaks) Open(*http.Request) (session.Handler, error) { return newProbe(), nil }
func (s speaks) Subprotocols() []string                      { return s }

func TestClientsFirstSubprotocolIsChosen(t *testing.T) {
	s := serve(t, speaks{"v11.stomp", "v12.stomp"}, transport.Options{})
	if got := s.dial("/websocket", "v13.stomp", "v12.stomp", "v11.stomp").Subprotocol(); got != "v12.stomp" {
		t.Errorf("native: %q", got)
	}
	if got := s.dial("/000/a/websocket", "v12.stomp").Subprotocol(); got != "" {
		t.Errorf("SockJS: %q", got)
	}
}

func TestForeignOriginsAreRefused(t *testing.T) {
	s := serve(t, session.Shared(newProbe()), transport.Options{AllowedOrigins: []string{"https://example.com"}})
	for _, request := range []string{
		"GET /info", "OPTIONS /info", "GET /iframe.html", "POST /000/a/xhr", "OPTIONS /000/a/xhr", "POST /000/a/xhr_send",
		"POST /000/b/xhr_streaming", "GET /000/c/eventsource", "GET /000/d/htmlfile?c=a", "GET /000/e/jsonp?c=a",
		"GET /000/f/websocket", "GET /websocket",
	} {
		method, path, _ := strings.Cut(request, " ")
		if resp := s.request(method, path, "https://example.org", ""); resp.StatusCode != 403 {
			t.Errorf("%s: status %d", request, resp.StatusCode)
		}
	}
	resp := s.request("GET", "/info", "https://example.com", "")
	if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != "https://example.com" || resp.Header.Get("Vary") != "Origin" {
		t.Errorf("allowed: %d %v", resp.StatusCode, resp.Header)
	}
}

// DNS rebinding: a name of somebody else stands for a loopback address of ours.
func TestForeignNamesOfALoopbackAddressAreRefused(t *testing.T) {
	for _, c := range []struct {
		hosts  []string
		host   string
		status int
	}{{nil, "evil.example:%s", 403}, {nil, "localhost:%s", 200}, {nil, "front.example", 200}, {[]string{"chat.test"}, "chat.test:%s", 200}, {[]string{"chat.test"}, "localhost:%s", 403}} {
		s := serve(t, session.Shared(newProbe()), transport.Options{Hosts: c.hosts})
		_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
		r, _ := http.NewRequestWithContext(t.Context(), "GET", s.base+"/info", nil)
		r.Host = strings.Replace(c.host, "%s", port, 1)
		r.Header.Set("Origin", "http://"+r.Host)
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s, hosts %v: got %d, want %d", r.Host, c.hosts, resp.StatusCode, c.status)
		}
	}
}

func TestOrigins(t *testing.T) {
	for _, c := range []struct {
		allowed, origin string
		ok              bool
	}{
		{"", "", true},
		{"", "own", true},
		{"", "https://example.com", false},
		{"", "null", false},
		{"null", "null", true},
		{"*", "null", true},
		{"*", "https://example.com", true},
		{"https://example.com", "https://EXAMPLE.com", true},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://example.com:8080", false},
		{"https://example.com", "https://example.com.evil.org", false},
		{"https://example.com", "https://exampleXcom", false},
		{"https://*.example.com", "https://a.b.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://evil.org/.example.com", false},
		{"https://*.example.com:[8080,8081]", "https://a.example.com:8081", true},
		{"https://*.example.com:[8080,8081]", "https://a.example.com:8082", false},
		{"https://*.example.com:[8080,8081]", "https://a.example.com", false},
		{"http://[::1]:8080", "http://[::1]:8080", true},
	} {
		var allowed []string
		if c.allowed != "" {
			allowed = []string{c.allowed}
		}
		s := serve(t, session.Shared(newProbe()), transport.Options{AllowedOrigins: allowed})
		origin := c.origin
		if origin == "own" {
			origin = s.URL
		}
		if resp := s.request("GET", "/info", origin, ""); (resp.StatusCode == 200) != c.ok {
			t.Errorf("%q allows %q: status %d", c.allowed, c.origin, resp.StatusCode)
		}
	}
}

type drainer struct{ *probe }

func (drainer) OnDrain(s session.Session) { s.Send([]byte("bye")) }

func TestShutdownClosesEverySession(t *testing.T) {
	p := newProbe()
	s := serve(t, session.Shared(drainer{p}), transport.Options{})
	raw, ws, stream := s.dial("/websocket"), s.dial("/000/a/websocket"), s.stream("/000/b")
	ws.expect("o")
	stream.expect("o")
	if frame := s.poll("/000/c"); frame != "o" {
		t.Fatalf("got %q, want o", frame)
	}
	eventually(t, "all are open", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.sessions) == 4
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.endpoint.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	const frame = `c[1001,"Server is going away"]`
	raw.expect("bye")
	raw.expectClose(session.CodeGoingAway, "Server is going away")
	ws.expect(`a["bye"]`, frame)
	stream.expect(`a["bye"]`, frame)
	stream.expectEnd()
	if got := s.poll("/000/c"); got != frame {
		t.Errorf("next poll: %q", got)
	}
	for range 4 {
		if end := p.end(t); end.Code != session.CodeGoingAway {
			t.Errorf("OnClose got %v", end)
		}
	}
	if status := s.status("POST", "/000/d/xhr", ""); status != 503 {
		t.Errorf("a new session: status %d", status)
	}
}

func TestShutdownWaitsForHandlers(t *testing.T) {
	p := newProbe()
	busy, release := make(chan struct{}), make(chan struct{})
	p.act["wait"] = func(session.Session) error {
		close(busy)
		<-release
		return nil
	}
	s := serve(t, session.Shared(p), transport.Options{})
	c := s.dial("/websocket")
	c.write("wait")
	<-busy
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.endpoint.Shutdown(ctx) }()
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	cancel()
	if err := <-done; err != context.Canceled {
		t.Fatalf("Shutdown returned %v", err)
	}
	c.expectClose(session.CodeGoingAway, "Server is going away") // busy or not
	close(release)
	if end := p.end(t); end.Code != session.CodeGoingAway {
		t.Errorf("OnClose got %v", end)
	}
}

// An admitter is an Opener that has the last word.
type admitter struct{ session.Opener }

func (admitter) Admit(*http.Request, *session.Local) error { return nil }
func (admitter) Forget(*session.Local)                     {}

// igm would let in everybody.
func TestAdmittersAreRefused(t *testing.T) {
	if _, err := igm.NewEndpoint("/echo", admitter{session.Shared(newProbe())}, transport.Options{}); err == nil {
		t.Error("an Admitter is taken")
	}
}
