package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"switchback/handler/engine/enginetest"
	"switchback/session"
	"switchback/session/auth"
)

// A guarded is a server with a secret, whose log must have no token.
type guarded struct {
	*process
	secret string // the file
	tokens []string
}

// guard starts a server. The secret is beside the configuration, as "secret".
func guard(t *testing.T, config string) *guarded {
	t.Helper()
	dir := t.TempDir()
	g := &guarded{secret: filepath.Join(dir, "secret")}
	file := filepath.Join(dir, "conf.yaml")
	for name, text := range map[string]string{g.secret: strings.Repeat("0123456789abcdef", 2) + "\n", file: config} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // after the process has ended
		for _, token := range g.tokens {
			if strings.Contains(g.stderr.String(), token[len(token)-20:]) {
				t.Errorf("the log has a token:\n%s", g.stderr.String())
			}
		}
	})
	g.process = start(t, "serve", "--addr", "127.0.0.1:0", "--log-level", "debug", "--config", file)
	return g
}

// token has the command make one.
func (g *guarded) token(args ...string) string {
	g.t.Helper()
	status, stdout, stderr := finish(g.t, append([]string{"token", "make", "--secret-file", g.secret}, args...)...)
	if status != 0 {
		g.t.Fatal(stderr)
	}
	token := strings.TrimSpace(stdout)
	g.tokens = append(g.tokens, token)
	return token
}

