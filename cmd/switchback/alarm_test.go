package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"switchback/handler/engine/enginetest"
	"switchback/session"
	"switchback/transport"
)

// The application of unread alarms: its page in a browser, with each of the libraries that
// such pages have.

var alarmDir = filepath.Join("..", "..", "testdata", "apps", "alarm")

func TestAlarmPageCountsWhileItsUserIsLoggedIn(t *testing.T) {
	browser := startBrowser(t)
	if _, err := os.Stat(filepath.Join(alarmDir, "node_modules", ".package-lock.json")); err != nil {
		t.Skip("not run: the page of the alarm application, because its libraries are not here; run make alarm-client")
	}
	s, url := serveAlarm(t)
	endpoint := s.endpoints[0].(*transport.Endpoint)
	publish := func(destination string, unread int) {
		t.Helper()
		if err := s.broker.Send(t.Context(), destination, unread); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ library, transport string }{
		{"@stomp/stompjs", "websocket"}, {"@stomp/stompjs", "xhr-polling"}, {"@stomp/stompjs", "xhr-streaming"},
		{"stompjs", "websocket"}, {"stompjs", "xhr-polling"},
		{"webstomp-client", "websocket"}, {"webstomp-client", "xhr-polling"},
	} {
		t.Run(c.library+" "+c.transport, func(t *testing.T) {
			p := openPage(t, browser, url+"?library="+c.library+"&transport="+c.transport)
			p.is("closed")
			p.click("login")
			p.is("open")
			sessions := openSessions(endpoint)
			if len(sessions) != 1 || sessions[0].Peer().Transport != c.transport {
				t.Fatalf("%d sessions", len(sessions))
			}
			subscribed(t, s, 1)
			for unread := range 5 {
				publish("/alarm/8", 100+unread) // another's
				publish("/alarm/7", unread+1)
				p.counts(unread + 1)
			}
			logOut := func() {
				t.Helper()
				p.click("logout")
				for begun := time.Now(); len(openSessions(endpoint)) > 0; time.Sleep(time.Millisecond) {
					if time.Since(begun) > patience {
						t.Fatal("after logout the session is open")
					}
				}
				p.is("closed")
				subscribed(t, s, 0)
			}
			logOut()
			publish("/alarm/7", 9)
			p.click("login") // and what was published meanwhile does not come then
			p.is("open")
			p.counts(5)
			subscribed(t, s, 1)
			publish("/alarm/7", 6)
			p.counts(6)
			logOut()
			for _, complaint := range p.complaints() {
				switch {
				case strings.Contains(complaint, "did not receive a factory"): // the library would rather have a function
				case strings.Contains(complaint, "(Not Found)") && strings.Contains(complaint, "/xhr_send"): // what it sent as the session ended
				default:
					t.Errorf("the console says: %s", complaint)
				}
			}
		})
	}
}

