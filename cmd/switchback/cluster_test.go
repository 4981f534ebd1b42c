package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"switchback/handler/engine/enginetest"
	"switchback/transport/client"
	admin "switchback/web/admin/client"
)

// A carrier is a server that carries publications between the nodes of a test.
type carrier struct {
	kind        string // nats, redis or embedded
	addr        string
	cut, resume func()
	engine      string // of the configuration
}

// carry starts a carrier.
func carry(t *testing.T, kind string) *carrier {
	t.Helper()
	c := &carrier{kind: kind, addr: enginetest.FreeAddress(t), engine: "nats: embedded"}
	switch kind {
	case "nats":
		c.engine = "nats: nats://" + c.addr
		var s *natsserver.Server
		c.resume = func() {
			at, err := net.ResolveTCPAddr("tcp", c.addr)
			if err != nil {
				t.Fatal(err)
			}
			if s, err = natsserver.NewServer(&natsserver.Options{Host: at.IP.String(), Port: at.Port, NoLog: true, NoSigs: true}); err != nil {
				t.Fatal(err)
			}
			if s.Start(); !s.ReadyForConnections(patience) {
				t.Fatal("the server does not begin")
			}
		}
		c.cut = func() { s.Shutdown(); s.WaitForShutdown() }
	case "redis":
		if _, err := exec.LookPath("redis-server"); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip("redis-server is not here: apt-get install redis-server")
		}
		c.engine = "redis: redis://" + c.addr
		host, port, _ := net.SplitHostPort(c.addr)
		dir := t.TempDir()
		var cmd *exec.Cmd
		c.resume = func() {
			cmd = exec.Command("redis-server", "--port", port, "--bind", host, "--dir", dir, "--save", "", "--appendonly", "no")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
				if conn, err := net.Dial("tcp", c.addr); err == nil {
					conn.Close()
					return
				}
				if time.Since(begun) > patience {
					t.Fatal("redis-server does not begin")
				}
			}
		}
		c.cut = func() { cmd.Process.Kill(); cmd.Wait() }
	default:
		return c
	}
	c.resume()
	t.Cleanup(func() { c.cut() })
	return c
}

// A clusterNode is one process of a cluster.
type clusterNode struct {
	*process
	at    string // its admin listener
	admin *admin.Client
}

const clusterSecret = "a-secret-of-the-tests-that-is-long-enough"

// nodes starts some over a carrier, with /ws for STOMP and /chat, which broadcasts. Each user
// of STOMP has the password that is its name.
func (c *carrier) nodes(t *testing.T, count int) []*clusterNode {
	t.Helper()
	return c.nodesOf(t, count, `
endpoints: [{path: /ws, handler: stomp}, {path: /chat, handler: broadcast}, {path: /echo, handler: echo}]
stomp: {logins: [{login: ann, passcode: ann}, {login: bob, passcode: bob}]}
`)
}

// nodesOf starts nodes of a configuration over a carrier.
func (c *carrier) nodesOf(t *testing.T, count int, config string) []*clusterNode {
	t.Helper()
	file := writeFile(t, "cluster.yaml", fmt.Sprintf("log_level: warn\ncluster: {name: test}\nengine: {%s}\n%s", c.engine, config))
	all := make([]*clusterNode, count)
	var started sync.WaitGroup
	for i := range all {
		at := enginetest.FreeAddress(t)
		args := []string{"serve", "--config", file, "--addr", "127.0.0.1:0", "--admin-addr", at}
		if c.kind == "embedded" {
			listen := c.addr
			if i > 0 {
				listen = enginetest.FreeAddress(t)
			}
			args = append(args, "--cluster-listen", listen, "--node-seed", c.addr)
		}
		cmd := command(args...)
		cmd.Env = append(cmd.Env, "SWITCHBACK_ADMIN_TOKEN="+adminToken, secretVariable+"="+clusterSecret)
		started.Go(func() {
			all[i] = &clusterNode{startCommand(t, cmd), at, admin.New("http://"+at, adminToken, nil)}
		})
	}
	started.Wait()
	for _, n := range all {
		n.knows(t, count-1)
	}
	return all
}

