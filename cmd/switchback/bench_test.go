package main

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// bench runs a bench command against the process, whose URL and id stand for
// URL and PID in args.
func (p *process) bench(args string) (status int, stdout, stderr string) {
	p.t.Helper()
	place := strings.NewReplacer("URL/", p.url, "PID", strconv.Itoa(p.cmd.Process.Pid))
	return finish(p.t, append([]string{"bench"}, strings.Fields(place.Replace(args))...)...)
}

func TestBenchPrintsOneJSONObject(t *testing.T) {
	t.Parallel()
	const config = `{log_level: error, endpoints: [{path: /echo, handler: echo}, {path: /broadcast, handler: broadcast}, {path: /ws, handler: stomp}]}`
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", writeFile(t, "conf.yaml", config))
	for args, want := range map[string]string{
		"idle URL/echo --json --pid PID --sessions 5 --hold 100ms --settle 0s":                            "bench hold memory sessions transport url",
		"echo URL/echo --json --pid PID --sessions 5 --time 100ms --warmup 10ms":                          "bench flow sessions transport url",
		"echo URL/echo --json --pid PID --transport xhr-polling --rate 100 --time 100ms --warmup 10ms":    "bench flow sessions transport url",
		"fanout URL/broadcast --json --pid PID --sessions 5 --time 100ms --warmup 10ms":                   "bench flow sessions transport url",
		"open URL/echo --json --pid PID --transport xhr-streaming --time 100ms --warmup 10ms --sources 3": "bench flow sessions transport url",
		"idle URL/ws --stomp --json --pid PID --sessions 5 --hold 100ms --destination=/a":                 "bench hold memory protocol sessions transport url",
	} {
		status, stdout, stderr := p.bench(args)
		var object map[string]any
		if err := json.Unmarshal([]byte(stdout), &object); status != 0 || err != nil {
			t.Fatalf("%s: %d %v\n%s%s", args, status, err, stdout, stderr)
		}
		keys := strings.Join(slices.Sorted(maps.Keys(object)), " ")
		if keys != want || object["bench"] != args[:strings.IndexByte(args, ' ')] {
			t.Errorf("%s: %s", args, stdout)
		}
	}
}

// Each load over TLS, to a certificate that nobody has signed.
func TestBenchOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeCertificate(t, dir)
	p := startSecure(t, dir, "")
	for _, args := range []string{
		"idle URL/echo --sessions 5 --hold 100ms --settle 0s",
		"idle URL/echo --sessions 5 --hold 100ms --settle 0s --transport xhr-polling",
		"echo URL/echo --sessions 5 --time 100ms --warmup 10ms",
		"echo URL/echo --sessions 5 --time 100ms --warmup 10ms --transport xhr-streaming",
		"open URL/echo --time 100ms --warmup 10ms",
	} {
		status, stdout, stderr := p.bench(args + " --insecure --json --pid PID")
		var r struct {
			Sessions struct{ Opened, Lost int }
			Flow     *struct{ Sent, Lost, Wrong int }
		}
		if err := json.Unmarshal([]byte(stdout), &r); status != 0 || err != nil {
			t.Fatalf("%s: %d %v\n%s%s", args, status, err, stdout, stderr)
		}
		if r.Sessions.Opened < 5 || r.Sessions.Lost > 0 || r.Flow != nil && (r.Flow.Sent == 0 || r.Flow.Lost+r.Flow.Wrong > 0) {
			t.Errorf("%s: %s", args, stdout)
		}
	}
	if status, _, stderr := p.bench("open URL/echo --time 100ms"); status != 1 || !strings.Contains(stderr, "certificate") {
		t.Errorf("without --insecure: %d\n%s", status, stderr)
	}
}

