package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestServeSaysWhatItServesAndWhere(t *testing.T) {
	p := start(t, "serve", "--addr", "127.0.0.1:0")
	if want := "switchback: serving /echo /broadcast /chat and the page at " + p.url + "\n"; p.ready != want {
		t.Errorf("got %q", p.ready)
	}
	if host := strings.TrimPrefix(p.url, "http://127.0.0.1:"); host == p.url || host == "0/" {
		t.Errorf("at %s", p.url)
	}
	for path, want := range map[string]string{
		"":               "200 <!DOCTYPE html>",
		"chat.html":      "200 <!DOCTYPE html>",
		"chat":           "200 Welcome to SockJS!\n",
		"echo":           "200 Welcome to SockJS!\n",
		"broadcast/":     "200 Welcome to SockJS!\n",
		"echo/info":      `200 {"websocket":true`,
		"nowhere":        "404 404 page not found\n",
		"echo/a//xhr":    "404 ", // no redirect
		"echo/nowhere":   "404 ",
		"nowhere//below": "404 404 page not found\n",
	} {
		if got := fetch(t, http.DefaultClient, p.url+path); !strings.HasPrefix(got, want) {
			t.Errorf("/%s: got %.60q, want %q", path, got, want)
		}
	}
}

// What has been opened is closed where the address is not free: a file of history has no log
// beside it then.
func TestServeThatCannotListenClosesWhatItOpened(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, flag := range []string{"--addr", "--admin-addr"} {
		file := filepath.Join(t.TempDir(), "chat.db")
		cmd := command("serve", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", flag, ln.Addr().String())
		cmd.Env = append(cmd.Env, storeVariable+"=sqlite:"+file, "SWITCHBACK_ADMIN_TOKEN="+adminToken)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "in use") {
			t.Errorf("%s: %v %s", flag, err, out)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(file + "-wal"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the file of history was not closed: %v", flag, err)
		}
	}
}

func TestListedEndpointsAreServedWithoutThePage(t *testing.T) {
	file := writeFile(t, "conf.yaml", `
addr: 127.0.0.1:0
endpoints:
  - {path: /a/b, handler: echo, implementation: igm}
  - {path: /a, handler: close}
`)
	p := start(t, "serve", "--config", file)
	if want := "switchback: serving /a/b /a at " + p.url + "\n"; p.ready != want {
		t.Errorf("got %q", p.ready)
	}
	for path, want := range map[string]string{
		"":     "404 404 page not found\n",
		"a":    "200 Welcome to SockJS!\n",
		"a/b":  "200 Welcome to SockJS!\n",
		"a/b/": "200 Welcome to SockJS!\n",
	} {
		if got := fetch(t, http.DefaultClient, p.url+path); got != want {
			t.Errorf("/%s: got %q, want %q", path, got, want)
		}
	}
}

func TestEveryBroadcastIsARoomOfItsOwn(t *testing.T) {
	file := writeFile(t, "conf.yaml", "endpoints: [{path: /a, handler: broadcast}, {path: /b, handler: broadcast}]")
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", file)
	first, other := dial(t, p.url+"a/websocket"), dial(t, p.url+"b/websocket")
	says(t, first, "first")
	second := dial(t, p.url+"a/websocket")
	says(t, second, "second")
	if got := next(t, first); got != "second" {
		t.Errorf("the same room got %q", got)
	}
	says(t, other, "other") // and nothing of /a before
}

func TestIframePageLoadsTheClientThatTheFlagNames(t *testing.T) {
	file := writeFile(t, "conf.yaml", `endpoints: [{path: /echo, handler: echo, allowed_origins: ["*"]}, {path: /broadcast, handler: broadcast, allowed_origins: ["*"], client_url: /own.js}]`)
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", file, "--client-url", "https://cdn.example.com/s.js")
	for _, path := range []string{"echo/iframe.html", "broadcast/iframe.html"} {
		if got := fetch(t, http.DefaultClient, p.url+path); !strings.Contains(got, `src="https://cdn.example.com/s.js"`) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestHeadersOverTheLimitAreRefused(t *testing.T) {
	p := start(t, "serve", "--addr", "127.0.0.1:0")
	r, err := http.NewRequest(http.MethodGet, p.url+"echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 21<<10)) // net/http adds 4 KiB to the limit
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %s", response.Status)
	}
}

func TestSignalEndsEverySessionCleanly(t *testing.T) {
	for _, implementation := range []string{"switchback", "igm"} {
		for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
			t.Run(implementation+" "+signal.String(), func(t *testing.T) {
				file := writeFile(t, "conf.yaml", "endpoints: [{path: /echo, handler: echo, implementation: "+implementation+"}]")
				p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", file)
				stream := openStream(t, p.url+"echo/000/stream/xhr_streaming")
				sock := dial(t, p.url+"echo/000/socket/websocket")
				native := dial(t, p.url+"echo/websocket")
				if got := next(t, sock); got != "o" {
					t.Fatalf("websocket began with %q", got)
				}

				p.signal(signal)
				rest, err := io.ReadAll(stream)
				if want := `c[1001,"Server is going away"]` + "\n"; err != nil || string(rest) != want {
					t.Errorf("stream ended with %q, %v; want %q", rest, err, want)
				}
				if got, want := next(t, sock), `c[1001,"Server is going away"]`; got != want {
					t.Errorf("websocket got %q, want %q", got, want)
				}
				if implementation == "switchback" { // igm has no close frame here
					closes(t, sock, websocket.CloseGoingAway)
				}
				closes(t, native, websocket.CloseGoingAway)
				if status, took := p.wait(); status != 0 || took > 5*time.Second {
					t.Errorf("exit status %d after %v\n%s", status, took, p.stderr.String())
				}
				if _, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/")); err == nil {
					t.Error("the port is still open")
				}
			})
		}
	}
}

// A WebSocket peer that does not answer the close frame holds the shutdown up.
const patientConfig = "endpoints: [{path: /echo, handler: echo, close_timeout: 1h}]"

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", writeFile(t, "conf.yaml", patientConfig), "--shutdown-timeout", "1h")
	dial(t, p.url+"echo/websocket")
	p.signal(syscall.SIGTERM)
	p.logs("stopping")
	p.signal(syscall.SIGTERM)
	if status, took := p.wait(); status != -1 || took >= patience { // when it would be killed
		t.Errorf("exit status %d after %v", status, took)
	}
}

