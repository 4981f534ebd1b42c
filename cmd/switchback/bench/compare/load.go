package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// A load is one call of the bench command, and the rows that come of it.
type load struct {
	name    string
	command string // idle, echo, fanout or open
	flags   []string
	metrics []metric
	sizes   map[string][]string // more flags, by the server's name

	// overload is a load that need not arrive within the time.
	overload bool
}

// A metric is one figure of a result.
type metric struct {
	name   string // after the load's
	unit   string
	digits int // after the point
	of     func(r *result) float64
}

// A result is what bench --json prints, as far as it is used here.
type result struct {
	Sessions struct {
		Asked, Opened, Lost int
	}
	Memory struct {
		PerSession float64 `json:"per_session_bytes"`
	}
	Hold struct {
		Server cpu `json:"server_cpu"`
	}
	Heartbeats struct {
		Overdue int
		Late    latency `json:"late_ms"`
	}
	Flow struct {
		Sent, Lost, Wrong int64
		PerSecond         float64 `json:"per_second"`
		Latency           latency `json:"latency_ms"`
		Server            cpu     `json:"server_cpu"`
	}
	Notes []string

	failure string // why there is no result
}

type latency struct{ P50, P99, Max float64 }

type cpu struct {
	PerUnit float64 `json:"us_per_unit"`
	Percent float64 `json:"percent_of_core"`
}

var (
	memory     = metric{"", "KiB", 1, func(r *result) float64 { return r.Memory.PerSession / 1024 }}
	cpuPerUnit = metric{"", "us", 1, func(r *result) float64 { return r.Flow.Server.PerUnit }}
)

// transports are those that are compared.
var transports = []string{"websocket", "xhr-streaming", "xhr-polling"}

// loads are the rows of the comparison.
func loads(quick bool) []load {
	held, timing := flags("--sessions=5000", "--hold=5s"), flags("--time=3s")
	if quick {
		held, timing = flags("--sessions=2000", "--settle=500ms", "--hold=1s"), flags("--time=1s", "--warmup=500ms")
	}
	var all []load
	for _, t := range transports {
		all = append(all, load{name: "memory per idle session, " + t, command: "idle", flags: over(t, held...), metrics: []metric{memory}})
	}
	for _, t := range transports {
		all = append(all, load{name: "CPU per echo, 64 sessions, " + t, command: "echo", flags: over(t, timing...), metrics: []metric{cpuPerUnit}})
	}
	for _, t := range transports {
		all = append(all, load{name: "CPU per delivery, broadcast to 1,000, " + t, command: "fanout", flags: over(t, timing...), metrics: []metric{cpuPerUnit}})
	}
	return append(all,
		load{name: "broadcast at 1,500 /s to 500, websocket", command: "fanout", overload: true,
			flags: over("websocket", append(timing, "--sessions=500", "--rate=1500")...),
			metrics: []metric{
				{": deliveries", "/s", 0, func(r *result) float64 { return r.Flow.PerSecond }},
				{": p50", "ms", 1, func(r *result) float64 { return r.Flow.Latency.P50 }},
				{": p99", "ms", 1, func(r *result) float64 { return r.Flow.Latency.P99 }},
				{": CPU per delivery", "us", 2, cpuPerUnit.of},
			}},
		load{name: "CPU per session opened, websocket", command: "open", flags: over("websocket", timing...), metrics: []metric{cpuPerUnit}})
}

func flags(f ...string) []string { return f }

func over(transport string, rest ...string) []string {
	return append([]string{"--transport=" + transport}, rest...)
}

// Servers of scaleLoads: this one, with many sessions and with few.
const many, few = "many", "few"

// scaleLoads are the same with few sessions and with many: as many as the
// system allows. Few have as many messages and deliveries a second as many have, so
// that no frame holds more of them. The warm-up is long enough for the heap to reach
// its size, which it does later with many. Idle ones are held for as long as two
// heartbeats take, so that the CPU is that of any time, once the server has tidied up
// after their opening, and each has had its first heartbeat.
func scaleLoads(quick bool) []load {
	hold, timing := flags("--settle=35s", "--hold=50s"), flags("--time=5s", "--warmup=3s")
	if quick {
		hold, timing = flags("--hold=2s"), flags("--time=1s")
	}
	held := []metric{
		memory,
		{": sessions", "", 0, func(r *result) float64 { return float64(r.Sessions.Opened) }},
		{": CPU", "% of a core", 2, func(r *result) float64 { return r.Hold.Server.Percent }},
		{": latest heartbeat", "ms late", 0, func(r *result) float64 { return r.Heartbeats.Late.Max }},
	}
	var all []load
	for _, t := range transports {
		all = append(all,
			load{name: "memory per idle session of 100,000 and 5,000, " + t, command: "idle", flags: over(t, hold...), metrics: held,
				sizes: map[string][]string{many: flags("--sessions=100000"), few: flags("--sessions=5000")}},
			load{name: "CPU per echo at 5,000 /s, 10,000 and 100 sessions, " + t, command: "echo", flags: over(t, append(timing, "--rate=5000")...), metrics: []metric{cpuPerUnit},
				sizes: map[string][]string{many: flags("--sessions=10000"), few: flags("--sessions=100")}},
			load{name: "CPU per delivery at 10,000 /s, to 10,000 and 100, " + t, command: "fanout", flags: over(t, timing...), metrics: []metric{cpuPerUnit},
				sizes: map[string][]string{many: flags("--sessions=10000", "--rate=1"), few: flags("--sessions=100", "--rate=100")}})
	}
	return all
}

// run puts the load on a server.
func (l load) run(ctx context.Context, binary string, p *process) (r result, err error) {
	endpoint := "/echo"
	if l.command == "fanout" {
		endpoint = "/broadcast"
	}
	args := append([]string{"bench", l.command, p.url + endpoint, "--json", "--pid", strconv.Itoa(p.cmd.Process.Pid)}, l.flags...)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
	}
	return r, json.Unmarshal(stdout.Bytes(), &r)
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// broken tells what a server did not do, or nothing.
func (l load) broken(r *result) string {
	s, f := &r.Sessions, &r.Flow
	switch {
	case r.failure != "":
		return r.failure
	case s.Lost > 0:
		return fmt.Sprintf("lost %d of %d sessions", s.Lost, s.Opened)
	case s.Opened < s.Asked && len(r.Notes) == 0:
		return fmt.Sprintf("opened %d of %d sessions", s.Opened, s.Asked)
	case f.Wrong > 0:
		return fmt.Sprintf("%d wrong messages", f.Wrong)
	case f.Lost > 0 && !l.overload:
		return fmt.Sprintf("lost %d of %d messages", f.Lost, f.Sent)
	}
	return ""
}
