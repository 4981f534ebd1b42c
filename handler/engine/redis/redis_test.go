package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"switchback/handler"
	"switchback/handler/engine"
	"switchback/handler/engine/enginetest"
	"switchback/handler/engine/redis"
)

// A client of a cluster has goroutines that end by themselves: one a second later, one that
// closes what a failover replaced five seconds later.
func TestMain(m *testing.M) {
	if err := goleak.Find(); err != nil {
		panic(fmt.Sprint("linking starts a goroutine: ", err))
	}

	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

// A server is Debian's redis-server, as a process.
type server struct {
	port  int
	dir   string
	first []string // before the usual arguments
	args  []string // after them
	cmd   *exec.Cmd
}

// freePort is one that nobody gets.
func freePort(t *testing.T) int {
	t.Helper()
	at, err := net.ResolveTCPAddr("tcp", enginetest.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	return at.Port
}

func serve(t *testing.T, args ...string) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("no Redis in a short run")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("redis-server is not here: apt-get install redis-server")
	}
	s := &server{port: freePort(t), dir: t.TempDir(), args: args}
	s.start(t)
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command("redis-server", slices.Concat(s.first, []string{
		"--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no",
	}, s.args)...)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", s.address()); err == nil {
			conn.Close()
			return
		}
		if time.Since(begun) > time.Minute {
			t.Fatal("redis-server does not begin")
		}
	}
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func open(url string) func(t *testing.T, i, outbox int) handler.Engine {
	return func(t *testing.T, i, outbox int) handler.Engine {
		w, err := redis.New("test", url)
		if err != nil {
			t.Fatal(err)
		}
		return engine.New(w, engine.Options{Outbox: outbox, Logger: slog.New(slog.DiscardHandler)})
	}
}

func TestOneServer(t *testing.T) {
	enginetest.Run(t, false, func(t *testing.T) *enginetest.Cluster {
		s := serve(t)
		return &enginetest.Cluster{
			Open:    open("redis://" + s.address()),
			Cut:     func(*testing.T) { s.kill() },
			Restore: s.start,
			Publish: func(t *testing.T, data []byte) {
				c := client(t, s)
				defer c.Close()
				for _, channel := range []string{"nodes", "topic-YQ"} {
					c.Do(context.Background(), c.B().Publish().Channel("{sb.test}"+channel).Message(rueidis.BinaryString(data)).Build())
				}
			},
		}
	})
}

func client(t *testing.T, s *server) rueidis.Client {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.address()}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A Redis Cluster of three, whose slots are shared out.
func TestCluster(t *testing.T) {
	var servers []*server
	for range 3 {
		bus := fmt.Sprint(freePort(t))
		servers = append(servers, serve(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000"))
	}
	for i, s := range servers {
		command(t, s, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*16384/3), fmt.Sprint((i+1)*16384/3-1))
		for _, other := range servers {
			command(t, s, "CLUSTER", "MEET", "127.0.0.1", fmt.Sprint(other.port), other.args[3])
		}
	}
	for _, s := range servers {
		for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			info := command(t, s, "CLUSTER", "INFO")
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3") {
				break
			}
			if time.Since(begun) > time.Minute {
				t.Fatal("the cluster does not form: " + info)
			}
		}
	}
	enginetest.Run(t, false, func(t *testing.T) *enginetest.Cluster {
		return &enginetest.Cluster{Open: open("redis://" + servers[0].address() + "?addr=" + servers[1].address())}
	})
}