// ask makes a request, and returns the status and the body; headers are "Name: value".
func (g *guarded) ask(method, path, body string, headers ...string) string {
	g.t.Helper()
	r, err := http.NewRequest(method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for _, h := range headers {
		if name, value, ok := strings.Cut(h, ": "); ok {
			r.Header.Set(name, value)
		}
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, text)
}

func (g *guarded) want(want, method, path, body string, headers ...string) {
	g.t.Helper()
	if got := g.ask(method, path, body, headers...); !strings.HasPrefix(got, want) {
		g.t.Errorf("%s %s %q: got %q, want %q", method, path, headers, got, want)
	}
}

const guardedEcho = `auth:
  jwt:
    secret_file: secret
    issuer: https://id.example.com
    audience: chat
    header: X-Token
    cookie: token
    query: access_token
endpoints:
  - {path: /echo, handler: echo}
  - {path: /some, handler: echo, auth: optional}
  - {path: /all, handler: echo, auth: "off"}
`

func TestEndpointsAskWhoOpensSessions(t *testing.T) {
	t.Parallel()
	g := guard(t, guardedEcho)
	good := g.token("--user", "kim", "--claim", "iss=https://id.example.com", "--claim", `aud=["chat","mail"]`)
	other := g.token("--user", "kim", "--claim", "iss=https://id.example.com", "--claim", "aud=mail")
	for i, c := range []struct {
		query, header           string
		required, optional, off string
	}{
		{"", "", "401 Who is asking?", "200 o", "200 o"},
		{"", "Authorization: Bearer " + good, "200 o", "200 o", "200 o"},
		{"", "X-Token: " + good, "200 o", "200 o", "200 o"},
		{"", "Cookie: token=" + good, "200 o", "200 o", "200 o"},
		{"?access_token=" + good, "", "200 o", "200 o", "200 o"},
		{"?token=" + good, "", "401 Who is asking?", "200 o", "200 o"},
		{"?access_token=" + other, "", "401 Token is for another audience", "401 Token is for", "200 o"},
		{"", "Authorization: Bearer " + other, "401 Token is for another audience", "401 Token is for", "200 o"},
		{"?ticket=x", "", "401 Ticket is not known", "401 Ticket is not known", "200 o"},
	} {
		for path, want := range map[string]string{"echo": c.required, "some": c.optional, "all": c.off} {
			g.want(want, "POST", fmt.Sprintf("%s/0/%d/xhr%s", path, i, c.query), "", c.header)
		}
	}
	g.want("204", "POST", "echo/0/1/xhr_send", `["x"]`, "Authorization: Bearer "+good)
	g.want("404", "POST", "echo/0/1/xhr_send", `["x"]`)
	g.want("404", "POST", "echo/0/1/xhr_send", `["x"]`, "Authorization: Bearer "+g.token("--user", "lee", "--claim", "iss=https://id.example.com", "--claim", "aud=chat"))
	g.want("200", "GET", "echo/info", "")
	g.logs("session refused")
}

// Whatever is wrong with a token or a ticket, and wherever it is brought, at no level is it
// in the log, and in no answer.
func TestNoTokenIsLoggedOrAnswered(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			admin := enginetest.FreeAddress(t)
			g := guard(t, strings.Replace(guardedEcho, "endpoints:", "    token_limit: 1KiB\nlog_format: "+format+"\nadmin: {addr: '"+admin+"', token_file: secret}\nendpoints:\n  - {path: /ws, handler: stomp, auth: optional}", 1))
			sign := func(args ...string) string {
				return g.token(append([]string{"--claim", "iss=https://id.example.com"}, args...)...)
			}
			ask := func(path, body, token string) string {
				t.Helper()
				r, err := http.NewRequest(http.MethodPost, "http://"+admin+"/api/"+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+token)
				res, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				defer http.DefaultClient.CloseIdleConnections()
				defer res.Body.Close()
				text, _ := io.ReadAll(res.Body)
				return fmt.Sprint(res.StatusCode, " ", string(text))
			}
			key, err := os.ReadFile(g.secret)
			if err != nil {
				t.Fatal(err)
			}
			adminToken := strings.TrimSpace(string(key))
			g.tokens = append(g.tokens, adminToken, adminToken+"-and-more-of-another")
			good := sign("--user", "kim", "--claim", "aud=chat")
			bad := map[string]string{
				"Token has expired":               sign("--user", "kim", "--claim", "aud=chat", "--claim", "exp=1"),
				"Token is not valid yet":          sign("--user", "kim", "--claim", "aud=chat", "--claim", "nbf=99999999999"),
				"Token is for another audience":   sign("--user", "kim", "--claim", "aud=mail"),
				"Token is too large":              sign("--user", "kim", "--claim", "aud=chat", "--claim", "x="+strings.Repeat("x", 1000)),
				"Token is no JWT":                 "a-token-of-another-kind-that-is-no-jwt",
				"Token names no user":             sign("--claim", "aud=chat"),
				"Token is not signed with a key ": good[:len(good)-3],
			}
			for reason, token := range bad {
				g.tokens = append(g.tokens, token)
				for i, c := range []struct{ query, header string }{
					{"", "Authorization: Bearer " + token}, {"", "X-Token: " + token}, {"", "Cookie: token=" + token}, {"?access_token=" + token, ""},
				} {
					for _, path := range []string{"echo/0/%d/xhr", "some/0/%d/eventsource", "ws/0/%d/xhr_streaming"} {
						method := http.MethodPost
						if strings.HasSuffix(path, "eventsource") {
							method = http.MethodGet
						}
						got := g.ask(method, fmt.Sprintf(path, i)+c.query, "", c.header)
						if !strings.HasPrefix(got, "401 "+reason) || strings.Contains(got, token[len(token)-20:]) {
							t.Errorf("%s %s: %s", reason, path, got)
						}
					}
				}
				for _, header := range []string{"Authorization:Bearer " + token, "X-Token:" + token, "passcode:" + token} {
					ws := dial(t, g.url+"ws/websocket")
					send(t, ws, "CONNECT\naccept-version:1.2\n"+header+"\n\n\x00")
					isPassword := reason == "Token is no JWT" && strings.HasPrefix(header, "passcode:") // which nobody may have, too
					if got := next(t, ws); !isPassword && !strings.HasPrefix(got, "ERROR\n") || strings.Contains(got, token[len(token)-20:]) {
						t.Errorf("%s in CONNECT: %s", reason, got)
					}
					ws.Close()
				}
				if got := ask("tickets", `{"token":"`+token+`"}`, adminToken); strings.HasPrefix(got, "200") || strings.Contains(got, token[len(token)-20:]) {
					t.Errorf("%s for a ticket: %s", reason, got)
				}
			}
			if got := ask("tickets", `{"user":"kim"}`, adminToken+"-and-more-of-another"); !strings.HasPrefix(got, "401 ") {
				t.Error(got)
			}
			var ticket struct{ Query string }
			if err := json.Unmarshal([]byte(strings.TrimPrefix(ask("tickets", `{"token":"`+good+`"}`, adminToken), "200 ")), &ticket); err != nil || len(ticket.Query) < 20 {
				t.Fatal(ticket, err)
			}
			g.tokens = append(g.tokens, ticket.Query)
			g.want("200 o", "POST", "echo/0/mine/xhr?"+ticket.Query, "")
			g.want("204 ", "POST", "echo/0/mine/xhr_send?"+ticket.Query, `["x"]`)
			g.want("403 Ticket is used already", "POST", "echo/0/another/xhr?"+ticket.Query, "")
			g.want("404 ", "POST", "echo/0/mine/xhr_send?"+ticket.Query[:len(ticket.Query)-1], `["x"]`)
			g.logs("Ticket is used already") // so that the log has the refused
		})
	}
}

