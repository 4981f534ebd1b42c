package auth_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
	"switchback/session/auth"
	"switchback/transport"
)

const secret = "0123456789abcdef0123456789abcdef"

// A site is an echo for those who have access.
type site struct {
	*testing.T
	url      string
	endpoint *transport.Endpoint
	tickets  *auth.Tickets
	signer   *auth.Signer
	log      *buffer
	opener   session.Opener
}

// serve serves an echo, with a verifier and tickets, to the end of the test, whose log must
// have nothing of what is secret.
func serve(t *testing.T, a auth.Access) *site {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadSecret(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, log: new(buffer)}
	if a.Verifier, err = auth.NewVerifier(keys, auth.Options{}); err != nil {
		t.Fatal(err)
	}
	if s.signer, err = auth.ReadSecretSigner(name); err != nil {
		t.Fatal(err)
	}
	if s.tickets, err = auth.NewTickets(auth.TicketOptions{}); err != nil {
		t.Fatal(err)
	}
	a.Tickets = s.tickets
	s.opener = auth.Opener(session.Shared(handler.Echo{}), a)
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if s.endpoint, err = transport.NewEndpoint("/echo", s.opener, transport.Options{Logger: log}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.endpoint)
	s.url = server.URL + "/echo"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.endpoint.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		server.Close()
		s.log.check(t)
		if s.log.text.Len() == 0 && len(s.log.secrets) > 0 {
			t.Error("nothing is logged")
		}
	})
	return s
}