// watched is a server, one that replicates it, and Sentinel, which watches them. It returns the
// URL.
func watched(t *testing.T) (url string, first, sentinel *server) {
	t.Helper()
	first = serve(t)
	second := serve(t, "--replicaof", "127.0.0.1", fmt.Sprint(first.port))
	sentinel = &server{port: freePort(t), dir: t.TempDir()}
	file := filepath.Join(sentinel.dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor prime 127.0.0.1 %d 1\nsentinel down-after-milliseconds prime 500\nsentinel failover-timeout prime 2000\n", first.port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel.first = []string{file, "--sentinel"}
	sentinel.start(t)
	t.Cleanup(sentinel.kill)
	waitFor(t, "the replica is not in step", func() bool {
		return strings.Contains(command(t, second, "INFO", "replication"), "master_link_status:up")
	})
	sentinel.knowsReplica(t)
	return fmt.Sprintf("redis://%s?master_set=prime", sentinel.address()), first, sentinel
}

// knowsReplica waits until Sentinel could have another server take over.
func (s *server) knowsReplica(t *testing.T) {
	t.Helper()
	waitFor(t, "Sentinel knows no replica that is there", func() bool {
		text := command(t, s, "INFO", "sentinel")
		return strings.Contains(text, "status=ok") && strings.Contains(text, "slaves=1")
	})
}

func waitFor(t *testing.T, fault string, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 60*time.Second {
			t.Fatal(fault)
		}
	}
}

func TestSentinel(t *testing.T) {
	url, _, _ := watched(t)
	enginetest.Run(t, false, func(t *testing.T) *enginetest.Cluster {
		return &enginetest.Cluster{Open: open(url)}
	})
}

// Where the server is killed, or has to give way, the nodes meet at the one that takes over,
// and nothing is lost: in order, and once.
func TestSentinelHasAnotherTakeOver(t *testing.T) {
	url, first, sentinel := watched(t)
	var faults, got atomic.Int64
	var engines []*engine.Engine
	for i := range 2 {
		e := open(url)(t, i, 0).(*engine.Engine)
		defer e.Close()
		e.Start(func(_ string, data []byte) error {
			if want := fmt.Sprint(got.Load()); string(data) != want {
				faults.Add(1)
			}
			got.Add(1)
			return nil
		})
		engines = append(engines, e)
	}
	from, to := engines[0], engines[1]
	if err := to.Subscribe(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	published := int64(0)
	publish := func() {
		if err := from.Publish(t.Context(), "a", []byte(fmt.Sprint(published))); err != nil {
			t.Fatal(err)
		}
		published++
		time.Sleep(5 * time.Millisecond)
	}
	for _, way := range []func(){
		first.kill,
		func() {
			first.start(t) // it was the first, and replicates now
			sentinel.knowsReplica(t)
			waitFor(t, "Sentinel takes nobody", func() bool {
				c := client(t, sentinel)
				defer c.Close()
				return c.Do(t.Context(), c.B().Arbitrary("SENTINEL", "FAILOVER", "prime").Build()).Error() == nil
			})
		},
	} {
		before := [2]int64{from.Stats().Connections.Load(), to.Stats().Connections.Load()}
		way()
		waitFor(t, "they are not connected again", func() bool {
			publish()
			return from.Stats().Connections.Load() > before[0] && to.Stats().Connections.Load() > before[1]
		})
		for range 100 {
			publish()
		}
		waitFor(t, "it does not arrive", func() bool { return got.Load() == published })
	}
	if faults.Load() != 0 || from.Stats().Losses.Load() != 0 || to.Stats().Losses.Load() != 0 {
		t.Errorf("%d of %d out of order, %d and %d losses", faults.Load(), published, from.Stats().Losses.Load(), to.Stats().Losses.Load())
	}
}

// command has a server do something.
func command(t *testing.T, s *server, args ...string) string {
	t.Helper()
	c := client(t, s)
	defer c.Close()
	text, err := c.Do(t.Context(), c.B().Arbitrary(args...).Build()).ToString()
	if err != nil {
		t.Fatal(args, err)
	}
	return text
}

func TestURLs(t *testing.T) {
	for _, bad := range []string{"", "nats://a", "redis://kim:sesame@a/x", "redis://kim:sesame@a:\n"} {
		if _, err := redis.New("test", bad); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	w, err := redis.New("test", "redis://kim:sesame@127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Dial(t.Context(), nil); err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("got %v", err)
	}
}
