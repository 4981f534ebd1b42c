package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/web"
)

// The test page in a headless Firefox, over TLS: it has a TLS library and an HTTP/2 of its
// own, which Chromium's do not stand for.
func TestPageEchoesInFirefoxByTLS(t *testing.T) {
	for name, prefs := range map[string]string{
		"h2":       "",
		"http/1.1": `user_pref("network.http.http2.enabled", false);`,
	} {
		t.Run(name, func(t *testing.T) {
			f := startFirefox(t, prefs)
			dir := t.TempDir()
			writeCertificate(t, dir)
			url := startSecure(t, dir, "").url
			for _, transport := range pageTransports {
				t.Run(transport, func(t *testing.T) {
					f.t = t
					f.call("browsingContext.navigate", map[string]any{"context": f.tab, "url": url, "wait": "complete"}, nil)
					if got := f.echoes(transport); got != name+" "+transport {
						t.Errorf("got %s", got)
					}
					for _, complaint := range f.complaints {
						t.Errorf("the console says: %s", complaint)
					}
					f.complaints = nil
				})
			}
		})
	}
}

// A firefox is a browser with one tab, by WebDriver BiDi. Its methods fail the test where
// it does not do what they ask for.
type firefox struct {
	t          *testing.T
	conn       *websocket.Conn
	tab        string
	commands   int
	complaints []string // of the console: errors and warnings
}

// startFirefox starts a Firefox with a profile of its own, which takes any certificate, and
// ends it with the test. It skips the test where there is no Firefox or no client.
func startFirefox(t *testing.T, prefs string) *firefox {
	t.Helper()
	if testing.Short() {
		t.Skip("not run with -short: the page in a browser")
	}
	if web.ClientPath() == "" {
		t.Skip("not run: the page in a browser, because sockjs-client is not embedded; make puts it into web/client")
	}
	program, err := exec.LookPath("firefox-esr")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("not run: the page in Firefox, because there is no firefox-esr; apt-get install firefox-esr")
	}
	profile := t.TempDir()
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(prefs), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0")
	cmd.Env = append(os.Environ(), "HOME="+profile)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	f := &firefox{t: t, conn: dialBiDi(t, filepath.Join(profile, "WebDriverBiDiServer.json"))}
	t.Cleanup(func() { f.conn.Close() })
	f.call("session.new", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"acceptInsecureCerts": true}}}, nil)
	f.call("session.subscribe", map[string]any{"events": []string{"log.entryAdded"}}, nil)
	var tree struct{ Contexts []struct{ Context string } }
	f.call("browsingContext.getTree", map[string]any{}, &tree)
	f.tab = tree.Contexts[0].Context
	return f
}

// dialBiDi waits until Firefox has written where it listens.
func dialBiDi(t *testing.T, file string) *websocket.Conn {
	t.Helper()
	var at struct {
		Host string `json:"ws_host"`
		Port int    `json:"ws_port"`
	}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(file)
		if err == nil && json.Unmarshal(text, &at) == nil && at.Port != 0 {
			break
		}
		if time.Since(begun) > pageTimeout {
			t.Fatalf("Firefox does not listen: %v", err)
		}
	}
	c, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%s:%d/session", at.Host, at.Port), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// call gives a command, and takes events until its result has come.
func (f *firefox) call(method string, params, result any) {
	f.t.Helper()
	f.commands++
	f.conn.SetReadDeadline(time.Now().Add(pageTimeout))
	if err := f.conn.WriteJSON(map[string]any{"id": f.commands, "method": method, "params": params}); err != nil {
		f.t.Fatal(err)
	}
	for {
		var m struct {
			Type, Error, Message string
			ID                   int
			Result               json.RawMessage
			Params               struct{ Level, Text string }
		}
		switch err := f.conn.ReadJSON(&m); {
		case err != nil:
			f.t.Fatalf("%s: %v", method, err)
		case m.Type == "event":
			if p := m.Params; (p.Level == "error" || p.Level == "warn") && !strings.HasPrefix(p.Text, prescribed) {
				f.complaints = append(f.complaints, p.Text)
			}
			continue
		case m.ID != f.commands:
			continue
		case m.Type == "error":
			f.t.Fatalf("%s: %s: %s", method, m.Error, m.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				f.t.Fatalf("%s: %v: %s", method, err, m.Result)
			}
		}
		return
	}
}

// echoScript does with the page what a reader does.
const echoScript = `async (transport, ...texts) => {
	const byID = (id) => document.getElementById(id);
	const until = async (what, ok) => {
		for (const end = Date.now() + 15000; !ok(); await new Promise((done) => setTimeout(done, 10)))
			if (Date.now() > end) throw new Error("wait for " + what + "; the page shows:\n" + document.body.innerText);
	};
	const is = (state) => until(state, () => byID("main").dataset.state === state);
	const see = (kind, text) => until(kind + " " + text, () =>
		[...document.querySelectorAll("li[data-kind=" + kind + "] .text")].some((row) => row.textContent === text));
	if (transport === "htmlfile") document.domain = document.domain; // as its page does, which may not call this one else
	await is("closed");
	byID("endpoint").value = "/echo";
	byID("transport").value = transport;
	byID("connect").click();
	await is("open");
	const used = byID("transport-used").textContent;
	for (const text of texts) {
		byID("message").value = text;
		byID("send").click();
		await see("message", text);
	}
	byID("connect").click();
	await see("close", "1000 Normal closure");
	await is("closed");
	return performance.getEntriesByType("navigation")[0].nextHopProtocol + " " + used;
}`

// echoes has the page's texts echoed, and returns by which protocol and transport.
func (f *firefox) echoes(transport string) string {
	f.t.Helper()
	arguments := []map[string]string{{"type": "string", "value": transport}}
	for _, text := range pageTexts(transport) {
		arguments = append(arguments, map[string]string{"type": "string", "value": text})
	}
	var done struct {
		Result           struct{ Value string }
		ExceptionDetails struct{ Text string }
	}
	f.call("script.callFunction", map[string]any{
		"functionDeclaration": echoScript, "arguments": arguments, "target": map[string]string{"context": f.tab}, "awaitPromise": true,
	}, &done)
	return done.Result.Value + done.ExceptionDetails.Text
}