// With the tokens and rules that its configuration speaks of, the page of user 7 counts up
// as a process in another language publishes, over WebSocket and by polling. It neither
// hears of user 8's alarms nor may ask for them, and at logout its session ends.
func TestAlarmPageOfAUserWithAToken(t *testing.T) {
	browser, node := startBrowser(t), findNode(t)
	if _, err := os.Stat(filepath.Join(alarmDir, "node_modules", ".package-lock.json")); err != nil {
		t.Skip("not run: the page of the alarm application, because its libraries are not here; run make alarm-client")
	}
	conf, tokens := alarmUsers(t, "7", "8")
	// Who has logged out is not waited for as one who may come back.
	p, admin := startAdmin(t, strings.Replace(conf, "handler: stomp\n", "handler: stomp\n    disconnect_delay: 1h\n", 1))
	publish := func(user string, unread int) {
		t.Helper()
		env := []string{"SWITCHBACK_ADMIN_ADDR=" + strings.Trim(strings.TrimPrefix(admin, "http://"), "/"), "SWITCHBACK_ADMIN_TOKEN=" + adminToken}
		if out, err := publishAlarm(t, node, env, user, strconv.Itoa(unread)); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	sessions := func() int {
		_, listed, _ := administer(t, admin, "", "sessions", "--json")
		return strings.Count(listed, "\n")
	}
	for _, c := range []struct{ library, transport string }{
		{"@stomp/stompjs", "websocket"}, {"stompjs", "xhr-polling"},
	} {
		t.Run(c.library+" "+c.transport, func(t *testing.T) {
			page := openPage(t, browser, p.url+"?library="+c.library+"&transport="+c.transport)
			page.is("closed")
			for _, wrong := range []struct{ user, token string }{{"8", tokens["7"]}, {"7", ""}, {"7", tokens["8"]}, {"7", tokens["7"][:len(tokens["7"])-3]}} {
				page.logIn(wrong.user, wrong.token)
				page.do("be refused", chromedp.WaitReady(chromedp.Search(`//*[@id="notice"][.!=""]`)))
				page.is("closed")
			}
			page.logIn("7", tokens["7"])
			page.is("open")
			heard := func() bool {
				return strings.Contains(fetch(t, http.DefaultClient, admin+"metrics"), "\nswitchback_stomp_subscriptions 1\n")
			}
			for begun := time.Now(); !heard(); time.Sleep(10 * time.Millisecond) {
				if time.Since(begun) > patience {
					t.Fatal("it has not subscribed")
				}
			}
			for unread := 1; unread <= 3; unread++ {
				publish("8", 100+unread)
				publish("7", unread)
				page.counts(unread)
			}
			page.click("logout")
			begun := time.Now()
			page.is("closed")
			for sessions() > 0 {
				if time.Since(begun) > patience {
					t.Fatal("after logout the session is there")
				}
			}
			publish("7", 9)
			page.counts(3)
			for _, complaint := range page.complaints() {
				switch {
				case strings.Contains(complaint, "did not receive a factory"): // the library would rather have a function
				case strings.Contains(complaint, "(Not Found)") && strings.Contains(complaint, "/xhr_send"): // what it sent as the session ended
				default:
					t.Errorf("the console says: %s", complaint)
				}
			}
		})
	}
	for _, token := range tokens {
		if strings.Contains(p.stderr.String(), token) {
			t.Error("the log has a token")
		}
	}
}

// Where alarms are kept, too, the page of each library shows those that came while its user
// was away, and marks them as read.
func TestAlarmPageCountsWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	if _, err := os.Stat(filepath.Join(alarmDir, "node_modules", ".package-lock.json")); err != nil {
		t.Skip("not run: the page of the alarm application, because its libraries are not here; run make alarm-client")
	}
	conf, tokens := alarmUsers(t, "7", "8", "9")
	p, admin := startAdmin(t, conf+alarmComment(t, "# And where alarms are kept"))
	for user, c := range map[string]struct{ library, transport string }{
		"7": {"@stomp/stompjs", "websocket"}, "8": {"stompjs", "xhr-polling"}, "9": {"webstomp-client", "xhr-streaming"},
	} {
		t.Run(c.library+" "+c.transport, func(t *testing.T) {
			publish := func() {
				t.Helper()
				for _, to := range []string{"/alarm/" + user, "/alarm/1" + user} {
					if status, _, stderr := administer(t, admin, "", "publish", to, "1"); status != 0 {
						t.Fatal(stderr)
					}
				}
			}
			publish()
			publish()
			page := openPage(t, browser, p.url+"?library="+c.library+"&transport="+c.transport)
			page.is("closed")
			page.logIn(user, tokens[user])
			page.counts(2)
			publish()
			page.counts(3)
			page.click("read")
			page.counts(0)
			publish()
			page.counts(1)
			page.click("logout")
			page.is("closed")
			publish()
			publish()
			page.logIn(user, tokens[user])
			page.counts(3)
			page.click("read") // with the offset of the RECEIPT alone
			page.counts(0)
			page.click("logout")
			page.is("closed")
			page.logIn(user, tokens[user])
			page.is("open")
			publish()
			page.counts(1)
		})
	}
}

