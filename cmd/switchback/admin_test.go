package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
)

const adminToken = "0123456789abcdef"

// startAdmin starts a server with an admin listener, and returns where that is.
func startAdmin(t *testing.T, yaml string, args ...string) (p *process, url string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"token":     adminToken + "\n",
		"conf.yaml": "admin: {addr: 127.0.0.1:0, token_file: token}\n" + yaml, // the name is relative to the file
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p = start(t, append([]string{"serve", "--addr", "127.0.0.1:0", "--config", filepath.Join(dir, "conf.yaml")}, args...)...)
	at := regexp.MustCompile(` and admin at (http://127\.0\.0\.1:\d+/)\n$`).FindStringSubmatch(p.ready)
	if at == nil {
		t.Fatalf("got %q", p.ready)
	}
	return p, at[1]
}

// administer runs a command that speaks to an admin listener, as the environment has it.
func administer(t *testing.T, url, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := command(args...)
	cmd.Env = append(cmd.Env, "SWITCHBACK_ADMIN_ADDR="+url, "SWITCHBACK_ADMIN_TOKEN="+adminToken)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return exitStatus(t, cmd.Wait()), out.String(), errs.String()
}

const adminEndpoints = `
stomp: {logins: [{login: ann, passcode: a}]}
endpoints:
  - {path: /ws, handler: stomp}
  - {path: /chat, handler: broadcast}
  - {path: /old, handler: broadcast, implementation: igm}
`

// stompClient connects ann, who subscribes to a destination.
func stompClient(t *testing.T, url, destination string) *websocket.Conn {
	t.Helper()
	c := dial(t, url+"ws/websocket")
	for _, frame := range []string{
		"CONNECT\naccept-version:1.2\nlogin:ann\npasscode:a\n\n\x00",
		"SUBSCRIBE\nid:0\nreceipt:r\ndestination:" + destination + "\n\n\x00",
	} {
		if err := c.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		next(t, c)
	}
	return c
}

func TestCommandsPublish(t *testing.T) {
	t.Parallel()
	p, url := startAdmin(t, adminEndpoints)
	chat, old := dial(t, p.url+"chat/websocket"), dial(t, p.url+"old/websocket")
	for _, c := range []*websocket.Conn{chat, old} {
		says(t, c, "here") // it has subscribed
	}
	ann := stompClient(t, p.url, "/user/queue/x")
	for _, c := range []struct {
		args  []string
		stdin string
		to    *websocket.Conn
		want  string
	}{
		{[]string{"/chat", `{"a": 1}`}, "", chat, `{"a":1}`},
		{[]string{"/chat", `{"a": 1}`, "--text"}, "", chat, `{"a": 1}`},
		{[]string{"/chat", "-", "--text"}, "from\na pipe", chat, "from\na pipe"},
		{[]string{"/old"}, `"<&>"`, old, `"<&>"`},
		{[]string{"/queue/x", "1", "--user", "ann"}, "", ann, "destination:/user/queue/x\n"},
		{[]string{"/user/ann/queue/x", "hi", "--text"}, "", ann, "content-type:text/plain"},
	} {
		status, stdout, stderr := administer(t, url, c.stdin, append([]string{"publish"}, c.args...)...)
		if status != 0 || stdout != "" || stderr != "" {
			t.Errorf("%q: %d %s%s", c.args, status, stdout, stderr)
			continue
		}
		if got := next(t, c.to); !strings.Contains(got, c.want) {
			t.Errorf("%q: got %q", c.args, got)
		}
	}
}

func TestCommandsListAndDisconnect(t *testing.T) {
	t.Parallel()
	p, url := startAdmin(t, adminEndpoints)
	ann, chat := stompClient(t, p.url, "/topic/x"), dial(t, p.url+"chat/websocket")
	_, stdout, _ := administer(t, url, "", "sessions")
	lines := strings.Split(stdout, "\n")
	if len(lines) != 4 || !regexp.MustCompile(`^ID +ENDPOINT +TRANSPORT +ADDRESS +USER +OPENED +QUEUED$`).MatchString(lines[0]) ||
		!regexp.MustCompile(`(?m)^\S+ +/ws +raw-websocket +127\.0\.0\.1 +ann +\d{4}-\S+Z +0$`).MatchString(stdout) ||
		!regexp.MustCompile(`(?m)^\S+ +/chat +raw-websocket +127\.0\.0\.1 +- +\d{4}-\S+Z +0$`).MatchString(stdout) {
		t.Errorf("got\n%s", stdout)
	}
	_, stdout, _ = administer(t, url, "", "sessions", "--json", "--endpoint", "/chat", "--transport", "raw-websocket")
	var only struct{ ID, Endpoint string }
	if err := json.Unmarshal([]byte(stdout), &only); err != nil || only.Endpoint != "/chat" {
		t.Fatalf("%v of %s", err, stdout)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--session", only.ID}, "closed 1\n"},
		{[]string{"--session", only.ID}, "closed 0\n"},
		{[]string{"--user", "ann", "--code", "4001", "--reason", "Logged out"}, "closed 1\n"},
	} {
		if status, stdout, stderr := administer(t, url, "", append([]string{"disconnect"}, c.args...)...); status != 0 || stdout != c.want {
			t.Errorf("%q: %d %s%s", c.args, status, stdout, stderr)
		}
	}
	closes(t, chat, 3000)
	closes(t, ann, 4001)
}