// knows waits until a node knows so many others.
func (n *clusterNode) knows(t *testing.T, count int) admin.Cluster {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		c, err := n.admin.Cluster(t.Context())
		if err == nil && len(c.Nodes) == count {
			return c
		}
		if time.Since(begun) > patience {
			t.Fatalf("%+v, %v; want %d nodes\n%s", c, err, count, n.stderr.String())
		}
	}
}

// A stompPeer is a client of STOMP over native WebSocket.
type stompPeer struct {
	t *testing.T
	*client.Conn
}

func (n *clusterNode) stomp(t *testing.T, user string) *stompPeer {
	t.Helper()
	conn, err := client.Dial(t.Context(), n.url+"ws", client.Options{Transports: []string{"raw-websocket"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &stompPeer{t, conn}
	c.send("CONNECT\naccept-version:1.2\nlogin:" + user + "\npasscode:" + user + "\n\n\x00")
	c.next("CONNECTED")
	return c
}

func (c *stompPeer) send(frame string) {
	c.t.Helper()
	if err := c.Send([]byte(frame)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *stompPeer) subscribe(destination string) {
	c.t.Helper()
	c.send("SUBSCRIBE\nid:" + destination + "\nreceipt:r\ndestination:" + destination + "\n\n\x00")
	c.next("RECEIPT")
}

// next returns the next frame, which begins so.
func (c *stompPeer) next(command string) string {
	c.t.Helper()
	frame, err := c.within(patience)
	if err != nil || !strings.HasPrefix(frame, command) {
		c.t.Fatalf("got %q, %v; want %s", frame, err, command)
	}
	return frame
}

func (c *stompPeer) within(d time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	text, err := c.Recv(ctx)
	return string(text), err
}

func bodyOf(frame string) string {
	_, body, _ := strings.Cut(frame, "\n\n")
	return strings.TrimSuffix(body, "\x00")
}

// While the server is away nobody is closed, those of one node go on hearing each other, and
// what the others publish arrives afterwards: all of it, and in order. The server is away for 2
// seconds, in make soak for 20, under 200 publications of 256 bytes a second of each of three
// nodes.
func TestEngineOutageUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes and a server that goes away")
	}
	away, rate := 2*time.Second, 200
	if soak {
		away = 20 * time.Second
	}
	for _, kind := range []string{"nats", "redis"} {
		t.Run(kind, func(t *testing.T) {
			c := carry(t, kind)
			nodes := c.nodes(t, 3)
			var received [3][3]atomic.Int64 // at a node, of a node
			var faults atomic.Int64
			var readers, publishers sync.WaitGroup
			stop := make(chan struct{})
			var counts [3]atomic.Int64
			for at, n := range nodes {
				for range 3 {
					s := n.stomp(t, "ann")
					s.subscribe("/topic/all")
					readers.Go(func() {
						var next [3]int
						for {
							frame, err := s.within(time.Minute)
							if err != nil {
								return
							}
							var from, i int
							if body := bodyOf(frame); body == "end" {
								return
							} else if fmt.Sscan(body, &from, &i); i != next[from] {
								faults.Add(1)
								t.Errorf("node %d got %d of node %d, want %d", at, i, from, next[from])
								next[from] = i
							}
							next[from]++
							received[at][from].Add(1)
						}
					})
				}
			}
			for at, n := range nodes {
				p := n.stomp(t, "bob")
				publishers.Go(func() {
					tick := time.NewTicker(time.Second / time.Duration(rate))
					defer tick.Stop()
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						case <-tick.C:
						}
						body := fmt.Sprintf("%d %d ", at, i)
						p.send("SEND\ndestination:/topic/all\n\n" + body + strings.Repeat("x", 256-len(body)) + "\x00")
						counts[at].Add(1)
					}
				})
			}
			time.Sleep(300 * time.Millisecond)
			c.cut()
			time.Sleep(away)
			for at := range nodes { // their own have had theirs
				for begun, goal := time.Now(), counts[at].Load(); received[at][at].Load() < 3*goal; time.Sleep(time.Millisecond) {
					if time.Since(begun) > patience {
						t.Fatalf("node %d has %d of its own %d", at, received[at][at].Load()/3, goal)
					}
				}
			}
			c.resume()
			back := time.Now()
			goal := counts[0].Load()
			for at := range nodes {
				for from := range nodes {
					for received[at][from].Load() < 3*goal*9/10 {
						if time.Since(back) > patience {
							t.Fatalf("node %d has %d of node %d's %d", at, received[at][from].Load()/3, from, goal)
						}
						time.Sleep(time.Millisecond)
					}
				}
			}
			t.Logf("away for %v: %d publications of each node, caught up %d ms after it was back", away, goal, time.Since(back).Milliseconds())
			time.Sleep(300 * time.Millisecond)
			close(stop)
			publishers.Wait()
			for at := range nodes {
				for from := range nodes {
					for begun := time.Now(); received[at][from].Load() < 3*counts[from].Load(); time.Sleep(time.Millisecond) {
						if time.Since(begun) > patience {
							t.Fatalf("node %d has %d of node %d's %d", at, received[at][from].Load()/3, from, counts[from].Load())
						}
					}
				}
			}
			nodes[0].admin.Send(t.Context(), "/topic/all", "end")
			readers.Wait()
			for _, n := range nodes {
				if c := n.knows(t, 2); c.Losses != 0 || !c.Connected {
					t.Errorf("got %+v", c)
				}
				if text := n.stderr.String(); strings.Count(text, "not connected") != 1 || strings.Contains(text, "ERROR") {
					t.Errorf("log: %s", text)
				}
			}
		})
	}
}

