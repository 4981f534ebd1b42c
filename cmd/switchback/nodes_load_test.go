package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchback/handler/engine/enginetest"
	"switchback/transport/client"
	admin "switchback/web/admin/client"
)

// What idle sessions are held by, as processes of their own: one for each transport, of each
// node.
var idleTransports = []string{"websocket", "xhr-streaming", "xhr-polling"}

// Five nodes hold as many sessions each as one does alone, and a broadcast reaches each of them
// once. In make soak that is 18,000 a node, within 20,000 open files, and what a session and a
// delivery cost is told, beside one node alone: without heartbeats, which would come to the many
// before they are measured, and not to the few. Nodes and clients share the cores, so that a
// polling client may be late.
func TestNodesHoldSessionsUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("six nodes, and the processes of their clients")
	}
	each, messages, settle := 60, 3, 200*time.Millisecond
	if soak {
		each, messages, settle = 18000, 20, 10*time.Second
	}
	const config = "\nendpoints: [{path: /chat, handler: broadcast, heartbeat_delay: 10m, disconnect_delay: 1m}]\n"
	at := enginetest.FreeAddress(t)
	file := writeFile(t, "alone.yaml", "log_level: warn"+config)
	cmd := command("serve", "--config", file, "--addr", "127.0.0.1:0", "--admin-addr", at)
	cmd.Env = append(cmd.Env, "SWITCHBACK_ADMIN_TOKEN="+adminToken)
	one := &clusterNode{startCommand(t, cmd), at, admin.New("http://"+at, adminToken, nil)}
	alone := hold(t, []*clusterNode{one}, each, messages, settle)
	one.cmd.Process.Kill()
	five := hold(t, carry(t, "embedded").nodesOf(t, 5, config), each, messages, settle)
	if !soak {
		return
	}
	for _, h := range []struct {
		name string
		holding
	}{{"one node", alone}, {"five nodes", five}} {
		t.Logf("%s: %d sessions, %.2f KiB of memory a session, %.2f us of CPU a delivery, of %d; idle: %.1f %% of a core; opened in %v",
			h.name, h.sessions, h.memory/1024, h.cpu, h.deliveries, h.idle, h.opened.Round(time.Millisecond))
	}
	t.Logf("five over one: memory %.3f, CPU %.3f", five.memory/alone.memory, five.cpu/alone.cpu)
	if five.memory > 1.15*alone.memory {
		t.Errorf("a session of five nodes has %.0f bytes, of one %.0f", five.memory, alone.memory)
	}
}

// A holding is what sessions cost their servers, together.
type holding struct {
	sessions, deliveries int
	opened               time.Duration
	memory               float64 // bytes of a session
	cpu                  float64 // microseconds of a delivery, without what is spent idle
	idle                 float64 // percent of a core
}

