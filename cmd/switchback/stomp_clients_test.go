package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The STOMP libraries that front-ends use, in Node, against the command: the
// drivers in testdata/stomp do what a page does, and print what they see.

func TestSTOMPLibrariesAreServed(t *testing.T) {
	node := findNode(t)
	p := start(t, "serve", "--config", filepath.Join("..", "..", "testdata", "stomp.yaml"), "--addr", "127.0.0.1:0")
	for _, library := range []struct {
		name   string
		every  []string // more checks over every transport
		native []string // and over native WebSocket
	}{
		{"stompjs", nil, []string{"subprotocol"}},
		{"webstomp-client", nil, []string{"subprotocol", "oldest"}},
		{"@stomp/stompjs", []string{"goodbye"}, []string{"subprotocol"}},
	} {
		t.Run(library.name, func(t *testing.T) {
			t.Parallel()
			checks := drive(t, node, "clients.mjs", p.url+"ws", library.name)
			for _, transport := range []string{"native", "websocket", "xhr-streaming", "xhr-polling"} {
				want := slices.Concat(libraryChecks, library.every)
				if transport == "native" {
					want = append(want, library.native...)
				}
				got := checkNames(checks, transport)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%s: checked %q, want %q", transport, got, want)
				}
			}
		})
	}
}

// libraryChecks are what every library is put through over every transport.
var libraryChecks = []string{
	"connect", "headers", "unicode", "json", "order", "large", "receipts", "queue", "transaction", "unsubscribe", "frames",
	"disconnect", "refused", "refused-closed", "heart-beats",
}

// What is kept, as the libraries ask for it with headers that they know nothing of.
func TestSTOMPLibrariesMissNothing(t *testing.T) {
	node := findNode(t)
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", writeFile(t, "conf.yaml", `
endpoints: [{path: /ws, handler: stomp, raw_websocket: true}]
stomp:
  topics: [/topic, /alarm]
  logins: [{login: guest, passcode: guest}, {login: kim, passcode: kim}]
  heartbeat_send: 300ms
history: {topics: [{topics: "/topic/**"}, {topics: "/alarm/*", unread: true}]}
`))
	for _, library := range []string{"@stomp/stompjs", "stompjs"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			checks := drive(t, node, "history.mjs", p.url+"ws", library)
			for _, transport := range []string{"native", "websocket", "xhr-streaming", "xhr-polling"} {
				want := []string{"history", "cut-off", "gap", "unread"}
				if got := checkNames(checks, transport); !slices.Equal(got, want) {
					t.Errorf("%s: checked %q, want %q", transport, got, want)
				}
			}
		})
	}
}

// driverTimeout is more than the drivers give themselves.
const driverTimeout = 5 * time.Minute

// driverDir is where the drivers and their packages are.
var driverDir = filepath.Join("..", "..", "testdata", "stomp")

// Small applications whose front-ends were written for Spring: two by the
// command, two by Go programs.
func TestApplicationsAreServed(t *testing.T) {
	t.Parallel()
	node := findNode(t)
	apps := filepath.Join("..", "..", "testdata", "apps")
	for name, serve := range map[string]func(t *testing.T) (url string){
		"echo-time": func(t *testing.T) string { return startExample(t, "echotime") },
		"greeting":  func(t *testing.T) string { return startExample(t, "greeting") },
		"raw-echo": func(t *testing.T) string {
			return start(t, "serve", "--config", filepath.Join(apps, "raw-echo.yaml"), "--addr", "127.0.0.1:0").url + "ws"
		},
		"websocket": func(t *testing.T) string {
			return start(t, "serve", "--config", filepath.Join(apps, "websocket.yaml"), "--addr", "127.0.0.1:0").url + "websocket"
		},
	} {
		t.Run(name, func(t *testing.T) {
			if checks := drive(t, node, "apps.mjs", name, serve(t)); len(checks) == 0 {
				t.Error("nothing was checked")
			}
		})
	}
}

// startExample builds and runs a program of cmd/examples until the test ends,
// and returns its URL.
func startExample(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", program, "switchback/cmd/examples/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(program, "-addr", "127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	ready, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(ready, name+": "))
}

// A driverCheck is one line of a driver's report.
type driverCheck struct {
	Transport string
	Check     string
	OK        bool
	MS        int
	Error     string
}

// findNode finds Node. It skips the test where Node or a package is missing.
func findNode(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("not run with -short: the STOMP libraries")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("not run: the STOMP libraries, because there is no node on PATH; install Node.js 20 with npm")
	}
	if _, err := os.Stat(filepath.Join(driverDir, "node_modules", ".package-lock.json")); err != nil {
		t.Skip("not run: the STOMP libraries, because they are not installed; run npm ci in testdata/stomp")
	}
	return node
}

// drive runs a driver to its end, fails the test for each check that failed,
// and gives all of them.
func drive(t *testing.T, node, script string, args ...string) []driverCheck {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), driverTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, append([]string{script}, args...)...)
	cmd.Dir = driverDir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Errorf("%s %q: %v\n%s", script, args, err, stderr.String())
	}
	var checks []driverCheck
	for line := range bytes.Lines(stdout) {
		var c driverCheck
		if err := json.Unmarshal(line, &c); err != nil {
			t.Errorf("%s: %v in %q", script, err, line)
			continue
		}
		if !c.OK {
			t.Errorf("%s %s: %s (after %d ms)", c.Transport, c.Check, c.Error, c.MS)
		}
		checks = append(checks, c)
	}
	return checks
}

// checkNames are the checks over one transport.
func checkNames(checks []driverCheck, transport string) []string {
	var all []string
	for _, c := range checks {
		if c.Transport == transport {
			all = append(all, c.Check)
		}
	}
	return all
}