func TestCommandsSayWhatTheAPISays(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Parallel()
	_, url := startAdmin(t, adminEndpoints)
	bare := start(t, "serve", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
	without := regexp.MustCompile(`admin at (\S+)`).FindStringSubmatch(bare.ready)[1]
	wrong := writeFile(t, "token", "another\n")
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"sessions", "--admin", "127.0.0.1:1"}, 1, "Get \"http://127.0.0.1:1/api/sessions?\": dial tcp 127.0.0.1:1: connect: connection refused\n" +
			"Say with --admin or SWITCHBACK_ADMIN_ADDR where the admin listener of the server is, which has one with --admin-addr or admin.addr.\n"},
		{[]string{"sessions", "--transport", "xhr_polling"}, 1, "transport is \"xhr_polling\"; it must be websocket, "},
		{[]string{"publish", "/nowhere", "1"}, 1, "\"/nowhere\" begins with no prefix of stomp.topics or stomp.queues, is no user's, and no path of a broadcast.\n"},
		{[]string{"publish", "/chat", "1", "--token-file", wrong}, 1, "The header Authorization must be Bearer and the token of this listener.\n" +
			"Give the token of the server with --token-file or SWITCHBACK_ADMIN_TOKEN.\n"},
		{[]string{"publish", "/chat", "1", "--admin", without}, 1, "The server has no token, which this asks for: set admin.token_file or SWITCHBACK_ADMIN_TOKEN (in Go admin.Options.Token).\n"},
		{[]string{"publish", "/chat", "hi"}, 2, "the body is no JSON; with --text it goes as it is\n"},
		{[]string{"publish", "/chat", "1", "--admin", "nonsense"}, 2, `--admin (or SWITCHBACK_ADMIN_ADDR) is "nonsense"; it must be the URL or the address of a server's admin listener, such as 127.0.0.1:8082` + "\n"},
		{[]string{"publish", "/chat", "1", "--admin", bare.url}, 1, strings.TrimSuffix(bare.url, "/") + " answers 404 Not Found, and not as an admin listener does.\n"},
		{[]string{"publish", "/chat", "1", "--token-file", "nowhere"}, 1, "open nowhere: no such file or directory\n"},
		{[]string{"sessions", "--endpoint", "/x"}, 1, "There is no endpoint \"/x\" that lists its sessions.\n"},
		{[]string{"disconnect", "--user", "ann", "--code", "1"}, 1, "1 is no code that a session may be closed with: 1000, or 3000 to 4999, say.\n"},
		{[]string{"disconnect"}, 2, ""},
		{[]string{"disconnect", "--user", "ann", "--session", "x"}, 2, ""},
	} {
		status, stdout, stderr := administer(t, url, "", c.args...)
		if status != c.status || stdout != "" || !strings.HasPrefix(stderr, "switchback: "+c.want) {
			t.Errorf("%q: %d\n%s%s", c.args, status, stdout, stderr)
		}
		if strings.Contains(stderr, adminToken) {
			t.Errorf("%q tells the token: %s", c.args, stderr)
		}
	}
	for _, name := range []string{"publish", "sessions", "disconnect"} {
		if _, stdout, _ := finish(t, name, "--help"); !strings.Contains(stdout, "Example: switchback "+name) {
			t.Errorf("%s --help has no example", name)
		}
	}
}

