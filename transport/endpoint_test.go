package transport

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
)

func TestWrongOptionsAreNamed(t *testing.T) {
	for _, c := range []struct {
		prefix string
		o      Options
		want   string
	}{
		{"echo", Options{}, `prefix "echo"`},
		{"/echo/", Options{}, `prefix "/echo/"`},
		{"", Options{DisabledTransports: []string{"xhr"}}, "xhr-polling"},
		{"", Options{Forwarded: "x-forwarded-for"}, "either, x-forwarded, forwarded"},
		{"", Options{AllowedOrigins: []string{"example.com"}}, "https://example.com"},
		{"", Options{Hosts: []string{"chat.example.com:8081"}}, "without scheme and port"},
		{"", Options{Hosts: []string{"*.example.com"}}, "without scheme and port"},
		{"", Options{Hosts: []string{""}}, "without scheme and port"},
		{"", Options{ClientURL: "sockjs.js"}, "ClientURL"},
		{"", Options{QueueLimit: -1}, "QueueLimit"},
	} {
		_, err := NewEndpoint(c.prefix, session.Shared(handler.Echo{}), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %+v: got %v", c.prefix, c.o, err)
		}
	}
}

func TestMethodsOfEachPath(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{AllowedOrigins: []string{"*"}})
	for path, allow := range map[string]string{
		"": "GET, HEAD", "/": "GET, HEAD", "/iframe.html": "GET, HEAD", "/info": "OPTIONS, GET",
		"/websocket": "GET", "/0/0/websocket": "GET",
		"/0/0/xhr": "OPTIONS, POST", "/0/0/xhr_send": "OPTIONS, POST", "/0/0/xhr_streaming": "OPTIONS, POST",
		"/0/0/eventsource": "OPTIONS, GET", "/0/0/htmlfile": "OPTIONS, GET",
		"/0/0/jsonp": "OPTIONS, GET", "/0/0/jsonp_send": "OPTIONS, POST",
	} {
		a := s.ask(t, "DELETE", path, "")
		if a.status != 405 || a.header.Get("Allow") != allow || a.body != "" || a.header["Content-Type"] != nil {
			t.Errorf("%s: got %d %q %v", path, a.status, a.body, a.header)
		}
	}
	for _, path := range []string{"", "/", "/info", "/iframe-1.html"} {
		head, get := s.ask(t, "HEAD", path, ""), s.ask(t, "GET", path, "")
		if head.status != 200 || head.body != "" || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD %s: got %d %v", path, head.status, head.header)
		}
	}
}

func TestPathsHaveOneForm(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	long := strings.Repeat("k", 128)
	for path, want := range map[string]int{
		"/a/" + long + "/xhr":         200,
		"/a/" + long + "k/xhr":        404,
		"/a%20b/c%20d/xhr":            200,
		"/a%2fb/c/xhr":                404,
		"/a/b%2F/xhr":                 404,
		"/a/b%00/xhr":                 404,
		"/a/b%0a/xhr":                 404,
		"/a/b%ff/xhr":                 404,
		"/a/b%c2%80/xhr":              404,
		"/a/%252f/xhr":                200,
		"/a/b%2exx/xhr":               404,
		"/a/b/c/xhr":                  404,
		"//b/xhr":                     404,
		"/a//xhr":                     404,
		"/a/b/xhr/":                   404,
		"/a/b/XHR":                    404,
		"/a/b/" + url.PathEscape(";"): 404,
	} {
		if a := s.ask(t, "POST", path, ""); a.status != want {
			t.Errorf("%s: got %d, want %d", path, a.status, want)
		}
	}
	for _, path := range []string{"/echoes", "/other", "/"} {
		res, err := s.client.Get(s.server.URL + path)
		if err != nil || res.StatusCode != 404 {
			t.Errorf("%s: got %v, %v", path, res, err)
		}
		res.Body.Close()
	}
}