// What is sent to a user on another node as soon as his SUBSCRIBE is answered arrives, as what
// is sent to a topic or a pattern.
func TestPromptMessagesReachOtherNodesLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes, over three kinds of servers")
	}
	count := 1000
	if soak {
		count = 10000
	}
	for _, kind := range []string{"embedded", "nats", "redis"} {
		t.Run(kind, func(t *testing.T) {
			nodes := carry(t, kind).nodes(t, 3)
			sessions := []*stompPeer{nodes[0].stomp(t, "ann"), nodes[1].stomp(t, "ann")}
			senders := []*stompPeer{nodes[2].stomp(t, "bob"), nodes[1].stomp(t, "bob"), nodes[0].stomp(t, "bob")}
			for i := range count {
				kind := i % 10
				to, destination, send := sessions[i%2], fmt.Sprint("/user/queue/", i), fmt.Sprint("/user/ann/queue/", i)
				if kind == 8 {
					destination = fmt.Sprint("/topic/", i)
					send = destination
				} else if kind == 9 {
					destination, send = fmt.Sprintf("/topic/%d/*", i), fmt.Sprintf("/topic/%d/x", i)
				}
				to.subscribe(destination)
				from := senders[(i+1)%3]
				from.send(fmt.Sprintf("SEND\ndestination:%s\n\n%d\x00", send, i))
				if got := bodyOf(to.next("MESSAGE")); got != fmt.Sprint(i) {
					t.Fatalf("%s: got %q, want %d", destination, got, i)
				}
				to.send("UNSUBSCRIBE\nid:" + destination + "\n\n\x00")
			}
			for _, s := range sessions {
				s.subscribe("/user/queue/all")
			}
			if err := nodes[2].admin.SendToUser(t.Context(), "ann", "/queue/all", "to both"); err != nil {
				t.Error(err)
			}
			for _, s := range sessions {
				if got := bodyOf(s.next("MESSAGE")); got != "to both" {
					t.Errorf("got %q", got)
				}
			}
			if closed, err := nodes[2].admin.Disconnect(t.Context(), admin.Disconnection{User: "ann"}); err != nil || closed != 0 {
				t.Errorf("%d, %v", closed, err)
			}
			for _, s := range sessions {
				if frame, err := s.within(patience); err == nil {
					t.Errorf("got %q, want the end", frame)
				}
			}
		})
	}
}

