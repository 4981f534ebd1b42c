package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func TestRulesOfTheFileAreKept(t *testing.T) {
	text, err := os.ReadFile("../../testdata/config/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", writeFile(t, "conf.yaml", string(text)))
	url := strings.TrimSuffix(p.url, "/")
	for _, c := range []struct{ login, frame, want string }{
		{"login:kim\npasscode:kim\n", "SUBSCRIBE\nid:0\ndestination:/alarm/kim", "RECEIPT"},
		{"login:kim\npasscode:kim\n", "SUBSCRIBE\nid:0\ndestination:/alarm/lee", "ERROR"},
		{"login:kim\npasscode:kim\n", "SUBSCRIBE\nid:0\ndestination:/alarm/*", "ERROR"},
		{"login:*\npasscode:star\n", "SUBSCRIBE\nid:0\ndestination:/alarm/*", "ERROR"},
		{"login:kim\npasscode:kim\n", "SUBSCRIBE\nid:0\ndestination:/topic/open/**", "RECEIPT"},
		{"login:kim\npasscode:kim\n", "SEND\ndestination:/alarm/kim", "ERROR"},
		{"login:kim\npasscode:kim\n", "SEND\ndestination:/user/lee/queue/x", "ERROR"},
		{"login:kim\npasscode:kim\n", "SEND\ndestination:/topic/open/a", "RECEIPT"},
		{"login:kim\npasscode:kim\n", "SEND\ndestination:/api/echo", "RECEIPT"},
		{"login:*\npasscode:star\n", "SEND\ndestination:/api/echo", "ERROR"},
	} {
		ws := dial(t, url+"/ws/websocket")
		send(t, ws, "CONNECT\naccept-version:1.2\n"+c.login+"\n\x00"+c.frame+"\nreceipt:1\n\n\x00")
		next(t, ws)
		if got, _, _ := strings.Cut(next(t, ws), "\n"); got != c.want {
			t.Errorf("%q: got %s, want %s", c.frame, got, c.want)
		}
	}
	for path, want := range map[string]string{
		"/echo": "hello", "/room": "1008 Access denied: you may not send here", "/igm": "1008 Access denied: you may not send here",
	} {
		ws := dial(t, url+path+"/websocket")
		send(t, ws, "hello")
		_, text, err := ws.ReadMessage()
		got := string(text)
		if end, ok := err.(*websocket.CloseError); ok {
			got = fmt.Sprint(end.Code, " ", end.Text)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// Who may not subscribe to an endpoint's path is refused with 403, by every transport.
func TestRulesRefuseSessions(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", writeFile(t, "conf.yaml", `
endpoints:
  - {path: /a, handler: echo}
  - {path: /b, handler: echo}
rules:
  - {to: /a, allow: authenticated}
`))
	for _, path := range []string{"a/0/x/xhr", "a/0/x/xhr_streaming", "b/0/x/xhr"} {
		response, err := http.Post(p.url+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "Access denied.") {
			t.Errorf("%s: %d %s", path, response.StatusCode, body)
		}
	}
	_, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.url, "http")+"a/websocket", nil)
	if err == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("websocket: %v, %v", err, response)
	}
}

func TestConfigCheckSaysWhatIsSo(t *testing.T) {
	t.Chdir("../../testdata/config")
	var got strings.Builder
	for _, args := range []string{
		"rules.yaml",
		"rules.yaml --connect",
		"rules.yaml --subscribe /alarm/kim",
		"rules.yaml --as kim --subscribe /alarm/kim",
		"rules.yaml --as kim --subscribe /alarm/*",
		"rules.yaml --as kim --send /topic/x",
		"rules.yaml --as kim --send /api/echo",
		"rules.yaml --as lee --send /api/echo",
		"rules.yaml --as lee --role staff --role ops --send /api/echo",
		"rules.yaml --subscribe /echo",
		"rules.yaml --as kim --create /room/a",
		"rules.yaml --as kim --join /room/a",
		"rules.yaml --join /room/a",
		"rules.yaml --as lee --read /room/a/b",
		"settings.yaml --as kim --send /topic/x",
		"bad/rules_connect.yaml --connect",
		"bad/duplicate.yaml",
		"nowhere.yaml",
		"rules.yaml --as kim",
		"rules.yaml --role admin --connect",
		"rules.yaml --connect --send /a",
	} {
		status, stdout, stderr := finish(t, append([]string{"config", "check"}, strings.Fields(args)...)...)
		fmt.Fprintf(&got, "$ switchback config check %s\n%s%sexit %d\n\n", args, stdout, stderr, status)
	}
	golden(t, "check.txt", got.String())
}
