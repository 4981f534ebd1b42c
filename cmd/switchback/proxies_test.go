package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"switchback/handler/engine/enginetest"
	"switchback/transport/client"
	admin "switchback/web/admin/client"
)

// balance starts a proxy with the configuration of testdata/cluster before nodes at addresses,
// and returns its URL.
func balance(t *testing.T, program string, nodes []string) string {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(program + " is not here: apt-get install " + program)
	}
	at := enginetest.FreeAddress(t)
	var cmd *exec.Cmd
	switch program {
	case "haproxy":
		cmd = exec.Command(program, "-f", "../../testdata/cluster/haproxy.cfg")
		cmd.Env = []string{"LISTEN=" + at, "NODE_A=" + nodes[0], "NODE_B=" + nodes[1], "NODE_C=" + nodes[2]}
	case "nginx":
		text, err := os.ReadFile("../../testdata/cluster/nginx.conf")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		os.Mkdir(filepath.Join(dir, "tmp"), 0o777)
		ours := strings.NewReplacer("127.0.0.1:8080", at, "127.0.0.1:8081", nodes[0], "127.0.0.1:8082", nodes[1], "127.0.0.1:8083", nodes[2])
		conf := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr; worker_processes 1; events { worker_connections 2000; }
http { access_log off; client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; fastcgi_temp_path %[1]s/tmp; uwsgi_temp_path %[1]s/tmp; scgi_temp_path %[1]s/tmp;
%[2]s }`, dir, ours.Replace(string(text)))
		file := writeFile(t, "nginx.conf", conf)
		cmd = exec.Command(program, "-c", file, "-p", dir)
	}
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s says: %s", program, out.String())
		}
	})
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", at); err == nil {
			conn.Close()
			return "http://" + at
		}
		if time.Since(begun) > patience {
			t.Fatalf("%s does not begin: %s", program, out.String())
		}
	}
}

// A visitor is a session through a proxy that comes back when it ends, and notes what it hears.
type visitor struct {
	transport string

	mu    sync.Mutex // guards the rest
	conn  *client.Conn
	heard map[string]int
	ends  int
}

// stay keeps a visitor until ctx is done.
func (v *visitor) stay(ctx context.Context, url string) {
	for ctx.Err() == nil {
		c, err := client.Dial(ctx, url, client.Options{Transports: []string{v.transport}})
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		v.set(c)
		for {
			text, err := c.Recv(ctx)
			if err != nil {
				break
			}
			v.mu.Lock()
			v.heard[string(text)]++
			v.mu.Unlock()
		}
		v.set(nil)
		c.Close()
	}
}

func (v *visitor) set(c *client.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.conn = c; c == nil {
		v.ends++
	}
}

// A session is on one node by its id in the path. Where that pauses nobody notices. Where it is
// killed its own sessions end, and are told: they come back elsewhere; those of the others notice
// nothing, also not when the node is there again. All hear each other, over three transports.
func TestNodesBehindProxies(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes and a proxy")
	}
	for _, program := range []string{"haproxy", "nginx"} {
		t.Run(program, func(t *testing.T) {
			c := carry(t, "embedded")
			file := writeFile(t, "node.yaml", `
log_level: warn
cluster: {name: test}
engine: {nats: embedded}
endpoints:
  - {path: /echo, handler: echo, trusted_proxies: [127.0.0.1]}
  - {path: /chat, handler: broadcast, trusted_proxies: [127.0.0.1]}
`)
			var at, routes, admins []string
			for range 3 {
				at, routes, admins = append(at, enginetest.FreeAddress(t)), append(routes, enginetest.FreeAddress(t)), append(admins, enginetest.FreeAddress(t))
			}
			routes[0] = c.addr
			start := func(i int) *clusterNode {
				cmd := command("serve", "--config", file, "--addr", at[i], "--admin-addr", admins[i], "--cluster-listen", routes[i], "--node-seed", routes[0], "--node-seed", routes[1])
				cmd.Env = append(cmd.Env, "SWITCHBACK_ADMIN_TOKEN="+adminToken, secretVariable+"="+clusterSecret)
				return &clusterNode{startCommand(t, cmd), admins[i], admin.New("http://"+admins[i], adminToken, nil)}
			}
			nodes := make([]*clusterNode, 3)
			for i := range nodes {
				nodes[i] = start(i)
			}
			for _, n := range nodes {
				n.knows(t, 2)
			}
			url := balance(t, program, at) + "/chat"
			ctx, cancel := context.WithCancel(t.Context())
			var here sync.WaitGroup
			defer here.Wait()
			defer cancel()
			var visitors []*visitor
			for i := range 90 {
				v := &visitor{transport: []string{"websocket", "xhr-streaming", "xhr-polling"}[i%3], heard: make(map[string]int)}
				visitors = append(visitors, v)
				here.Go(func() { v.stay(ctx, url) })
			}
			for _, v := range visitors {
				v.await(t, func() bool { return v.conn != nil })
			}
			say := func(v *visitor, text string) {
				t.Helper()
				v.mu.Lock()
				conn := v.conn
				v.mu.Unlock()
				if err := conn.Send([]byte(text)); err != nil {
					t.Errorf("%s: %v", v.transport, err)
				}
			}
			for i, v := range visitors[:6] {
				say(v, fmt.Sprint("first ", i))
			}
			for _, v := range visitors {
				for i := range 6 {
					v.hears(t, fmt.Sprint("first ", i))
				}
			}
			page, err := nodes[2].admin.Sessions(t.Context(), admin.Filter{Endpoint: "/chat"}, 1000, "")
			own := len(page.Sessions)
			if err != nil || own < 5 || own > 60 {
				t.Fatalf("%d of 90 sessions are on the third node, %v", own, err)
			}

			ended := func() (n int) {
				for _, v := range visitors {
					v.mu.Lock()
					n += v.ends
					v.mu.Unlock()
				}
				return n
			}

			nodes[2].signal(syscall.SIGSTOP)
			time.Sleep(2 * time.Second)
			nodes[2].signal(syscall.SIGCONT)
			say(visitors[0], "after a pause")
			for _, v := range visitors {
				v.hears(t, "after a pause")
			}
			if n := ended(); n != 0 {
				t.Errorf("%d sessions have ended in a pause of their node", n)
			}

			nodes[2].cmd.Process.Kill()
			nodes[2].cmd.Wait()
			for begun := time.Now(); ended() < own; time.Sleep(5 * time.Millisecond) {
				if time.Since(begun) > patience {
					t.Fatalf("%d of the %d sessions of the node have ended", ended(), own)
				}
			}
			for _, v := range visitors {
				v.await(t, func() bool { return v.conn != nil })
			}
			unmoved := slices.IndexFunc(visitors, func(v *visitor) bool { return v.ends == 0 })
			say(visitors[unmoved], "second")
			for _, v := range visitors {
				v.hears(t, "second")
			}
			if n := ended(); n != own {
				t.Errorf("%d sessions have ended, of %d that were on the node", n, own)
			}

			nodes[2] = start(2)
			nodes[2].knows(t, 2)
			time.Sleep(1500 * time.Millisecond)
			before := ended()
			for _, v := range visitors {
				v.await(t, func() bool { return v.conn != nil })
			}
			say(visitors[unmoved], "third")
			for _, v := range visitors {
				v.hears(t, "third")
			}
			if program == "haproxy" && before != own {
				t.Errorf("%d sessions have ended when the node was back", before-own)
			}
		})
	}
}

func (v *visitor) await(t *testing.T, done func() bool) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		v.mu.Lock()
		ok := done()
		v.mu.Unlock()
		if ok {
			return
		}
		if time.Since(begun) > patience {
			t.Fatalf("%s: it does not come; %v", v.transport, v.heard)
		}
	}
}

// hears waits until a text has come, and fails where it has come twice.
func (v *visitor) hears(t *testing.T, text string) {
	t.Helper()
	v.await(t, func() bool { return v.heard[text] > 0 })
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := v.heard[text]; n != 1 {
		t.Errorf("%s: %q was heard %d times", v.transport, text, n)
	}
}