// The configurations of testdata/cluster start as they stand, and their nodes hear each other;
// so they do where a node has been told of one that comes later.
func TestClusterConfigurations(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs ports of their own")
	}
	t.Parallel()
	for _, kind := range []string{"nats-embedded", "nats", "redis"} {
		t.Run(kind, func(t *testing.T) {
			name := filepath.Join("../../testdata/cluster", kind+".yaml")
			var more [2][]string
			if kind == "nats-embedded" {
				first, second := enginetest.FreeAddress(t), enginetest.FreeAddress(t)
				more = [2][]string{
					{"--cluster-listen", second, "--node-seed", first, "--node-seed", second},
					{"--cluster-listen", first},
				}
			} else { // with the address of a server that the test has started
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				usual := map[string]string{"nats": "127.0.0.1:4222", "redis": "127.0.0.1:6379"}[kind]
				if !strings.Contains(string(text), usual) {
					t.Fatalf("%s has not the usual port", name)
				}
				name = writeFile(t, kind+".yaml", strings.ReplaceAll(string(text), usual, carry(t, kind).addr))
			}
			var rooms []*client.Conn
			var at []string
			for i := range 2 {
				at = append(at, enginetest.FreeAddress(t))
				cmd := command(append([]string{"serve", "--config", name, "--addr", "127.0.0.1:0", "--admin-addr", at[i]}, more[i]...)...)
				cmd.Env = append(cmd.Env, "SWITCHBACK_ADMIN_TOKEN="+adminToken)
				p := startCommand(t, cmd)
				c, err := client.Dial(t.Context(), p.url+"broadcast", client.Options{Transports: []string{"websocket"}})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				rooms = append(rooms, c)
			}
			(&clusterNode{&process{t: t}, at[0], admin.New("http://"+at[0], adminToken, nil)}).knows(t, 1)
			rooms[0].Send([]byte("hello"))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for _, c := range rooms {
				if text, err := c.Recv(ctx); string(text) != "hello" {
					t.Errorf("got %q, %v", text, err)
				}
			}
			cmd := command("cluster", "status", "--admin", at[1])
			cmd.Env = append(cmd.Env, "SWITCHBACK_ADMIN_TOKEN="+adminToken)
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Count(string(out), "\n") != 3 || !strings.Contains(string(out), "asked; connected since") || !strings.Contains(string(out), "there; heard at") {
				t.Errorf("%v\n%s", err, out)
			}
			cmd = command("cluster", "status", "--json", "--admin", at[1])
			cmd.Env = append(cmd.Env, "SWITCHBACK_ADMIN_TOKEN="+adminToken)
			out, err = cmd.Output()
			var answer admin.Cluster
			if err != nil || json.Unmarshal(out, &answer) != nil || len(answer.Nodes) != 1 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// What cannot be together is told, with what to do, before anything is started.
func TestEngineThatCannotBe(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Parallel()
	secret := writeFile(t, "secret", clusterSecret)
	for text, want := range map[string]string{
		"engine: {nats: embedded}":                                                                                             "set cluster.secret_file or SWITCHBACK_CLUSTER_SECRET",
		"engine: {nats: \"nats://a:1\", redis: \"redis://a:1\"}":                                                               "leave one of them out",
		"engine: {on_loss: close}":                                                                                             "neither nats nor redis",
		"engine: {nats: \"nats://a:1\", routes: {listen: \"a:1\"}}":                                                            "are of the embedded server",
		"engine: {nats: \"nats://a:1\"}\nstomp: {queues: [/work]}":                                                             "stomp.queues live on one node",
		"engine: {redis: \"redis://a:1\"}\nhistory: {store: \"memory:\"}":                                                      "keep it in PostgreSQL",
		"engine: {redis: \"redis://a:1\"}\nhistory: {topics: [{topics: \"/topic/*\"}]}":                                        "keep it in PostgreSQL",
		"engine: {redis: \"redis://a:1\"}\nendpoints: [{path: /c, handler: chat}]":                                             "that of chat too",
		"engine: {redis: \"redis://a:1\"}\nhistory: {store: \"postgres://a/b\", topics: [{topics: \"/topic/*\", mode: fast}]}": "mode: fast in history.topics is of one node",
		"engine: {nats: \"http://a\"}":                                                                                         "must be embedded, or a URL such as nats://host:4222",
		"engine: {redis: \"redis://kim:sesame@a/x\"}":                                                                          "must be a URL such as redis://host:6379",
		"cluster: {secret_file: nowhere}":                                                                                      "no such file",
		"cluster: {name: a b}":                                                                                                 "must be a name of letters",
		"engine: {routes: {seeds: [\"a:1\"]}}":                                                                                 "engine.routes.listen is missing",
		"engine: {on_loss: maybe}":                                                                                             "must be keep or close",
		"cluster: {secret_file: " + secret + "}\nengine: {nats: embedded, outbox: 0}":                                          "must be a number of bytes",
	} {
		if !strings.Contains(text, "endpoints") {
			text += "\nendpoints: [{path: /e, handler: echo}]"
		}
		file := writeFile(t, "cluster.yaml", text)
		for _, args := range [][]string{{"config", "check", file}, {"serve", "--addr", "127.0.0.1:0", "--config", file}} {
			if status, _, stderr := finish(t, args...); status == 0 || !strings.Contains(stderr, want) {
				t.Errorf("%s\n%v: %d %s; want %s", text, args, status, stderr, want)
			}
		}
	}
	file := writeFile(t, "cluster.yaml", "endpoints: [{path: /e, handler: echo}]\nengine: {nats: embedded}\ncluster: {secret_file: "+secret+"}")
	if status, _, stderr := finish(t, "serve", "--addr", "127.0.0.1:0", "--config", file, "--node-seed", "127.0.0.1:1"); status == 0 || !strings.Contains(stderr, "without engine.routes.listen") {
		t.Errorf("%d %s", status, stderr)
	}
	if status, stdout, stderr := finish(t, "config", "check", file); status != 0 || stderr != "" {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
}

// Flags go before the file, seeds as a list.
func TestSeedsOfTheCommandLine(t *testing.T) {
	secret := writeFile(t, "secret", clusterSecret)
	file := writeFile(t, "cluster.yaml", "cluster: {secret_file: "+secret+"}\nengine: {nats: embedded, routes: {listen: \"a:1\", seeds: [\"b:2\"]}}\nendpoints: [{path: /e, handler: echo}]")
	if conf := mustParse(t, "--config", file); conf.engine.listen != "a:1" || !slices.Equal(conf.engine.seeds, []string{"b:2"}) {
		t.Errorf("got %+v", conf.engine)
	}
	conf := mustParse(t, "--config", file, "--cluster-listen", "c:3", "--node-seed", "d:4", "--node-seed", "e:5")
	if conf.engine.listen != "c:3" || !slices.Equal(conf.engine.seeds, []string{"d:4", "e:5"}) || string(conf.engine.secret) != clusterSecret {
		t.Errorf("got %+v", conf.engine)
	}
	t.Setenv(secretVariable, "short")
	t.Setenv("SWITCHBACK_NODE_SEED", "f:6,g:7")
	if _, err := parse(t, "--config", file); err == nil || !strings.Contains(err.Error(), secretVariable) || strings.Contains(err.Error(), "short:") {
		t.Errorf("got %v", err)
	}
	t.Setenv(secretVariable, clusterSecret+"2")
	if conf := mustParse(t, "--config", file); string(conf.engine.secret) != clusterSecret+"2" || !slices.Equal(conf.engine.seeds, []string{"f:6", "g:7"}) {
		t.Errorf("got %+v", conf.engine)
	}
}

// When the outbox is full, who publishes is told, by ERROR or by 503; a broadcast goes on on its
// node. What was answered by RECEIPT before arrives when the server is back.
func TestFullOutboxIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("two nodes and a server that goes away")
	}
	t.Parallel()
	c := carry(t, "nats")
	c.engine += ", outbox: 16KiB"
	nodes := c.nodes(t, 2)
	other, sender := nodes[1].stomp(t, "ann"), nodes[0].stomp(t, "bob")
	other.subscribe("/topic/a")
	sender.subscribe("/topic/a")
	room, err := client.Dial(t.Context(), nodes[0].url+"chat", client.Options{Transports: []string{"websocket"}})
	if err != nil {
		t.Fatal(err)
	}
	defer room.Close()
	c.cut()
	for begun := time.Now(); nodes[0].knows(t, 1).Connected; time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatal("nobody notices that the server is away")
		}
	}
	var accepted []string
	var refused string
	for i := range 100 {
		body := fmt.Sprint(i, " ", strings.Repeat("x", 1000))
		sender.send("SEND\ndestination:/topic/a\nreceipt:r\n\n" + body + "\x00")
		frame := sender.next("")
		if strings.HasPrefix(frame, "ERROR") {
			refused = frame
			break
		}
		if got := bodyOf(frame) + bodyOf(sender.next("")); got != body { // MESSAGE and RECEIPT
			t.Fatalf("got %q", got)
		}
		accepted = append(accepted, body)
	}
	if len(accepted) < 5 || len(accepted) > 15 || !strings.HasPrefix(refused, "ERROR\nmessage:Broker not available.\n") {
		t.Errorf("%d of 1 kB are accepted, then %q", len(accepted), refused)
	}
	var failure *admin.Error
	if err := nodes[0].admin.Send(t.Context(), "/topic/a", strings.Repeat("x", 1000)); !errors.As(err, &failure) || failure.Status != 503 {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	large := strings.Repeat("y", 1000)
	room.Send([]byte(large))
	if text, err := room.Recv(ctx); string(text) != large {
		t.Errorf("got %q, %v", text, err)
	}
	c.resume()
	for _, want := range accepted {
		if got := bodyOf(other.next("MESSAGE")); got != want {
			t.Fatalf("got %.10q, want %.10q", got, want)
		}
	}
}

// Where a node is killed what it has published may be lost. Who wants that has its sessions
// closed then, so that their clients load anew.
func TestLossClosesSessions(t *testing.T) {
	if testing.Short() {
		t.Skip("a node is missed after 15 seconds")
	}
	t.Parallel()
	c := carry(t, "embedded")
	c.engine += ", on_loss: close"
	nodes := c.nodes(t, 3)
	s := nodes[0].stomp(t, "ann")
	s.subscribe("/topic/a")
	alone, err := client.Dial(t.Context(), nodes[0].url+"echo", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	nodes[2].cmd.Process.Kill()
	nodes[2].cmd.Wait()
	_, err = s.within(2 * patience)
	var end *client.CloseError
	if !errors.As(err, &end) || end.Code != 1013 {
		t.Errorf("got %v", err)
	}
	if c := nodes[0].knows(t, 1); c.Losses != 1 {
		t.Errorf("got %+v", c)
	}
	nodes[0].logs("may be lost")
	nodes[0].logs("sessions are closed")
	alone.Send([]byte("hi"))
	if text, err := alone.Recv(t.Context()); err != nil || string(text) != "hi" {
		t.Errorf("who hears nobody: %q, %v", text, err)
	}
}