// required: false is what endpoints ask that do not say.
func TestAuthMayBeOptional(t *testing.T) {
	g := guard(t, "auth: {required: false, jwt: {secret_file: secret}}\nendpoints: [{path: /a, handler: echo}, {path: /b, handler: echo, auth: required}]")
	g.want("200", "POST", "a/0/0/xhr", "")
	g.want("401", "POST", "b/0/0/xhr", "")
}

const guardedStomp = `auth:
  jwt: {secret_file: secret, header: X-Token, query: access_token}
stomp:
  topics: [/topic]
endpoints:
  - {path: /ws, handler: stomp}
  - {path: /guests, handler: stomp, auth: optional}
  - {path: /all, handler: stomp, auth: "off"}
`

// Front-ends written for Spring say who they are by CONNECT.
func TestStompClientsSayWhoTheyAre(t *testing.T) {
	g := guard(t, guardedStomp)
	kim, lee := g.token("--user", "kim"), g.token("--claim", "sub=7")
	for _, c := range []struct {
		path, connect string
		want          string // how the answer begins
	}{
		{"ws", "", "ERROR\nmessage:Bad CONNECT\n"},
		{"ws", "Authorization:Bearer " + kim, "CONNECTED\n…user-name:kim\n"},
		{"ws", "Authorization:" + kim, "CONNECTED\n…user-name:kim\n"},
		{"ws", "X-Token:" + lee, "CONNECTED\n…user-name:7\n"},
		{"ws", "login:x\npasscode:" + kim, "CONNECTED\n…user-name:kim\n"},
		{"ws", "login:guest\npasscode:guest", "ERROR\nmessage:Bad CONNECT\n"},
		{"ws", "Authorization:Bearer " + kim[:len(kim)-3], "ERROR\nmessage:Bad CONNECT\n"},
		{"ws?access_token=" + kim, "", "CONNECTED\n…user-name:kim\n"},
		{"ws?access_token=" + kim, "Authorization:Bearer " + lee, "ERROR\nmessage:Bad CONNECT\n…another user's"},
		{"guests", "", "CONNECTED\n"},
		{"guests", "Authorization:Bearer x", "ERROR\nmessage:Bad CONNECT\n…Token is no JWT"},
		{"guests", "Authorization:Bearer " + kim, "CONNECTED\n…user-name:kim\n"},
		{"all", "", "CONNECTED\n"},
		{"all", "Authorization:Bearer x", "CONNECTED\n"},
	} {
		path, query, _ := strings.Cut(c.path, "?")
		ws := dial(t, g.url+path+"/websocket?"+query)
		send(t, ws, "CONNECT\naccept-version:1.2\n"+c.connect+"\n\n\x00")
		begin, rest, _ := strings.Cut(c.want, "…")
		if got := next(t, ws); !strings.HasPrefix(got, begin) || !strings.Contains(got, rest) {
			t.Errorf("%s: %s: got %q, want %q", path, strings.SplitN(c.connect, ":", 2)[0], got, c.want)
		}
		ws.Close()
	}
	g.logs("client is refused")
}