// Whatever the path, it is served, or refused, in one way.
func FuzzPath(f *testing.F) {
	seeds, err := os.ReadFile("../testdata/fuzz/paths.txt")
	if err != nil {
		f.Fatal(err)
	}
	for path := range strings.Lines(string(seeds)) {
		f.Add(strings.TrimSpace(path))
	}
	e, err := NewEndpoint("/echo", session.Shared(handler.Echo{}), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			return
		}
		path, ok := e.path(&http.Request{URL: u})
		if !ok {
			return
		}
		if "/echo"+path != u.Path {
			t.Fatalf("%q: path %q", raw, path)
		}
		_, key, ok := e.find(path)
		if !ok || key == "" {
			return
		}
		parts := strings.Split(path, "/")
		if len(parts) != 4 || parts[2] != key || parts[1] == "" || len(key) > maxKey || strings.Contains(parts[1]+key, ".") {
			t.Fatalf("%q: key %q", raw, key)
		}
	})
}

func TestDisabledTransportsAreNotThere(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{DisabledTransports: Transports()})
	for _, path := range []string{"/websocket", "/0/0/websocket", "/0/0/xhr", "/0/0/xhr_send", "/0/0/xhr_streaming", "/0/0/eventsource", "/0/0/htmlfile", "/0/0/jsonp", "/0/0/jsonp_send"} {
		for _, method := range []string{"GET", "POST"} {
			s.ask(t, method, path, "").want(t, 404, "Not found.\n")
		}
	}
	if a := s.ask(t, "GET", "/info", ""); !strings.HasPrefix(a.body, `{"websocket":false,`) {
		t.Errorf("got %s", a.body)
	}
}

// A sender is there as long as a transport is that it serves.
func TestSendersOfEachTransport(t *testing.T) {
	for _, name := range Transports() {
		sender := "xhr_send"
		switch name {
		case "websocket":
			sender = ""
		case "jsonp-polling":
			sender = "jsonp_send"
		}
		routes := routesFor(slices.DeleteFunc(Transports(), func(n string) bool { return n == name }))
		for _, path := range []string{"xhr_send", "jsonp_send"} {
			if _, there := routes[sessionPath+path]; there != (path == sender) {
				t.Errorf("of %s alone: %s is there: %v", name, path, there)
			}
		}
	}
}

// The tables of the documents have what the URL table has.
func TestDocumentsHaveEveryURL(t *testing.T) {
	for file, row := range map[string]string{
		"doc.go":       `(?m)^//\t%s +%s  `,
		"../README.md": "(?m)^\\| %s \\| (` ` and )?`%s[`?]",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, rt := range urls {
			path := cmp.Or(strings.Replace(rt.path, sessionPath, "/<server>/<session>/", 1), "/")
			if !regexp.MustCompile(fmt.Sprintf(row, rt.method, regexp.QuoteMeta(path))).Match(text) {
				t.Errorf("%s has no row of %s %s", file, rt.method, path)
			}
		}
		for _, name := range Transports() {
			if file != "doc.go" && !strings.Contains(string(text), ": `"+name+"` |") {
				t.Errorf("%s does not name %s", file, name)
			}
		}
	}
}

func TestSessionLimitIsTold(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{SessionLimit: 1})
	s.openPolling(t)
	s.ask(t, "POST", "/0/"+newID()+"/xhr", "").want(t, 503, "Too many sessions\n")
	if s.Stats().Refused.Load() != 1 {
		t.Errorf("stats: %+v", s.Stats())
	}
}

// A poll that has a body is answered, and one that never ends is not waited
// for.
func TestPollsWithBodies(t *testing.T) {
	t.Parallel()
	s := serve(t, session.Shared(handler.Echo{}), Options{BodyTimeout: 50 * time.Millisecond})
	s.ask(t, "POST", "/0/"+newID()+"/xhr", "unexpected").want(t, 200, "o\n")
	s.ask(t, "POST", "/0/"+newID()+"/xhr", strings.Repeat("x", 5000)).want(t, 413, "Payload is too large.\n")
	if got := s.raw(t, "POST /echo/0/"+newID()+"/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx"); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("got %q", got)
	}
}

