package nats_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
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
	if testing.Short() {
		t.Skip("takes seconds")
	}
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
				if time.Since(begun) > time.Minute {
					t.Fatal("the servers do not meet")
				}
			}
		}
		return &enginetest.Cluster{Open: open(func(i int) string { return servers[i%3].ClientURL() })}
	})
}

// A server that takes no more, and says nothing, ends the connection, and who publishes and who
// closes waits for it no longer.
func TestServerThatHangs(t *testing.T) {
	if testing.Short() {
		t.Skip("a write may take seconds")
	}
	s := serve(t, 0, nil)
	defer end(s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { // ends with the connection, which the test closes
		near, err := ln.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		go func() { io.CopyN(far, near, 64<<10) }() // and no more
		io.Copy(near, far)
		near.Close()
		far.Close()
	}()
	conn, err := nats.New("test", "nats://"+ln.Addr().String()).Dial(t.Context(), func(string, []byte) {})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for err == nil {
		err = conn.Publish([]engine.Message{{Channel: "a", Data: make([]byte, 512<<10)}})
	}
	conn.Close()
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	<-conn.Broken()
	s.Shutdown()
}

// What others publish faster than this node takes it is no more than some memory: then the
// connection ends, and all that is missing comes after what was delivered.
func TestWhatWaitsIsBounded(t *testing.T) {
	s := serve(t, 0, nil)
	defer end(s)
	var got atomic.Int64
	first, more := make(chan struct{}), make(chan struct{})
	slow, err := nats.New("test", s.ClientURL()).Dial(t.Context(), func(string, []byte) {
		if got.Add(1) == 1 {
			close(first)
			<-more
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := slow.Subscribe([]string{"a"}); err != nil {
		t.Fatal(err)
	}
	nc, err := client.Connect(s.ClientURL(), client.NoEcho())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for s.NumSubscriptions() == 0 {
		time.Sleep(time.Millisecond)
	}
	const count = 180
	for range count {
		nc.Publish("sb.test.a", make([]byte, 512<<10))
		nc.Flush()
		for pending(t, s) > 0 { // else the server ends the connection; what the system has is less than what is over
			time.Sleep(time.Millisecond)
		}
	}
	<-first
	close(more)
	select {
	case <-slow.Broken():
		if err := slow.Err(); errors.Is(err, engine.ErrMissed) || !strings.Contains(err.Error(), "too slow") {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Errorf("%d of %d wait", got.Load(), count)
	}
}

// pending is how many bytes a server has for its clients.
func pending(t *testing.T, s *server.Server) (bytes int) {
	t.Helper()
	z, err := s.Connz(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range z.Conns {
		bytes += c.Pending
	}
	return bytes
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