// alarmUsers is the configuration of the alarm application where users have tokens, and
// theirs.
func alarmUsers(t *testing.T, users ...string) (conf string, tokens map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(alarmDir, "..", "alarm.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Abs(alarmDir)
	if err != nil {
		t.Fatal(err)
	}
	secret := writeFile(t, "secret", strings.Repeat("sesame", 8))
	conf = strings.Replace(string(text), "dir: alarm", "dir: "+pages, 1) +
		strings.Replace(alarmComment(t, "# Where users have tokens"), "secret_file: secret", "secret_file: "+secret, 1)
	tokens = make(map[string]string)
	for _, user := range users {
		status, token, stderr := finish(t, "token", "make", "--secret-file", secret, "--user", user)
		if status != 0 {
			t.Fatal(stderr)
		}
		tokens[user] = strings.TrimSpace(token)
	}
	return conf, tokens
}

// alarmComment is what the alarm application's configuration has in a comment that begins so.
func alarmComment(t *testing.T, begin string) (yaml string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(alarmDir, "..", "alarm.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, comment, _ := strings.Cut(string(text), begin)
	_, lines, ok := strings.Cut(comment, "\n#\n")
	lines, _, _ = strings.Cut(lines, "\n#\n")
	yaml = strings.ReplaceAll("\n"+lines, "\n#   ", "\n") + "\n"
	if !ok || strings.Contains(yaml, "\n#") {
		t.Fatalf("after %q the file has:\n%s", begin, comment)
	}
	return yaml
}

// logIn is a login with a token, as the page's user does it.
func (p *page) logIn(user, token string) {
	p.t.Helper()
	p.do("fill in", chromedp.Evaluate[chromedp.Void](fmt.Sprintf("user.value = %q, token.value = %q", user, token)))
	p.click("login")
}

// serveAlarm serves the application in this process.
func serveAlarm(t *testing.T) (s *server, url string) {
	t.Helper()
	conf := defaultConfig()
	if err := conf.readFile(filepath.Join(alarmDir, "..", "alarm.yaml")); err != nil {
		t.Fatal(err)
	}
	conf.endpoints[0].options.DisconnectDelay = time.Hour // who has logged out is not waited for as one who may come back
	s, err := newServer(conf, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := transport.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(ln) }() // ends with shutdown
	t.Cleanup(func() {
		s.shutdown()
		<-ended
	})
	return s, s.url(ln.Addr())
}

func openSessions(e *transport.Endpoint) []session.Session {
	return slices.DeleteFunc(e.Sessions(), func(s session.Session) bool { return s.Context().Err() != nil })
}

// subscribed waits until there are so many subscriptions.
func subscribed(t *testing.T, s *server, n int64) {
	t.Helper()
	for begun := time.Now(); s.broker.Stats().Subscriptions.Load() != n; time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("%d subscriptions, want %d", s.broker.Stats().Subscriptions.Load(), n)
		}
	}
}

// counts waits until the page shows a number.
func (p *page) counts(n int) {
	p.t.Helper()
	p.do("wait for "+strconv.Itoa(n), chromedp.WaitReady(chromedp.Search(`//*[@id="count"][.="`+strconv.Itoa(n)+`"]`)))
}

// The command serves it alone, from any folder, with what the repository holds.
func TestAlarmApplicationStartsAlone(t *testing.T) {
	p := start(t, "serve", "--config", filepath.Join(alarmDir, "..", "alarm.yaml"), "--addr", "127.0.0.1:0")
	for path, want := range map[string]string{
		"": "200 <!DOCTYPE html>", "alarm.js": "200 ", "ws/info": `200 {"websocket":true`,
		".npmrc": "404 ", "node_modules/": "404 ", "node_modules/.package-lock.json": "404 ",
	} {
		if got := fetch(t, http.DefaultClient, p.url+path); !strings.HasPrefix(got, want) {
			t.Errorf("/%s: got %.60q, want %q", path, got, want)
		}
	}
	if log := p.stderr.String(); log != "" {
		t.Errorf("it warns:\n%s", log)
	}
	for origin, want := range map[string]int{"http://localhost:8081": 200, "http://localhost:8082": 403, "https://app.example.com": 200, "https://evil.example": 403} {
		r, err := http.NewRequest(http.MethodGet, p.url+"ws/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", origin, response.StatusCode, want)
		}
	}
}