// sockjs-protocol, HandlingClose.test_abort_*.
func TestAbortedReceiversCloseTheirSession(t *testing.T) {
	overWires(t, func(t *testing.T, w wire) {
		t.Parallel()
		s := w.serve(t, session.Shared(handler.Echo{}), Options{})
		for _, name := range []string{"xhr", "xhr_streaming"} {
			path := s.openPolling(t)
			ctx, cancel := context.WithCancel(t.Context())
			r, _ := http.NewRequestWithContext(ctx, "POST", s.url+path+"/"+name, nil)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if res, err := s.client.Do(r); err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			}()
			attached(t, s.Endpoint, path)
			s.ask(t, "POST", path+"/xhr", "").want(t, 200, `c[2010,"Another connection still open"]`+"\n")
			cancel()
			<-done
			s.ask(t, "POST", path+"/xhr", "").want(t, 200, `c[1002,"Connection interrupted"]`+"\n")
		}
	})
}

func TestShutdownEndsEverythingCleanly(t *testing.T) {
	overWires(t, func(t *testing.T, w wire) {
		t.Parallel()
		s := w.serve(t, session.Shared(handler.Echo{}), Options{})
		res, err := s.client.Post(s.url+"/0/"+newID()+"/xhr_streaming", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		stream := bufio.NewReader(res.Body)
		stream.ReadString('\n')
		stream.ReadString('\n')
		path := s.openPolling(t)
		polled := make(chan answer)
		go func() { polled <- s.ask(t, "POST", path+"/xhr", "") }()
		framed, native := s.dial(t, "/0/0/websocket"), s.dial(t, "/websocket")
		read(t, framed, "o")
		eventually(t, "four sessions", func() bool { return s.Stats().Sessions.Load() == 4 })
		attached(t, s.Endpoint, path)

		down := make(chan error)
		go func() { down <- s.Shutdown(t.Context()) }()
		const bye = `c[1001,"Server is going away"]`
		if rest, err := io.ReadAll(stream); string(rest) != bye+"\n" || err != nil {
			t.Errorf("stream: got %q, %v", rest, err)
		}
		(<-polled).want(t, 200, bye+"\n")
		read(t, framed, bye)
		readClose(t, framed, 1001, "Server is going away")
		readClose(t, native, 1001, "Server is going away")
		if err := <-down; err != nil {
			t.Error(err)
		}
		if a := s.ask(t, "GET", "/info", ""); a.status != 503 {
			t.Errorf("/info: got %d", a.status)
		}
		if a := s.ask(t, "POST", "/0/"+newID()+"/xhr", ""); a.status != 503 {
			t.Errorf("new session: got %d", a.status)
		}
	})
}

// Peers that do not answer are cut at the deadline.
func TestShutdownHasADeadline(t *testing.T) {
	e, err := NewEndpoint("/echo", session.Shared(handler.Echo{}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	s.server.Config.Handler = e
	conn := s.dial(t, "/websocket")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := e.Shutdown(ctx); err == nil {
		t.Error("Shutdown does not tell that it cut a connection")
	}
	conn.SetReadDeadline(time.Now().Add(time.Second))
	readClose(t, conn, 1001, "Server is going away")
}

func TestHandlerSeesMessagesInOrder(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{QueueLimit: 1 << 24})
	conn := s.dial(t, "/websocket")
	const n = 5000
	go func() {
		for i := range n {
			conn.WriteMessage(websocket.TextMessage, []byte{byte(i >> 8), byte(i)&0x7f | 1})
		}
	}()
	for i := range n {
		if _, text, err := conn.ReadMessage(); err != nil || len(text) != 2 || text[0] != byte(i>>8) || text[1] != byte(i)&0x7f|1 {
			t.Fatalf("message %d: got %q, %v", i, text, err)
		}
	}
}

// Operators see the sessions there are, find one by its name, and close those they choose.
func TestSessionsAreListedFoundAndClosed(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	stays, goes := s.dial(t, "/0/0/websocket"), s.dial(t, "/0/0/websocket")
	read(t, stays, "o")
	read(t, goes, "o")
	all := s.Sessions()
	if len(all) != 2 || s.Session(all[1].ID()) != all[1] || s.Session("nobody") != nil {
		t.Fatalf("%d sessions", len(all))
	}
	last := all[0].ID()
	for _, c := range all {
		last = max(last, c.ID())
	}
	if n, err := s.CloseIf(func(c session.Session) bool { return c.ID() == last }, 4000, "Logged out"); n != 1 || err != nil {
		t.Errorf("%d are closed, %v", n, err)
	}
	read(t, goes, `c[4000,"Logged out"]`)
	stays.WriteMessage(websocket.TextMessage, []byte(`["still here"]`))
	read(t, stays, `a["still here"]`)
	if _, err := s.CloseIf(func(session.Session) bool { return true }, 1005, ""); err != session.ErrCode {
		t.Errorf("got %v", err)
	}
}

// byUser is an Opener that knows who is asking by the query.
type byUser struct{ session.Opener }

func (byUser) Authenticate(r *http.Request) (*session.Identity, error) {
	return &session.Identity{User: r.URL.Query().Get("user")}, nil
}

func (byUser) Principal(r *http.Request) (string, error) { return r.URL.Query().Get("user"), nil }

// To anybody but the user who has opened it a session is none.
func TestSessionIsItsUsers(t *testing.T) {
	s := serve(t, byUser{session.Shared(handler.Echo{})}, Options{})
	post := func(path, body string) string {
		res, err := http.Post(s.url+path, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return fmt.Sprint(res.StatusCode, " ", string(text))
	}
	for _, c := range []struct{ path, body, want string }{
		{"/0/k/xhr?user=kim", "", "200 o\n"},
		{"/0/k/xhr_send?user=lee", `["x"]`, "404 Not found.\n"},
		{"/0/k/xhr_send", `["x"]`, "404 Not found.\n"},
		{"/0/k/xhr?user=lee", "", "404 Not found.\n"},
		{"/0/k/xhr_streaming?user=lee", "", "404 Not found.\n"},
		{"/0/k/xhr_send?user=kim", `["x"]`, "204 "},
		{"/0/k/xhr?user=kim", "", "200 a[\"x\"]\n"},
	} {
		if got := post(c.path, c.body); got != c.want {
			t.Errorf("%s: %q, want %q", c.path, got, c.want)
		}
	}
	_, res, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/0/k/websocket?user=lee", nil)
	if err == nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("WebSocket: %v, %v", res, err)
	}
}

func TestOpenerRefusesByHTTP(t *testing.T) {
	opener := session.OpenerFunc(func(r *http.Request) (session.Handler, error) {
		if r.Header.Get("Authorization") == "broken" {
			return nil, errors.New("database is down")
		}
		return nil, &session.RefusedError{Status: 401, Reason: "Who are you?"}
	})
	s := serve(t, opener, Options{})
	for _, path := range []string{"/xhr", "/xhr_streaming"} {
		s.ask(t, "POST", "/0/"+newID()+path, "").want(t, 401, "Who are you?\n")
		s.ask(t, "POST", "/0/"+newID()+path, "", "Authorization: broken").want(t, 500, "Internal error.\n")
	}
	got := s.raw(t, "GET /echo/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 401 ") {
		t.Errorf("websocket: got %q", got)
	}
}

func TestPanicIsOneSessionsEnd(t *testing.T) {
	s := serve(t, session.Shared(panicking{}), Options{})
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["x"]`).want(t, 204, "")
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, `c[1011,"Internal error"]`+"\n")
	conn := s.dial(t, "/0/0/websocket")
	read(t, conn, "o")
	conn.WriteMessage(websocket.TextMessage, []byte(`["x"]`))
	read(t, conn, `c[1011,"Internal error"]`)
	s.openPolling(t)
}

type panicking struct{ handler.Echo }

func (panicking) OnMessage(session.Session, []byte) error { panic("oops") }

func TestOpenerMayPanic(t *testing.T) {
	s := serve(t, session.OpenerFunc(func(*http.Request) (session.Handler, error) { panic(http.ErrAbortHandler) }), Options{})
	for range 3 {
		if res, err := s.client.Post(s.url+"/0/x/xhr", "", nil); err == nil {
			res.Body.Close()
			t.Error("got an answer")
		}
	}
	if n := s.Stats().Sessions.Load(); n != 0 {
		t.Errorf("%d sessions are counted", n)
	}
}

func TestInfoRefusesWhenFull(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{SessionLimit: 1})
	if a := s.ask(t, "GET", "/info", ""); a.status != 200 {
		t.Errorf("got %d", a.status)
	}
	s.openPolling(t)
	if a := s.ask(t, "GET", "/info", ""); a.status != 503 {
		t.Errorf("got %d", a.status)
	}
}
