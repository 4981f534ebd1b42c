package transport_test

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
	"switchback/transport"
	"switchback/transport/igm"
)

var (
	protocolAddr           = flag.String("protocol.addr", "", "play the protocol's cases against the server at this `host:port` only")
	protocolImplementation = flag.String("protocol.implementation", "remote", "the `name` of the implementation at protocol.addr, whose differences are known")
)

// An implementation is an implementation of the protocol.
type implementation struct {
	name  string
	mount func(prefix string, o session.Opener, opts transport.Options) (endpoint, error)
}

// An endpoint is one service of an implementation.
type endpoint interface {
	http.Handler
	Shutdown(context.Context) error
}

var implementations = []implementation{
	{ownImplementation, func(prefix string, o session.Opener, opts transport.Options) (endpoint, error) {
		return transport.NewEndpoint(prefix, o, opts)
	}},
	{"igm", func(prefix string, o session.Opener, opts transport.Options) (endpoint, error) {
		return igm.NewEndpoint(prefix, o, opts)
	}},
}

// services are those that the protocol's cases use, by their prefix.
var services = map[string]struct {
	handler session.Handler
	options transport.Options
}{
	"/echo":                    {handler: handler.Echo{}},
	"/disabled_websocket_echo": {handler.Echo{}, transport.Options{DisabledTransports: []string{"websocket"}}},
	"/cookie_needed_echo":      {handler.Echo{}, transport.Options{CookieNeeded: true}},
	"/close":                   {handler: handler.Close{}},
}

// A busy machine must not keep the player for so long from asking again. Who does not
// fetch the last frames of a session is waited for that long at the end.
const disconnectDelay = 10 * time.Second

// TestProtocol plays every script of testdata/protocol.
func TestProtocol(t *testing.T) {
	t.Parallel()
	scripts, err := loadScripts()
	if err != nil {
		t.Fatal(err)
	}
	play := func(name, implementation string, start func(t *testing.T) string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := target{implementation, start(t), 15 * time.Second}
			for name, sc := range scripts {
				t.Run(name, func(t *testing.T) {
					if err := to.judge(sc); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	if *protocolAddr != "" {
		play(*protocolImplementation, *protocolImplementation, func(*testing.T) string { return *protocolAddr })
		return
	}
	for _, e := range implementations {
		play(e.name, e.name, func(t *testing.T) string { return e.serve(t, startPlain) })
	}
	own := implementations[0]
	play("behind a middleware", own.name, func(t *testing.T) string {
		return own.serve(t, func(t *testing.T, h http.Handler) string { return startPlain(t, wrapWriters(h)) })
	})
	play("parked from the start", own.name, func(t *testing.T) string { return own.serve(t, startParked) })
}

// wrapWriters is a middleware whose ResponseWriters are its own: responses are
// then written by their requests' goroutines, and never parked.
func wrapWriters(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(writer{w}, r) })
}

type writer struct{ http.ResponseWriter }

func (w writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// startPlain starts a server and returns its address.
func startPlain(t *testing.T, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// startParked starts a Server.
func startParked(t *testing.T, h http.Handler) string {
	l, err := transport.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, ended := &http.Server{Handler: h}, make(chan struct{})
	go func() { transport.NewServer(server).Serve(l); close(ended) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return l.Addr().String()
}

// serve serves the services until the end of the test, and returns the address.
func (e implementation) serve(t *testing.T, start func(*testing.T, http.Handler) string) string {
	endpoints := make(map[string]endpoint)
	for prefix, s := range services {
		o := s.options
		o.ResponseLimit, o.RawWebSocket, o.Hixie76, o.AllowedOrigins = 4096, true, true, []string{"*"}
		o.DisconnectDelay = disconnectDelay
		mounted, err := e.mount(prefix, session.Shared(s.handler), o)
		if err != nil {
			t.Fatal(err)
		}
		endpoints[prefix] = mounted
	}
	if e.name == "igm" {
		t.Cleanup(func() { time.Sleep(disconnectDelay) }) // its sessions keep goroutines for that long
	}
	addr := start(t, byPrefix(endpoints))
	t.Cleanup(func() {
		for _, e := range endpoints {
			shutdown(t, e)
		}
	})
	return addr
}

// byPrefix gives an endpoint the requests below its prefix as they are. An
// http.ServeMux would redirect those that are not clean.
func byPrefix(endpoints map[string]endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for prefix, e := range endpoints {
			if r.URL.Path == prefix || strings.HasPrefix(r.URL.Path, prefix+"/") {
				e.ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	}
}

func shutdown(t *testing.T, e endpoint) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
