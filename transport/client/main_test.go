package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sharedClient().CloseIdleConnections()
	if err := goleak.Find(abandoned...); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// abandoned are the goroutines that the other implementation leaves in a
// session whose stream was aborted.
var abandoned = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/igm/sockjs-go/v3/sockjs.(*messageBuffer).pop"),
	goleak.IgnoreAnyFunction("github.com/igm/sockjs-go/v3/sockjs.(*Handler).sessionByRequest.func1"),
}

// A script is a server: what it answers, by the last part of the path.
type script map[string]http.HandlerFunc

func (s script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := s[path.Base(r.URL.Path)]; h != nil {
		h(w, r)
		return
	}
	http.NotFound(w, r)
}

// serve starts a server, which the test ends, and returns its URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// only are the options of a session that uses one transport and asks no /info.
func only(name string) Options {
	return Options{Transports: []string{name}, SkipInfo: true, OpenTimeout: 2 * time.Minute, CloseTimeout: 2 * time.Minute}
}

// dial opens a session, which the test closes.
func dial(t *testing.T, url string, o Options) *Conn {
	t.Helper()
	c, err := Dial(context.Background(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// within returns a context that ends a test that hangs.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func wantMessage(t *testing.T, c *Conn, want string) {
	t.Helper()
	got, err := c.Recv(within(t))
	if err != nil || string(got) != want {
		t.Fatalf("Recv: %q, %v; want %q", got, err, want)
	}
}

// wantEnd checks that Recv returns the end of the session.
func wantEnd(t *testing.T, c *Conn, code int, reason string) {
	t.Helper()
	got, err := c.Recv(within(t))
	wantClose(t, err, code, reason)
	if got != nil {
		t.Errorf("Recv: %q with the end", got)
	}
}

// wantClose checks that err is a *CloseError.
func wantClose(t *testing.T, err error, code int, reason string) {
	t.Helper()
	var e *CloseError
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		t.Fatalf("error %v; want %d %s", err, code, reason)
	}
}

// answers answers each request with the next of bodies, and holds those that
// come after the last.
func answers(bodies ...string) http.HandlerFunc {
	next := make(chan string, len(bodies))
	for _, b := range bodies {
		next <- b
	}
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case b := <-next:
			fmt.Fprint(w, b)
		default:
			<-r.Context().Done()
		}
	}
}

// events is answers for an event stream.
func events(bodies ...string) http.HandlerFunc {
	next := answers(bodies...)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=UTF-8")
		next(w, r)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// then answers the first request with one handler and the rest with another.
func then(first, rest http.HandlerFunc) http.HandlerFunc {
	once := make(chan struct{}, 1)
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case once <- struct{}{}:
			first(w, r)
		default:
			rest(w, r)
		}
	}
}

var prelude = strings.Repeat("h", 2048) + "\n"