// hold has each node hold sessions, sends them messages by the first, and holds that each
// session gets each once.
func hold(t *testing.T, nodes []*clusterNode, each, messages int, settle time.Duration) holding {
	t.Helper()
	time.Sleep(settle)
	base, begun := residentOf(t, nodes), time.Now()
	var clients []*idleClients
	var servers, all []int
	for _, n := range nodes {
		servers = append(servers, n.cmd.Process.Pid)
		for _, name := range idleTransports {
			clients = append(clients, n.idle(t, name, each/len(idleTransports), messages+1))
		}
	}
	all = slices.Clone(servers)
	for _, c := range clients {
		all = append(all, c.cmd.Process.Pid)
	}
	h := holding{sessions: len(nodes) * (each / len(idleTransports) * len(idleTransports))}
	h.deliveries = h.sessions * messages
	for open := 0; open < h.sessions; time.Sleep(50 * time.Millisecond) {
		open = 0
		for _, n := range nodes {
			open += n.sessions(t)
		}
		if time.Since(begun) > 10*patience {
			t.Fatalf("%d of %d sessions are open", open, h.sessions)
		}
	}
	h.opened = time.Since(begun)
	time.Sleep(settle)
	quiet := max(settle/2, time.Second)
	before, beforeAll := cpuOf(t, servers), cpuOf(t, all)
	time.Sleep(quiet)
	idle, idleAll := float64(cpuOf(t, servers)-before)/float64(quiet), float64(cpuOf(t, all)-beforeAll)/float64(quiet)
	h.idle = 100 * idle

	publisher, err := client.Dial(t.Context(), nodes[0].url+"chat", client.Options{Transports: []string{"raw-websocket"}})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	publish := func(i int) {
		if err := publisher.Send(fmt.Appendf(nil, "%064d", i)); err != nil {
			t.Fatal(err)
		}
	}
	before, begun = cpuOf(t, servers), time.Now()
	for i := range messages {
		publish(i)
		for busy := true; busy; { // where it is seen wrongly the next comes early, and no more
			const look = 300 * time.Millisecond
			from := cpuOf(t, all)
			time.Sleep(look)
			busy = float64(cpuOf(t, all)-from) > 2*idleAll*float64(look)+float64(30*time.Millisecond)
		}
	}
	h.cpu = (float64(cpuOf(t, servers)-before) - idle*float64(time.Since(begun))) / 1000 / float64(h.deliveries)

	time.Sleep(settle) // how fast they have been opened does not show any more
	h.memory = float64(residentOf(t, nodes)-base) / float64(h.sessions)

	publish(messages) // so that one that has come twice is one too many
	for _, c := range clients {
		c.want(t, messages+1)
	}
	return h
}

// idleClients are some of the sessions of a node, which are a process.
type idleClients struct {
	cmd         *exec.Cmd
	out, stderr bytes.Buffer
}

func (n *clusterNode) idle(t *testing.T, transport string, count, texts int) *idleClients {
	t.Helper()
	c := &idleClients{cmd: command("bench", "idle", n.url+"chat", "--json", "--transport", transport,
		"--sessions", strconv.Itoa(count), "--settle", "0s", "--hold", (20 * patience).String(), "--texts", strconv.Itoa(texts))}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	return c
}

// want holds that all have opened and stayed, and got so many texts each.
func (c *idleClients) want(t *testing.T, texts int) {
	t.Helper()
	var got struct {
		Sessions struct{ Asked, Opened, Lost int }
		Texts    struct{ Count, Fewest, Most int }
	}
	if err := c.cmd.Wait(); err != nil || json.Unmarshal(c.out.Bytes(), &got) != nil {
		t.Errorf("%v: %v %s%s", c.cmd.Args, err, &c.out, &c.stderr)
	}
	if s := got.Sessions; s.Opened != s.Asked || s.Lost != 0 || got.Texts.Fewest != texts || got.Texts.Most != texts {
		t.Errorf("%v: %s; want %d texts for each", c.cmd.Args, &c.out, texts)
	}
}

// sessions are those of a node.
func (n *clusterNode) sessions(t *testing.T) int {
	t.Helper()
	return int(metric(t, fetch(t, http.DefaultClient, "http://"+n.at+"/metrics"), `switchback_endpoint_sessions{endpoint="/chat"}`))
}

// residentOf is the memory that nodes use: what the Go runtime keeps for what comes next, up
// to as much again, is left out, as it differs from run to run.
func residentOf(t *testing.T, nodes []*clusterNode) (bytes int64) {
	t.Helper()
	for _, n := range nodes {
		metrics := collect(t, "http://"+n.at+"/")
		now, _ := rss(t, n.cmd.Process.Pid)
		bytes += now - int64(metric(t, metrics, "go_memstats_heap_idle_bytes")-metric(t, metrics, "go_memstats_heap_released_bytes"))
	}
	return bytes
}

// cpuOf is the time that processes have had on processors, in hundredths of a second.
func cpuOf(t *testing.T, pids []int) (used time.Duration) {
	t.Helper()
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Skip("no /proc here")
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, field := range fields[11:13] {
			ticks, _ := strconv.Atoi(field)
			used += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return used
}
