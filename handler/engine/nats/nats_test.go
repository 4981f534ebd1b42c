package nats_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"switchback/handler"
	"switchback/handler/engine"
	"switchback/handler/engine/enginetest"
	"switchback/handler/engine/nats"
)

func TestMain(m *testing.M) {
	if err := goleak.Find(); err != nil {
		panic(fmt.Sprint("linking starts a goroutine: ", err))
	}
	goleak.VerifyTestMain(m)
}

// serve starts a server on a port, 0 for a free one, with routes to others.
func serve(t *testing.T, port int, cluster *server.ClusterOpts, routes ...*url.URL) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, Routes: routes}
	if port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if cluster != nil {
		o.Cluster = *cluster
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not begin")
	}
	return s
}

func end(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func open(urls func(i int) string) func(t *testing.T, i, outbox int) handler.Engine {
	return func(t *testing.T, i, outbox int) handler.Engine {
		return engine.New(nats.New("test", urls(i)), engine.Options{Outbox: outbox, Logger: slog.New(slog.DiscardHandler)})
	}
}

func TestOneServer(t *testing.T) {
	enginetest.Run(t, false, func(t *testing.T) *enginetest.Cluster {
		s := serve(t, 0, nil)
		port := s.Addr().(*net.TCPAddr).Port
		at := s.ClientURL()
		t.Cleanup(func() { end(s) })
		return &enginetest.Cluster{
			Open:    open(func(int) string { return at }),
			Cut:     func(*testing.T) { end(s) },
			Restore: func(t *testing.T) { s = serve(t, port, nil) },
			Publish: func(t *testing.T, data []byte) {
				nc, err := client.Connect(at)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				for _, channel := range []string{"nodes", "topic-YQ"} {
					nc.Publish("sb.test."+channel, data)
				}
			},
		}
	})
}

// Each node is at a server of its own.
func TestThreeServers(t *testing.T) {
	if testing.Short() {
		t.Skip("one server is enough for a short run")
	}
	enginetest.Run(t, false, func(t *testing.T) *enginetest.Cluster {
		var servers []*server.Server
		var routes []*url.URL
		for range 3 {
			s := serve(t, 0, &server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT}, routes...)
			t.Cleanup(func() { end(s) })
			servers = append(servers, s)
			routes = append(routes, &url.URL{Scheme: "nats-route", Host: s.ClusterAddr().String()})
		}
		for _, s := range servers {
			for begun := time.Now(); s.NumRoutes() < 2; time.Sleep(time.Millisecond) {
				if time.Since(begun) > 10*time.Second {
					t.Fatal("the servers do not meet")
				}
			}
		}
		return &enginetest.Cluster{Open: open(func(i int) string { return servers[i%3].ClientURL() })}
	})
}

func TestSecretsOfURLsAreNotTold(t *testing.T) {
	for urls, want := range map[string]string{
		"nats://a:4222":                        "nats://a:4222",
		"nats://kim:sesame@a,tls://token@b:1":  "nats://xxxxx@a,tls://xxxxx@b:1",
		"nats://a, nats://kim:se\nsame@b:4222": "nats://a,?",
	} {
		if got := nats.Redacted(urls); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	w := nats.New("test", "nats://kim:sesame@127.0.0.1:1")
	if _, err := w.Dial(t.Context(), nil); err == nil || err.Error() != "nats: nats://xxxxx@127.0.0.1:1: nats: no servers available for connection" {
		t.Errorf("got %v", err)
	}
}