// A buffer is a log, and what must not be in it.
type buffer struct {
	mu      sync.Mutex
	text    strings.Builder
	secrets []string
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// check looks for secrets in the log, and for the last part of each, which is its
// signature.
func (b *buffer) check(t *testing.T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, secret := range b.secrets {
		if strings.Contains(b.text.String(), secret[len(secret)-20:]) {
			t.Errorf("the log has a token or a ticket:\n%s", b.text.String())
			return
		}
	}
}

// token is one of a user that expires after a time.
func (s *site) token(user any, expires time.Duration) string {
	s.Helper()
	text, err := s.signer.Sign(map[string]any{"sub": user, "exp": time.Now().Add(expires).Unix()})
	if err != nil {
		s.Fatal(err)
	}
	s.log.secrets = append(s.log.secrets, text)
	return text
}

func (s *site) ticket(user string) string {
	s.Helper()
	text, _, err := s.tickets.Issue(&session.Identity{User: user})
	if err != nil {
		s.Fatal(err)
	}
	s.log.secrets = append(s.log.secrets, text)
	return text
}

// ask makes a request; headers are "Name: value".
func (s *site) ask(method, path, body string, headers ...string) (int, string, http.Header) {
	s.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

func (s *site) want(method, path, body string, status int, answer string, headers ...string) {
	s.Helper()
	if got, text, _ := s.ask(method, path, body, headers...); got != status || text != answer {
		s.Errorf("%s %s: got %d %q, want %d %q", method, path, got, text, status, answer)
	}
}

// dial opens a WebSocket, or returns the status of its refusal.
func (s *site) dial(path string, headers ...string) (*websocket.Conn, int) {
	s.Helper()
	h := http.Header{}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	c, res, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+path, h)
	if err != nil {
		if res == nil {
			s.Fatal(err)
		}
		return nil, res.StatusCode
	}
	s.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c, 101
}

// A token may be in each of the places that are named, and nowhere else.
func TestWhereATokenComesFrom(t *testing.T) {
	named := auth.Access{Header: "X-Auth-Token", Query: "access_token", Cookie: "token"}
	s, bare := serve(t, named), serve(t, auth.Access{})
	n := 0
	for _, c := range []struct {
		query   string
		headers []string
		named   int // the status where the places are named
		bare    int // and where they are not
	}{
		{"", []string{"Authorization: Bearer TOKEN"}, 200, 200},
		{"", []string{"Authorization: bearer   TOKEN "}, 200, 200},
		{"", []string{"Authorization: TOKEN"}, 401, 401},
		{"", []string{"Authorization: Basic TOKEN"}, 401, 401},
		{"", []string{"X-Auth-Token: TOKEN"}, 200, 401},
		{"", []string{"X-Auth-Token: Bearer TOKEN"}, 200, 401},
		{"?access_token=TOKEN", nil, 200, 401},
		{"?t=1&access_token=TOKEN", nil, 200, 401},
		{"?token=TOKEN", nil, 401, 401},
		{"", []string{"Cookie: a=b; token=TOKEN"}, 200, 401},
		{"", []string{"Cookie: other=TOKEN"}, 401, 401},
		{"", nil, 401, 401},
		{"", []string{"Authorization: Basic a2ltOg==", "Cookie: token=TOKEN"}, 200, 401}, // a proxy's
		{"", []string{"Authorization: Bearer wrong", "Cookie: token=TOKEN"}, 401, 401},   // the first counts
		{"?access_token=TOKEN", []string{"Cookie: token=wrong"}, 200, 401},
		{"?ticket=wrong", []string{"Authorization: Bearer TOKEN"}, 401, 401},
	} {
		for _, at := range []struct {
			*site
			want int
		}{{s, c.named}, {bare, c.bare}} {
			token := at.token("kim", time.Hour)
			headers := make([]string, len(c.headers))
			for i, h := range c.headers {
				headers[i] = strings.ReplaceAll(h, "TOKEN", token)
			}
			n++
			query := strings.ReplaceAll(c.query, "TOKEN", token)
			status, text, h := at.ask("POST", fmt.Sprintf("/0/k%d/xhr%s", n, query), "", headers...)
			if status != at.want || status == 200 && text != "o\n" || (h.Get("WWW-Authenticate") == "Bearer") != (status == 401) {
				at.Errorf("%s %q: got %d %q %v, want %d", c.query, c.headers, status, text, h, at.want)
			}
			if strings.Contains(text, token) {
				at.Errorf("the answer quotes the token: %s", text)
			}
			c, status := at.dial("/websocket"+query, headers...)
			if want := map[int]int{200: 101, 401: 401}[at.want]; status != want {
				at.Errorf("WebSocket: got %d, want %d", status, want)
			}
			if c != nil {
				c.Close()
			}
		}
	}
}

func TestRefusalSaysWhatToBring(t *testing.T) {
	s := serve(t, auth.Access{Header: "X-Auth-Token", Query: "access_token", Cookie: "token"})
	s.want("POST", "/0/k/xhr", "", 401, "Who is asking? Bring a token in the header Authorization, after Bearer, or in the header X-Auth-Token, "+
		"or in the query parameter access_token, or in the cookie token, or a ticket in the query parameter ticket\n")
	s.want("POST", "/0/k/xhr", "", 401, "Token has expired\n", "Authorization: Bearer "+s.token("kim", -time.Hour))
}

// What is no session needs no token.
func TestPagesAndInfoNeedNoToken(t *testing.T) {
	s := serve(t, auth.Access{})
	for _, path := range []string{"", "/", "/info", "/info?ticket=x", "/iframe.html"} {
		if status, _, _ := s.ask("GET", path, "", "Referer: "+s.url); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestAccessMayBeOptional(t *testing.T) {
	s := serve(t, auth.Access{Optional: true})
	s.want("POST", "/0/a/xhr", "", 200, "o\n")
	s.want("POST", "/0/a/xhr_send", `["x"]`, 204, "")
	s.want("POST", "/0/a/xhr", "", 200, `a["x"]`+"\n")
	s.want("POST", "/0/b/xhr", "", 200, "o\n", "Authorization: Bearer "+s.token("kim", time.Hour))
	s.want("POST", "/0/c/xhr", "", 401, "Token is no JWT\n", "Authorization: Bearer x")
	s.want("POST", "/0/d/xhr?ticket=x", "", 401, "Ticket is not known, or has expired; get another\n")
}

// A session is its user's alone, by any token of theirs, whatever its age.
func TestAnotherUsersRequestsFindNoSession(t *testing.T) {
	s := serve(t, auth.Access{})
	kim := "Authorization: Bearer " + s.token("kim", time.Hour)
	s.want("POST", "/0/k/xhr", "", 200, "o\n", kim)
	for _, header := range []string{"Authorization: Bearer " + s.token("lee", time.Hour), "Authorization: Bearer x", "X: "} {
		s.want("POST", "/0/k/xhr", "", 404, "Not found.\n", header)
		s.want("POST", "/0/k/xhr_streaming", "", 404, "Not found.\n", header)
		s.want("POST", "/0/k/xhr_send", `["x"]`, 404, "Not found.\n", header)
		s.want("GET", "/0/k/eventsource", "", 404, "Not found.\n", header)
		s.want("GET", "/0/k/jsonp?c=f", "", 404, "Not found.\n", header, "Referer: "+s.url)
		s.want("POST", "/0/k/jsonp_send", `["x"]`, 404, "Not found.\n", header)
		if _, status := s.dial("/0/k/websocket", header); status != 404 {
			t.Errorf("WebSocket: %d", status)
		}
	}
	s.want("POST", "/0/k/xhr_send", `["x"]`, 204, "", "Authorization: Bearer "+s.token("kim", 2*time.Hour))
	s.want("POST", "/0/k/xhr_send", `["y"]`, 204, "", "Authorization: Bearer "+s.token("kim", -time.Hour))
	s.want("POST", "/0/k/xhr", "", 200, `a["x","y"]`+"\n", kim)
	s.want("POST", "/0/l/xhr", "", 401, "Token has expired\n", "Authorization: Bearer "+s.token("kim", -time.Hour))
}

// {"sub": 7} is the user "7", as {"sub": "7"} is.
func TestUserThatIsANumber(t *testing.T) {
	s := serve(t, auth.Access{})
	s.want("POST", "/0/k/xhr", "", 200, "o\n", "Authorization: Bearer "+s.token(7, time.Hour))
	s.want("POST", "/0/k/xhr_send", `["x"]`, 204, "", "Authorization: Bearer "+s.token("7", time.Hour))
	s.want("POST", "/0/k/xhr", "", 200, `a["x"]`+"\n", "Authorization: Bearer "+s.token(7, time.Hour))
	if all := s.endpoint.Sessions(); len(all) != 1 || all[0].Peer().User() != "7" {
		t.Errorf("%+v", all[0].Peer())
	}
}

// As sockjs-client does it behind a proxy that lets the handshake of a WebSocket and the
// first bytes of a stream through, and nothing else: each transport is tried with a
// session of its own, and with the same query.
func TestTicketFollowsSockJSClient(t *testing.T) {
	s := serve(t, auth.Access{})
	query := "?ticket=" + s.ticket("kim")
	for range 3 {
		if status, _, _ := s.ask("GET", "/info"+query+"&t=1", ""); status != 200 {
			t.Fatal(status)
		}
	}
	ws, status := s.dial("/693/ws/websocket" + query)
	if status != 101 {
		t.Fatal(status)
	}
	stream, err := http.Post(s.url+"/693/stream/xhr_streaming"+query, "text/plain", nil)
	if err != nil || stream.StatusCode != 200 {
		t.Fatal(stream, err)
	}
	defer stream.Body.Close()
	if _, text, err := ws.ReadMessage(); string(text) != "o" {
		t.Fatal(string(text), err)
	}
	if _, text, _ := ws.ReadMessage(); string(text) != `c[1008,"Ticket is used by another session"]` {
		t.Errorf("the WebSocket goes on: %s", text)
	}
	s.want("POST", "/693/poll/xhr"+query, "", 200, "o\n")
	if text, err := io.ReadAll(stream.Body); !strings.HasSuffix(string(text), `c[1008,"Ticket is used by another session"]`+"\n") {
		t.Errorf("the stream goes on: %s, %v", text, err)
	}
	s.want("POST", "/693/poll/xhr_send"+query, `["hello"]`, 204, "")
	s.want("POST", "/693/poll/xhr"+query, "", 200, `a["hello"]`+"\n")

	// Somebody has read the query in the log of a proxy.
	const used = "Ticket is used already; get another\n"
	s.want("POST", "/693/evil/xhr"+query, "", 403, used)
	if _, status := s.dial("/693/evil/websocket" + query); status != 403 {
		t.Errorf("WebSocket: %d", status)
	}
	s.want("POST", "/693/poll/xhr_send", `["x"]`, 404, "Not found.\n")
	s.want("POST", "/693/poll/xhr_send?ticket="+s.ticket("lee"), `["x"]`, 404, "Not found.\n")
	s.want("POST", "/693/poll/xhr_send"+query, `["still here"]`, 204, "")
	s.want("POST", "/693/poll/xhr"+query, "", 200, `a["still here"]`+"\n")
	if n := s.tickets.Stats().Replayed.Load(); n != 2 {
		t.Errorf("%d are counted", n)
	}
}

// Transports that pages load by an element have no headers at all.
func TestTicketOfTransportsWithoutHeaders(t *testing.T) {
	s := serve(t, auth.Access{})
	query := "?ticket=" + s.ticket("kim")
	self := "Referer: " + s.url
	s.want("GET", "/0/k/jsonp"+query+"&c=f", "", 200, "/**/f(\"o\");\r\n", self)
	s.want("POST", "/0/k/jsonp_send"+query, `["x"]`, 200, "ok")
	s.want("GET", "/0/k/jsonp"+query+"&c=f", "", 200, "/**/f(\"a[\\\"x\\\"]\");\r\n", self)
}

// An Opener is around any other: what that one can do stays.
func TestOpenerAroundOthers(t *testing.T) {
	if _, ok := auth.Opener(session.Shared(handler.Echo{}), auth.Access{}).(session.Subprotocoler); ok {
		t.Error("speaks sub-protocols that inner does not")
	}
	o := auth.Opener(inner{}, auth.Access{Optional: true})
	if p := o.(session.Subprotocoler).Subprotocols(); len(p) != 1 || p[0] != "inner" {
		t.Errorf("got %q", p)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Inner", "kim")
	if id, err := o.(session.Authenticator).Authenticate(r); err != nil || id.User != "kim" {
		t.Errorf("got %+v, %v", id, err)
	}
	if user, err := o.(session.Principaler).Principal(r); err != nil || user != "kim" {
		t.Errorf("got %q, %v", user, err)
	}
	r.Header.Del("Inner")
	if id, err := o.(session.Authenticator).Authenticate(r); err != nil || id != nil {
		t.Errorf("got %+v, %v", id, err)
	}
}

// An inner opener knows users by a header.
type inner struct{}

func (inner) Open(*http.Request) (session.Handler, error) { return handler.Echo{}, nil }
func (inner) Subprotocols() []string                      { return []string{"inner"} }

func (i inner) Authenticate(r *http.Request) (*session.Identity, error) {
	if user, _ := i.Principal(r); user != "" {
		return &session.Identity{User: user}, nil
	}
	return nil, nil
}

func (inner) Principal(r *http.Request) (string, error) { return r.Header.Get("Inner"), nil }
