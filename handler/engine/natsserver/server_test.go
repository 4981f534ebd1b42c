package natsserver_test

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchback/handler"
	"switchback/handler/engine"
	"switchback/handler/engine/enginetest"
	"switchback/handler/engine/natsserver"
)

func TestMain(m *testing.M) {
	if err := goleak.Find(); err != nil {
		panic(fmt.Sprint("linking starts a goroutine: ", err))
	}
	goleak.VerifyTestMain(m)
}

var (
	secret = []byte(strings.Repeat("s", natsserver.SecretLength))
	quiet  = slog.New(slog.DiscardHandler)
)

func start(t *testing.T, o natsserver.Options) *natsserver.Server {
	t.Helper()
	if o.Secret == nil {
		o.Secret = secret
	}
	o.Cluster = "test"
	if o.Logger == nil {
		o.Logger = quiet
	}
	s, err := natsserver.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// three starts servers that know each other by the first.
func three(t *testing.T) []*natsserver.Server {
	t.Helper()
	seed := enginetest.FreeAddress(t)
	var servers []*natsserver.Server
	for i := range 3 {
		o := natsserver.Options{Listen: seed, Seeds: []string{seed}}
		if i > 0 {
			o.Listen = enginetest.FreeAddress(t)
		}
		servers = append(servers, start(t, o))
	}
	for _, s := range servers {
		for begun := time.Now(); s.Routes() < 2; time.Sleep(time.Millisecond) {
			if time.Since(begun) > time.Minute {
				t.Fatal("the servers do not meet")
			}
		}
	}
	return servers
}

func open(servers []*natsserver.Server) func(t *testing.T, i, outbox int) handler.Engine {
	return func(t *testing.T, i, outbox int) handler.Engine {
		return engine.New(servers[i%len(servers)].Wire(), engine.Options{Outbox: outbox, Logger: quiet})
	}
}

func TestEngineOverOne(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	servers := []*natsserver.Server{start(t, natsserver.Options{})}
	enginetest.Run(t, false, func(t *testing.T) *enginetest.Cluster { return &enginetest.Cluster{Open: open(servers)} })
}

func TestEngineOverThree(t *testing.T) {
	if testing.Short() {
		t.Skip("one server is enough for a short run")
	}
	servers := three(t)
	enginetest.Run(t, false, func(t *testing.T) *enginetest.Cluster { return &enginetest.Cluster{Open: open(servers)} })
}

// Who has another secret is no node, and who has none is nobody's client.
func TestSecretIsAskedFor(t *testing.T) {
	at := enginetest.FreeAddress(t)
	var log lines
	first := start(t, natsserver.Options{Listen: at, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	stranger := start(t, natsserver.Options{Listen: enginetest.FreeAddress(t), Seeds: []string{at}, Secret: []byte(strings.Repeat("x", natsserver.SecretLength))})
	for begun := time.Now(); !strings.Contains(log.String(), "bad certificate"); time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("nothing is said of it: %s", log.String())
		}
	}
	time.Sleep(1500 * time.Millisecond) // it is tried each second
	if n := strings.Count(log.String(), "bad certificate"); n != 1 {
		t.Errorf("it is said %d times: %s", n, log.String())
	}
	if first.Routes() != 0 || stranger.Routes() != 0 {
		t.Error("they have met")
	}
	own := start(t, natsserver.Options{Listen: enginetest.FreeAddress(t), Seeds: []string{at}})
	for begun := time.Now(); own.Routes() != 1; time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("a node of the cluster does not come in any more")
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		o    natsserver.Options
		want string
	}{
		{natsserver.Options{Secret: []byte("short")}, "the secret has 5 bytes"},
		{natsserver.Options{Secret: secret, Listen: "7401"}, "missing port"},
		{natsserver.Options{Secret: secret, Listen: "127.0.0.1:x"}, "no port"},
		{natsserver.Options{Secret: secret, Listen: "127.0.0.1:0"}, "must be one that the other nodes can know"},
		{natsserver.Options{Secret: secret, Listen: taken.Addr().String()}, "in use"},
	} {
		c.o.Cluster, c.o.Logger = "test", quiet
		if s, err := natsserver.Start(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.o, err, c.want)
			if s != nil {
				s.Close()
			}
		}
	}
}

// Who knows a node by a third looks for it for long.
func TestNodeIsLookedFor(t *testing.T) {
	t.Parallel()
	seed, at := enginetest.FreeAddress(t), enginetest.FreeAddress(t)
	var log lines
	first := start(t, natsserver.Options{Listen: seed})
	second := start(t, natsserver.Options{Listen: enginetest.FreeAddress(t), Seeds: []string{seed}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	meet := func(want int, all ...*natsserver.Server) {
		t.Helper()
		for _, s := range all {
			for begun := time.Now(); s.Routes() != want; time.Sleep(time.Millisecond) {
				if time.Since(begun) > time.Minute {
					t.Fatalf("one has %d others, want %d: %s", s.Routes(), want, log.String())
				}
			}
		}
	}
	meet(1, first, second)
	third := start(t, natsserver.Options{Listen: at, Seeds: []string{seed}})
	meet(2, first, second, third)
	third.Close()
	time.Sleep(3 * time.Second)
	meet(1, first, second)
	start(t, natsserver.Options{Listen: at}) // it looks for nobody
	meet(2, second)
	// It tries once a second. The first time the connection may have been reset.
	if n := strings.Count(log.String(), "connection refused"); n > 1 {
		t.Errorf("log: %s", log.String())
	}
}

// Who leaves is forgotten when it says so.
func TestNodesLeave(t *testing.T) {
	servers := three(t)
	var engines []*engine.Engine
	var mu sync.Mutex
	got := make(map[string]int)
	for i, s := range servers {
		e := engine.New(s.Wire(), engine.Options{Name: fmt.Sprint("node ", i), Logger: quiet})
		if err := e.Start(func(topic string, data []byte) error {
			mu.Lock()
			defer mu.Unlock()
			got[string(data)]++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if err := e.Subscribe(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		engines = append(engines, e)
	}
	engines[1].Close()
	servers[1].Close()
	want := func(text string, times int) {
		t.Helper()
		engines[0].Publish(t.Context(), "a", []byte(text))
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			n := got[text]
			mu.Unlock()
			if n == times {
				return
			}
			if time.Since(begun) > time.Minute {
				t.Fatalf("%s: %d have got it, want %d", text, n, times)
			}
		}
	}
	want("of two", 1)
	for begun := time.Now(); len(engines[0].Status().Nodes) != 1 && time.Since(begun) < 5*time.Second; {
		time.Sleep(time.Millisecond)
	}
	if s := engines[0].Status(); len(s.Nodes) != 1 || s.Nodes[0].Name != "node 2" || !s.Connected || s.Name != "node 0" {
		t.Errorf("got %+v", s)
	}
}

// lines are a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