func TestAdminIsThereUntilSessionsHaveEnded(t *testing.T) {
	p, url := startAdmin(t, patientConfig)
	c := dial(t, p.url+"echo/websocket")
	c.SetCloseHandler(func(int, string) error { return nil }) // gives no answer
	if got := fetch(t, http.DefaultClient, url+"readyz"); got != "200 ok\n" {
		t.Errorf("got %q", got)
	}
	p.signal(syscall.SIGTERM)
	p.logs("stopping")
	closes(t, c, websocket.CloseGoingAway)
	if got := fetch(t, http.DefaultClient, url+"readyz"); got != "503 draining\n" {
		t.Errorf("got %q", got)
	}
	if got := fetch(t, http.DefaultClient, url+"metrics"); !strings.Contains(got, `switchback_endpoint_closed_total{code="1001",endpoint="/echo"} 1`) {
		t.Errorf("got %s", got)
	}
	c.Close()
	if status, _ := p.wait(); status != 0 {
		t.Errorf("exit status %d\n%s", status, p.stderr.String())
	}
	if _, err := http.Get(url + "readyz"); err == nil {
		t.Error("the port is still open")
	}
}

func TestEnvironmentGoesBeforeTheFileOfTheAdminListener(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "token"), []byte("of-the-file"), 0o600)
	file := filepath.Join(dir, "conf.yaml")
	os.WriteFile(file, []byte("admin: {addr: 127.0.0.1:1, token_file: token}"), 0o600)
	if conf := mustParse(t, "--config", file); conf.admin != (adminConfig{"127.0.0.1:1", "of-the-file"}) {
		t.Errorf("got %+v", conf.admin)
	}
	t.Setenv("SWITCHBACK_ADMIN_ADDR", "127.0.0.1:2")
	t.Setenv("SWITCHBACK_ADMIN_TOKEN", "of-the-environment")
	if conf := mustParse(t, "--config", file); conf.admin != (adminConfig{"127.0.0.1:2", "of-the-environment"}) {
		t.Errorf("got %+v", conf.admin)
	}
	t.Setenv("SWITCHBACK_ADMIN_TOKEN", "two words")
	if _, err := parse(t); err == nil || strings.Contains(err.Error(), "words") {
		t.Errorf("got %v", err)
	}
}

func TestAdminThatCannotBeIsRefusedAtStart(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Chdir(t.TempDir())
	os.WriteFile("empty", []byte(" \n"), 0o600)
	for text, want := range map[string]string{
		"admin: {addr: 0.0.0.0:0}": "admin.addr (or --admin-addr, SWITCHBACK_ADMIN_ADDR): admin: 0.0.0.0:0 can be reached from other machines, and there is no token; " +
			"set admin.token_file or SWITCHBACK_ADMIN_TOKEN (in Go admin.Options.Token), or listen on 127.0.0.1\n",
		"admin: {addr: 127.0.0.1:0}\nendpoints: [{path: /topic/chat, handler: broadcast}, {path: /ws, handler: stomp}]": "admin: \"/topic/chat\" is the topic of a broadcast and a destination of STOMP: " +
			"choose another path for the one, or another prefix for the other\n",
		"admin: {addr: 127.0.0.1:0, token_file: empty}":   "conf.yaml:1: admin.token_file: empty holds no token; it must hold one, of letters, digits and signs without blanks: openssl rand -hex 32 makes one\n",
		"admin: {addr: 127.0.0.1:0, token_file: nowhere}": "conf.yaml:1: admin.token_file: open nowhere: no such file or directory\n",
		"admin: {addr: localhost}":                        "conf.yaml:1: admin.addr is \"localhost\"; it must be a host and port such as 127.0.0.1:8081, or :8081 for all interfaces\n",
		"admin: {token: x}":                               "conf.yaml:1: admin.token is not a known key; admin.token_file names the file that holds the token of the admin listener; auth, beside endpoints, says who is asking\n",
		"metrics: true":                                   "conf.yaml:1: metrics is not a known key; admin, beside endpoints, has addr, where /metrics and /healthz are, too, and token_file\n",
	} {
		os.WriteFile("conf.yaml", []byte(text), 0o600)
		status, stdout, stderr := finish(t, "serve", "--config", "conf.yaml", "--addr", "127.0.0.1:0")
		if status != 1 || stdout != "" || !strings.HasPrefix(stderr, "switchback: "+want) {
			t.Errorf("%s\n%d\n%s%s", text, status, stdout, stderr)
		}
	}
	// Where nobody speaks STOMP the destination is of one only.
	os.WriteFile("conf.yaml", []byte("endpoints: [{path: /topic/chat, handler: broadcast}]"), 0o600)
	start(t, "serve", "--config", "conf.yaml", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
}