func TestBenchPrintsATable(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--log-level", "error")
	status, stdout, _ := p.bench("echo URL/echo --pid PID --time 100ms --warmup 10ms")
	want := regexp.MustCompile(`^echo +websocket at \S+/echo
sessions +64 of 64 opened in \S+ s, 0 lost
sent +\d+, \d+ received, 0 lost, 0 wrong
reached +\d+ /s for \S+ s
latency +p50 \S+ ms, p95 \S+, p99 \S+, max \S+
server CPU +\S+ us per message, \S+ % of a core
client CPU +\S+ us per message, \S+ % of a core
$`)
	if status != 0 || !want.MatchString(stdout) {
		t.Errorf("%d\n%s", status, stdout)
	}
}

func TestBenchEndsWithTheServer(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--log-level", "error")
	watcher := dial(t, p.url+"broadcast/websocket")
	go func() {
		for range 100 { // by then it measures
			if _, _, err := watcher.ReadMessage(); err != nil {
				return
			}
		}
		p.cmd.Process.Kill()
	}()
	status, stdout, stderr := p.bench("fanout URL/broadcast --sessions 20 --time 1h --warmup 0s")
	if status != 0 || !regexp.MustCompile(`sessions +21 of 21 opened in \S+ s, 21 lost`).MatchString(stdout) {
		t.Errorf("%d\n%s%s", status, stdout, stderr)
	}
}

func TestBenchHelpSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	_, overview, _ := finish(t, "bench", "--help")
	common := []string{"<url>", "--transport", "--pid", "--concurrency", "--sources", "--insecure", "--anywhere", "--json"}
	for command, flags := range map[string][]string{
		"idle":   {"--sessions", "--hold", "--settle", "--texts", "--heartbeat", "--stomp", "--destination", "/ws --stomp --transport xhr-streaming --pid PID"},
		"echo":   {"--sessions", "--size", "--inflight", "--rate", "--time", "--warmup"},
		"fanout": {"--sessions", "--size", "--publish", "--rate", "--time", "--warmup"},
		"open":   {"--time", "--warmup"},
	} {
		status, stdout, stderr := finish(t, "bench", command, "--help")
		for _, flag := range slices.Concat(common, flags) {
			if !strings.Contains(stdout, flag) {
				t.Errorf("%s: no %s", command, flag)
			}
		}
		if status != 0 || stderr != "" {
			t.Errorf("%s: %d\n%s", command, status, stderr)
		}
		if !strings.Contains(overview, "bench "+command) {
			t.Errorf("bench --help has no %s", command)
		}
	}
}

func TestWrongUseOfBenchExitsWithTwo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Parallel()
	for args, want := range map[string]string{
		"":     "idle",
		"echo": "<url>",
		"echo http://127.0.0.1/ --transport carrier-pigeon": "--transport must be one of",
		"echo http://127.0.0.1/ --sessions 0":               "--sessions is 0; it must be at least 1",
		"echo http://127.0.0.1/ --size 31":                  "--size is 31; it must be from 32 to 1048576",
		"echo http://127.0.0.1/ --rate 5 --inflight 2":      "--rate and --inflight are for different loads",
		"echo http://127.0.0.1/ --time 0s":                  "--time must be more than 0",
		"fanout http://127.0.0.1/ --rate=-1":                "--rate is -1; it must be at least 0",
		"open http://127.0.0.1/ --sources 255":              "--sources is 255; it must be from 0 to 254",
		"open http://127.0.0.1/ --concurrency 0":            "--concurrency is 0; it must be at least 1",
		"idle http://127.0.0.1/ --hold 0s":                  "--hold is 0s; it must be at least 1ms",
		"idle http://127.0.0.1/ --destination /topic/a":     "--destination is for --stomp",
	} {
		status, stdout, stderr := finish(t, append([]string{"bench"}, strings.Fields(args)...)...)
		if status != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: %d\n%s%s", args, status, stdout, stderr)
		}
	}
}

func TestBenchStaysOnThisMachine(t *testing.T) {
	status, stdout, stderr := finish(t, "bench", "echo", "http://192.0.2.1/echo")
	if status != 1 || stdout != "" || stderr != "switchback: 192.0.2.1 is not this machine; --anywhere allows it, if whoever runs it does\n" {
		t.Errorf("%d\n%s%s", status, stdout, stderr)
	}
}