// The session ends with the token; a frame with a new one puts that off.
func TestStompTokenIsRenewed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	g := guard(t, strings.Replace(guardedStomp, "query: access_token", "leeway: off", 1))
	long := g.token("--user", "kim", "--expires", "1h")
	short := g.token("--user", "kim", "--expires", "3s")
	open := func() *websocket.Conn {
		ws := dial(t, g.url+"ws/websocket")
		send(t, ws, "CONNECT\naccept-version:1.2\nAuthorization:Bearer "+short+"\n\n\x00")
		if got := next(t, ws); !strings.HasPrefix(got, "CONNECTED") {
			t.Fatal(got)
		}
		return ws
	}
	ends, stays := open(), open()
	send(t, stays, "SUBSCRIBE\nid:1\ndestination:/topic/a\nAuthorization:Bearer "+long+"\nreceipt:1\n\n\x00")
	if got := next(t, stays); !strings.HasPrefix(got, "RECEIPT") {
		t.Fatal(got)
	}
	if got := next(t, ends); !strings.HasPrefix(got, "ERROR\nmessage:Identity has expired\n") {
		t.Errorf("got %q", got)
	}
	closes(t, ends, session.CodePolicy)
	time.Sleep(1500 * time.Millisecond) // the session of its own end, too
	send(t, stays, "SEND\ndestination:/topic/a\nAuthorization:Bearer "+long+"\n\nhello\x00")
	if got := next(t, stays); !strings.HasPrefix(got, "MESSAGE\n") || strings.Contains(got, "uthorization") {
		t.Errorf("got %q", got)
	}
}

// With logins, too, a CONNECT says who it is in one way or the other.
func TestStompTokensBesideLogins(t *testing.T) {
	t.Parallel()
	g := guard(t, strings.Replace(guardedStomp, "stomp:\n", "stomp:\n  logins: [{login: guest, passcode: secret}]\n", 1))
	kim := g.token("--user", "kim")
	for _, path := range []string{"ws", "guests"} {
		for connect, want := range map[string]string{
			"":                             "ERROR",
			"login:guest\npasscode:secret": "CONNECTED",
			"login:guest\npasscode:guest":  "ERROR",
			"Authorization:Bearer " + kim:  "CONNECTED",
			"login:guest\npasscode:" + kim: "CONNECTED",
		} {
			ws := dial(t, g.url+path+"/websocket")
			send(t, ws, "CONNECT\naccept-version:1.2\n"+connect+"\n\n\x00")
			if got := next(t, ws); !strings.HasPrefix(got, want) {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
			ws.Close()
		}
	}
}

// Keys of a URL; the server starts before they can be fetched.
func TestKeysOfAURL(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var up atomic.Bool
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			http.Error(w, "not yet", http.StatusBadGateway)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{
			"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": base64.RawURLEncoding.EncodeToString(public),
		}}})
	}))
	defer issuer.Close()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := writeFile(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	config := "auth: {jwt: {jwks_url: '" + issuer.URL + "/keys?secret=s3cret'}}\nendpoints: [{path: /echo, handler: echo}]"
	status, token, stderr := finish(t, "token", "make", "--key-file", key, "--user", "kim")
	if status != 0 {
		t.Fatal(stderr)
	}
	token = strings.TrimSpace(token)

	g := guard(t, config)
	g.tokens = append(g.tokens, token, "this is not to be logged: s3cret")
	g.logs("keys cannot be fetched; the last ones stay")
	g.want("503 Keys are not there yet", "POST", "echo/0/a/xhr", "", "Authorization: Bearer "+token)
	up.Store(true)
	g.logs("keys are fetched again")
	g.want("200 o", "POST", "echo/0/a/xhr", "", "Authorization: Bearer "+token)
	if strings.Contains(g.stderr.String(), "s3cret") {
		t.Errorf("the log has the query: %s", g.stderr.String())
	}

	file := writeFile(t, "conf.yaml", config)
	if status, stdout, stderr := finish(t, "token", "check", "--config", file, token); status != 0 || !strings.HasPrefix(stdout, "user:   kim\n") {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
	if status, stdout, stderr := finish(t, "token", "check", "--config", file, token[:len(token)-4]); status != 1 || stdout != "" || strings.Contains(stderr, token[:20]) {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
}

func TestTokenCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Parallel()
	secret := writeFile(t, "secret", strings.Repeat("x", 40))
	short := writeFile(t, "short", "hunter2")
	config := writeFile(t, "conf.yaml", "auth: {jwt: {secret_file: "+secret+", user_claim: mail, issuer: me}}")
	none := writeFile(t, "none.yaml", "addr: :80")
	token := func(args ...string) string {
		status, stdout, stderr := finish(t, append([]string{"token", "make", "--secret-file", secret}, args...)...)
		if status != 0 {
			t.Fatal(stderr)
		}
		return strings.TrimSpace(stdout)
	}
	kim := token("--user", "kim", "--expires", "90m", "--claim", `roles=["a","b"]`, "--claim", "n=7", "--claim", "text=a=b;c,d", "--claim", "sum={")
	for _, c := range []struct {
		args   []string
		status int
		want   string // a pattern, of stdout or stderr
	}{
		{[]string{"check", "--secret-file", secret, kim}, 0, `^user:   kim\nuntil:  20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\nclaims: \{\n  "exp": \d+,\n  "iat": \d+,\n  "n": 7,\n  "roles": \[\n    "a",\n    "b"\n  \],\n  "sub": "kim",\n  "sum": "\{",\n  "text": "a=b;c,d"\n\}\n$`},
		{[]string{"check", "--secret-file", secret, "Bearer " + kim}, 0, `^user:   kim\n`},
		{[]string{"check", "--secret-file", secret, "x"}, 1, `^switchback: Token is no JWT\n$`},
		{[]string{"check", "--secret-file", secret, token("--user", "kim", "--claim", "exp=1")}, 1, `^switchback: Token has expired\n$`},
		{[]string{"check", "--secret-file", secret, token()}, 1, `names no user`},
		{[]string{"check", "--config", config, kim}, 1, `^switchback: Token is of another issuer\n$`},
		{[]string{"check", "--config", config, token("--claim", "mail=kim@example.com", "--claim", "iss=me")}, 0, `^user:   kim@example.com\n`},
		{[]string{"check", "--config", none, kim}, 1, `none.yaml has no auth.jwt`},
		{[]string{"check", kim}, 2, `missing flags: --config=FILE or --secret-file=FILE or --key-file=FILE`},
		{[]string{"check", "--secret-file", secret, "--config", config, kim}, 2, `can't be used together`},
		{[]string{"check", "--secret-file", short, kim}, 1, `the secret has 7 bytes; it must have 32 or more`},
		{[]string{"check", "--key-file", secret, kim}, 1, `holds no public key`},
		{[]string{"make"}, 2, `missing flags`},
		{[]string{"make", "--secret-file", short}, 1, `the secret has 7 bytes`},
		{[]string{"make", "--key-file", secret}, 1, `holds no private key in PEM`},
		{[]string{"make", "--secret-file", secret, "--expires", "0"}, 2, `--expires is "0"; it must be a duration`},
		{[]string{"make", "--secret-file", secret, "--claim", "roles"}, 2, `--claim is "roles"; it must be a name, = and a value`},
		{[]string{"make", "--help"}, 0, `For example: switchback token make`},
		{[]string{"check", "--help"}, 0, `For example: switchback token make`},
	} {
		status, stdout, stderr := finish(t, append([]string{"token"}, c.args...)...)
		if status != c.status || !regexp.MustCompile(c.want).MatchString(stdout+stderr) || status != 0 && stdout != "" {
			t.Errorf("%q: %d\n%s%s", c.args, status, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("a secret is told: %s%s", stdout, stderr)
		}
	}
	cmd := command("token", "check", "--secret-file", secret, "-")
	cmd.Stdin = strings.NewReader(kim + "\n")
	if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), "user:   kim\n") {
		t.Errorf("by stdin: %s, %v", out, err)
	}
}