func TestAlarmPublisherAsksTheAdminListener(t *testing.T) {
	t.Parallel()
	node := findNode(t)
	type asked struct{ method, path, authorization, body string }
	requests := make(chan asked, 10)
	var status atomic.Int64 // of the answer
	status.Store(http.StatusNoContent)
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- asked{r.Method, r.URL.Path, r.Header.Get("Authorization"), string(body)}
		http.Error(w, "no such token", int(status.Load()))
	}))
	defer admin.Close()
	env := []string{"SWITCHBACK_ADMIN_ADDR=" + admin.Listener.Addr().String(), "SWITCHBACK_ADMIN_TOKEN=sesame"}
	want := asked{"POST", "/api/publish", "Bearer sesame", `{"destination":"/alarm/7","payload":3}`}
	if out, err := publishAlarm(t, node, env, "7", "3"); err != nil || out != "" {
		t.Fatalf("%v %s", err, out)
	}
	if got := <-requests; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	status.Store(http.StatusUnauthorized)
	if out, err := publishAlarm(t, node, env, "7", "3"); err == nil || out != "publish: 401 no such token\n\n" {
		t.Errorf("refused: %v %q", err, out)
	}
	<-requests
	for _, c := range []struct {
		env, args []string
		want      string
	}{
		{nil, []string{"7", "1"}, "SWITCHBACK_ADMIN_TOKEN must be set"},
		{env, []string{"all", "1"}, "usage: "},
		{env, []string{"7", "many"}, "usage: "},
		{env, nil, "usage: "},
	} {
		if out, err := publishAlarm(t, node, c.env, c.args...); err == nil || !strings.Contains(out, c.want) || strings.Contains(out, "sesame") {
			t.Errorf("%q: %v %q", c.args, err, out)
		}
	}
	if len(requests) > 0 {
		t.Errorf("it asked for what it had refused: %+v", <-requests)
	}
}