func TestShutdownTimeoutCutsWhatIsLeft(t *testing.T) {
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", writeFile(t, "conf.yaml", patientConfig), "--shutdown-timeout", "100ms")
	dial(t, p.url+"echo/websocket")
	p.signal(syscall.SIGTERM)
	if status, took := p.wait(); status != 0 {
		t.Errorf("exit status %d after %v", status, took)
	}
	if !strings.Contains(p.stderr.String(), "cut") {
		t.Errorf("logged %s", p.stderr.String())
	}
}

// fetch is the status and the body.
func fetch(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Status[:4] + string(body)
}

// openStream opens an xhr-streaming session, and reads up to its open frame.
func openStream(t *testing.T, url string) *bufio.Reader {
	t.Helper()
	response, err := http.Post(url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	body := bufio.NewReader(response.Body)
	prelude, err := body.ReadString('\n')
	if err != nil || len(prelude) != 2049 {
		t.Fatalf("prelude of %d bytes, %v", len(prelude), err)
	}
	if open, err := body.ReadString('\n'); err != nil || open != "o\n" {
		t.Fatalf("stream began with %q, %v", open, err)
	}
	return body
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func next(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	_, text, err := c.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// says sends text and checks that it is the next that comes back.
func says(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if got := next(t, c); got != text {
		t.Errorf("got %q, want %q", got, text)
	}
}

// closes checks that nothing comes but a close frame.
func closes(t *testing.T, c *websocket.Conn, code int) {
	t.Helper()
	_, text, err := c.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code {
		t.Errorf("got %q, %v; want a close frame with %d", text, err, code)
	}
}

// What a polling client has not fetched when the server is told to stop is served to it,
// on a connection of before or a new one; one that does not come is waited for no longer
// than the disconnect delay.
func TestPollsFetchWhatIsLeftAtTheEnd(t *testing.T) {
	t.Parallel()
	const config = `endpoints:
  - {path: /other, handler: echo}
  - {path: /echo, handler: echo, disconnect_delay: 4s}`
	for _, keep := range []bool{true, false} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			t.Parallel()
			p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", writeFile(t, "conf.yaml", config), "--shutdown-timeout", "1h")
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: !keep}}
			post := func(path, body string) string {
				response, err := client.Post(p.url+path, "text/plain", strings.NewReader(body))
				if err != nil {
					return err.Error()
				}
				defer response.Body.Close()
				answer, _ := io.ReadAll(response.Body)
				return response.Status[:4] + string(answer)
			}
			for _, id := range []string{"comes", "gone"} {
				post("echo/000/"+id+"/xhr", "")
				post("echo/000/"+id+"/xhr_send", `["left"]`)
			}
			p.signal(syscall.SIGTERM)
			p.logs("stopping")
			time.Sleep(100 * time.Millisecond)
			for _, c := range []struct{ path, want string }{
				{"echo/000/new/xhr", "503 Server is going away\n"},
				{"echo/000/comes/xhr", `200 a["left"]` + "\n"},
				{"echo/000/comes/xhr", `200 c[1001,"Server is going away"]` + "\n"},
			} {
				if got := post(c.path, ""); got != c.want {
					t.Errorf("%s: got %q, want %q", c.path, got, c.want)
				}
			}
			if status, took := p.wait(); status != 0 { // it would be killed
				t.Errorf("exit status %d after %v", status, took)
			}
			client.CloseIdleConnections()
		})
	}
}