// What an endpoint cannot ask is told before the server listens.
func TestEndpointsThatCannotAsk(t *testing.T) {
	secret := writeFile(t, "secret", strings.Repeat("x", 40))
	for text, want := range map[string]string{
		"endpoints: [{path: /a, handler: echo, auth: required}]":                                                               "auth is \"required\", and nothing says whose tokens are accepted; add auth beside endpoints",
		"auth: {jwt: {secret_file: " + secret + "}}\nendpoints: [{path: /a, handler: echo, implementation: igm}]":              "implementation igm asks nobody who they are",
		"auth: {jwt: {secret_file: " + secret + "}}\nendpoints: [{path: /a, handler: echo, implementation: igm, auth: 'off'}]": "",
		"endpoints: [{path: /a, handler: echo, auth: 'off'}]":                                                                  "",
	} {
		conf := defaultConfig()
		if err := readYAML("f", []byte(text), conf.settings("")); err != nil {
			t.Fatal(err)
		}
		s, err := newServer(conf, zap.NewNop())
		if err == nil {
			s.shutdown()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// Tickets alone let in whom another part of the program knows.
func TestTicketsAlone(t *testing.T) {
	conf := defaultConfig()
	if err := readYAML("f", []byte("auth: {tickets: {life: 10s, limit: 1}}\nendpoints: [{path: /a, handler: stomp}, {path: /b, handler: echo}]"), conf.settings("")); err != nil {
		t.Fatal(err)
	}
	s, err := newServer(conf, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.shutdown()
	server := httptest.NewServer(s.http.Handler)
	defer server.Close()
	ticket, expires, err := s.auth.access.Tickets.Issue(&session.Identity{User: "kim"})
	if err != nil || time.Until(expires) > 10*time.Second {
		t.Fatal(expires, err)
	}
	if _, _, err := s.auth.access.Tickets.Issue(&session.Identity{User: "kim"}); err != auth.ErrTickets {
		t.Errorf("got %v", err)
	}
	if _, res, err := websocket.DefaultDialer.Dial("ws"+server.URL[4:]+"/a/websocket", nil); err == nil || res.StatusCode != 401 {
		t.Errorf("got %v", err)
	}
	ws := dial(t, server.URL+"/a/websocket?ticket="+ticket)
	send(t, ws, "CONNECT\naccept-version:1.2\n\n\x00")
	if got := next(t, ws); !strings.Contains(got, "\nuser-name:kim\n") {
		t.Errorf("got %q", got)
	}
	ws.Close()
}

// A cookie comes with the requests of every page that may open sessions.
func TestCookiesOfAnyPageAreToldAtStart(t *testing.T) {
	secret := writeFile(t, "secret", strings.Repeat("x", 40))
	for text, want := range map[string]bool{
		"cookie: token}}\nendpoints: [{path: /a, handler: echo, allowed_origins: ['*']}]":                 true,
		"cookie: token}}\nendpoints: [{path: /a, handler: echo, allowed_origins: ['*'], auth: 'off'}]":    false,
		"cookie: token}}\nendpoints: [{path: /a, handler: echo, allowed_origins: ['https://a.example']}]": false,
		"header: token}}\nendpoints: [{path: /a, handler: echo, allowed_origins: ['*']}]":                 false,
		"header: token}}\nendpoints: [{path: /a, handler: stomp, allowed_origins: ['*']}]":                false,
	} {
		core, logs := observer.New(zapcore.WarnLevel)
		conf := defaultConfig()
		if err := readYAML("f", []byte("auth: {jwt: {secret_file: "+secret+", "+text), conf.settings("")); err != nil {
			t.Fatal(err)
		}
		s, err := newServer(conf, zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		s.shutdown()
		if all := logs.All(); (len(all) == 1) != want || want && !strings.HasPrefix(all[0].Message, "every page there is may open sessions") {
			t.Errorf("%s: got %v", text, all)
		}
	}
}

func TestAuthHoldsWhatTheFileSays(t *testing.T) {
	text := "auth:\n  required: false\n  jwt: {secret_file: " + writeFile(t, "secret", strings.Repeat("x", 40)) + ", algorithms: [HS256], issuer: me, audience: you, user_claim: mail, " +
		"roles_claim: groups, optional_expiry: true, leeway: off, token_limit: 4KiB, header: X-A, cookie: b, query: d}\n  tickets: {life: 10s, limit: 7}\n"
	conf := defaultConfig()
	if err := readYAML("f", []byte(text), conf.settings("")); err != nil {
		t.Fatal(err)
	}
	got := conf.auth
	if got.jwt.keys == nil {
		t.Error("no keys")
	}
	required := false
	got.jwt.keys, got.jwt.secretFile = nil, ""
	want := authConfig{
		given: true, required: &required, tickets: auth.TicketOptions{Life: 10 * time.Second, Limit: 7},
		jwt: jwtConfig{given: true, header: "X-A", cookie: "b", query: "d", options: auth.Options{
			Algorithms: []string{"HS256"}, Issuer: "me", Audience: "you", UserClaim: "mail", RolesClaim: "groups",
			OptionalExpiry: true, Leeway: -1, TokenLimit: 4096,
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Names are relative to the folder of the file, not to where the server was started.
func TestKeysAreRelativeToTheFile(t *testing.T) {
	file := writeFile(t, "conf.yaml", "auth: {jwt: {secret_file: secret}}")
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "secret"), []byte(strings.Repeat("x", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	conf := defaultConfig()
	if err := conf.readFile(file); err != nil {
		t.Error(err)
	}
}