// What the publisher publishes arrives, by way of the admin listener.
func TestAlarmIsPublishedFromOutside(t *testing.T) {
	t.Parallel()
	node := findNode(t)
	env := []string{"SWITCHBACK_ADMIN_ADDR=" + enginetest.FreeAddress(t), "SWITCHBACK_ADMIN_TOKEN=sesame-sesame-sesame-sesame-sesame"}
	cmd := command("serve", "--config", filepath.Join(alarmDir, "..", "alarm.yaml"), "--addr", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, env...)
	p := startCommand(t, cmd)
	ws := dial(t, p.url+"ws/websocket")
	for _, f := range []struct{ frame, answer string }{
		{"CONNECT\naccept-version:1.2\nhost:localhost\n\n\x00", "CONNECTED\n"},
		{"SUBSCRIBE\nid:1\ndestination:/alarm/7\nreceipt:r\n\n\x00", "RECEIPT\n"},
	} {
		if err := ws.WriteMessage(websocket.TextMessage, []byte(f.frame)); err != nil {
			t.Fatal(err)
		}
		if got := next(t, ws); !strings.HasPrefix(got, f.answer) {
			t.Fatalf("got %q", got)
		}
	}
	if out, err := publishAlarm(t, node, env, "7", "3"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := next(t, ws); !strings.HasPrefix(got, "MESSAGE\n") || !strings.HasSuffix(got, "\n\n3\x00") {
		t.Errorf("got %q", got)
	}
}

// With tokens and rules a user hears of their own alarms only, and of nothing once they are
// logged out elsewhere.
func TestAlarmsAreTheirUsers(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("sesame", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "alarm.yaml")
	if err := os.WriteFile(file, []byte(`
log_level: debug
endpoints: [{path: /ws, handler: stomp}]
stomp: {topics: [/alarm], apps: []}
auth: {jwt: {secret_file: secret}}
rules:
  - {on: subscribe, to: "/alarm/{user}", allow: authenticated}
  - {deny: all}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	adminAddr := enginetest.FreeAddress(t)
	const adminToken = "sesame-sesame-sesame-sesame-sesame"
	cmd := command("serve", "--config", file, "--addr", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, "SWITCHBACK_ADMIN_ADDR="+adminAddr, "SWITCHBACK_ADMIN_TOKEN="+adminToken)
	p := startCommand(t, cmd)
	tokenOf := func(user string) string {
		status, token, stderr := finish(t, "token", "make", "--secret-file", secret, "--user", user, "--expires", "1h")
		if status != 0 {
			t.Fatal(stderr)
		}
		return strings.TrimSpace(token)
	}
	call := func(path, body string) string {
		t.Helper()
		r, _ := http.NewRequest(http.MethodPost, "http://"+adminAddr+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+adminToken)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return strconv.Itoa(res.StatusCode) + " " + strings.TrimSpace(string(text))
	}
	say := func(ws *websocket.Conn, frame, answer string) {
		t.Helper()
		if err := ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		if got := next(t, ws); !strings.HasPrefix(got, answer) {
			t.Fatalf("%q was answered with %q", frame, got)
		}
	}
	seven := tokenOf("7")
	logIn := func(token string) *websocket.Conn {
		t.Helper()
		ws := dial(t, p.url+"ws/websocket")
		say(ws, "CONNECT\naccept-version:1.2\nAuthorization:Bearer "+token+"\n\n\x00", "CONNECTED\n")
		return ws
	}
	for _, frame := range []string{
		"SUBSCRIBE\nid:1\ndestination:/alarm/8\n\n\x00",
		"SUBSCRIBE\nid:1\ndestination:/alarm/*\n\n\x00",
		"SEND\ndestination:/alarm/7\n\n9\x00",
	} {
		say(logIn(seven), frame, "ERROR\n")
	}
	ws := dial(t, p.url+"ws/websocket")
	say(ws, "CONNECT\naccept-version:1.2\n\n\x00", "ERROR\n") // nobody

	ws = logIn(seven)
	say(ws, "SUBSCRIBE\nid:1\ndestination:/alarm/7\nreceipt:r\n\n\x00", "RECEIPT\n")
	if got := call("/api/publish", `{"batch":[{"destination":"/alarm/8","payload":1},{"destination":"/alarm/7","payload":{"unread":2},"id":"m1"}]}`); got != `200 {"published":2}` {
		t.Error(got)
	}
	if got := next(t, ws); !strings.Contains(got, "\nmessage-id:m1\n") || !strings.HasSuffix(got, "\n\n{\"unread\":2}\x00") {
		t.Errorf("got %q", got)
	}
	if got := call("/api/disconnect", `{"user":"7","code":4001,"reason":"Logged out"}`); got != `200 {"closed":1}` {
		t.Error(got)
	}
	var end *websocket.CloseError
	if _, _, err := ws.ReadMessage(); !errors.As(err, &end) || end.Code != 4001 {
		t.Error(err)
	}

	// A ticket opens a session of SockJS, which is then its user's.
	answer := strings.TrimPrefix(call("/api/tickets", `{"token":"`+seven+`"}`), "200 ")
	var ticket struct{ Query string }
	if err := json.Unmarshal([]byte(answer), &ticket); err != nil || ticket.Query == "" {
		t.Fatal(answer)
	}
	for _, c := range []struct {
		query  string
		status int
	}{{"", 404}, {"?ticket=forged", 404}, {"?" + ticket.Query, 200}} {
		if c.query == "" { // the session's first request
			res, err := http.Post(p.url+"ws/000/s1/xhr?"+ticket.Query, "", nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("%v %v", res, err)
			}
			res.Body.Close()
		}
		res, err := http.Post(p.url+"ws/000/s1/xhr_send"+c.query, "", strings.NewReader(`["CONNECT\naccept-version:1.2\n\n\u0000"]`))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.StatusCode; got != c.status && !(c.status == 200 && got == 204) {
			t.Errorf("%q: %d, want %d", c.query, got, c.status)
		}
	}
	for _, hidden := range []string{seven, adminToken, strings.TrimPrefix(ticket.Query, "ticket=")} {
		if strings.Contains(p.stderr.String(), hidden) {
			t.Error("the log has what is secret")
		}
	}
}

// publishAlarm runs the publisher to its end.
func publishAlarm(t *testing.T, node string, env []string, args ...string) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, append([]string{filepath.Join(alarmDir, "publish.js")}, args...)...)
	cmd.Env = env
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// The packages that the page loads are pinned as those of the other tests are, from no
// registry in particular.
func TestAlarmPackagesAreThoseOfTheOtherTests(t *testing.T) {
	versions := func(dir string) map[string]string {
		text, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(`"resolved"`)) {
			t.Errorf("%s: the lock file names a registry", dir)
		}
		var lock struct {
			Packages map[string]struct{ Version, Integrity string }
		}
		if err := json.Unmarshal(text, &lock); err != nil {
			t.Fatal(err)
		}
		all := make(map[string]string)
		for name, p := range lock.Packages {
			all[name] = p.Version + " " + p.Integrity
		}
		return all
	}
	others := versions(driverDir)
	for _, name := range []string{"@stomp/stompjs", "sockjs-client", "stompjs", "webstomp-client"} {
		name = "node_modules/" + name
		if got := versions(alarmDir)[name]; got == "" || got != others[name] {
			t.Errorf("%s is %q; want %q", name, got, others[name])
		}
	}
}
