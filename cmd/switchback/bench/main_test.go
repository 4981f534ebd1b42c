package bench

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchback/handler"
	"switchback/session"
	"switchback/transport"
)

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "16") // the tests that are parallel wait for most of their time
	goleak.VerifyTestMain(m)
}

// serve starts a server of /echo, /broadcast and /close, which the test ends,
// and returns its URL.
func serve(t *testing.T, o transport.Options) string {
	t.Helper()
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	routes := http.NewServeMux()
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)
	for path, h := range map[string]session.Handler{
		"/echo":      handler.Echo{},
		"/broadcast": handler.Broadcast{Hub: hub, Topic: "all"},
		"/close":     handler.Close{},
	} {
		e, err := transport.NewEndpoint(path, session.Shared(h), o)
		if err != nil {
			t.Fatal(err)
		}
		routes.Handle(path+"/", e)
		t.Cleanup(func() { e.Shutdown(context.Background()) })
	}
	return server.URL
}

// at are the flags of a load on a URL, over a transport.
func at(url, transport string) flags {
	return flags{URL: url, Transport: transport, Concurrency: 8}
}

var brief = timing{Time: 400 * time.Millisecond, Warmup: 20 * time.Millisecond}

// put puts a load on a server and returns what came of it.
func put(t *testing.T, f *flags, run func(l *load) (*report, error)) *report {
	t.Helper()
	l, err := newLoad(f, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r, err := run(l)
	l.close()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantNoLoss checks that all sessions opened and stayed, and that something was
// sent and all of it received.
func wantNoLoss(t *testing.T, r *report) {
	t.Helper()
	if s := r.Sessions; s.Opened != s.Asked || s.Lost != 0 || len(r.Failures) > 0 {
		t.Errorf("sessions %+v, failures %v", s, r.Failures)
	}
	if f := r.Flow; f != nil && (f.Sent == 0 || f.Received != f.Sent || f.Lost != 0 || f.Wrong != 0 || f.Unsent != 0 || f.PerSecond <= 0 || f.Latency == nil) {
		t.Errorf("%+v", f)
	}
}

var allTransports = []string{"websocket", "xhr-streaming", "xhr-polling", "eventsource", "raw-websocket"}
