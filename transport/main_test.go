package transport

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"switchback/session"
)

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "32") // the tests that are parallel wait for most of their time
	goleak.VerifyTestMain(m)
}

// patience only tells that something hangs: a machine that has much else to do takes its time.
const patience = 2 * time.Minute

// A site is a served endpoint and the clients that ask it.
type site struct {
	*Endpoint
	url    string // base URL
	server *httptest.Server
	client *http.Client
}

// A wire is what is between an endpoint and its clients.
type wire string

const (
	bare       wire = "bare"       // HTTP/1.1 over TCP: responses and WebSockets are parked
	fromStart  wire = "from start" // HTTP/1.1 over TCP by Server.Serve: connections are parked from the start
	unparkable wire = "unparkable" // HTTP/1.1 over connections that the server's listener wraps
	secure     wire = "TLS"        // HTTP/1.1 over TLS by http.Server
	parkedTLS  wire = "parked TLS" // HTTP/1.1 over TLS by Server.Serve: connections are parked after the handshake
	http2      wire = "HTTP/2"     // for all but WebSockets
)

// overWires runs a test over each wire.
func overWires(t *testing.T, f func(t *testing.T, w wire)) {
	for _, w := range append(wires1(), http2) {
		t.Run(string(w), func(t *testing.T) { f(t, w) })
	}
}

// isSecure tells whether a wire has TLS.
func (w wire) isSecure() bool { return w == secure || w == parkedTLS || w == http2 }

// wires1 are the wires of HTTP/1.1. With -short TLS is not among them: to an endpoint it is
// as unparkable, or as from start.
func wires1() []wire {
	if testing.Short() {
		return []wire{bare, fromStart, unparkable}
	}
	return []wire{bare, fromStart, unparkable, secure, parkedTLS}
}

// serve serves an endpoint at /echo until the end of the test, which finds it
// shut down.
func serve(t testing.TB, opener session.Opener, o Options) *site {
	t.Helper()
	return bare.serve(t, opener, o)
}

func (w wire) serve(t testing.TB, opener session.Opener, o Options) *site {
	t.Helper()
	return w.serveBehind(t, opener, o, func(e http.Handler) http.Handler { return e })
}

// serveBehind is serve behind a middleware.
func (w wire) serveBehind(t testing.TB, opener session.Opener, o Options, middleware func(http.Handler) http.Handler) *site {
	t.Helper()
	e, err := NewEndpoint("/echo", opener, o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(middleware(e))
	ended := make(chan struct{})
	pool := &http.Transport{MaxIdleConnsPerHost: 10000, MaxIdleConns: 10000}
	switch w {
	case secure, http2:
		pool.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		pool.ForceAttemptHTTP2 = w == http2
		server.EnableHTTP2 = w == http2
		server.StartTLS()
	case fromStart, parkedTLS:
		server.Listener.Close()
		if server.Listener, err = Listen("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		server.URL = "http://" + server.Listener.Addr().String()
		if w == parkedTLS {
			server.URL = "https" + strings.TrimPrefix(server.URL, "http")
			server.TLS = &tls.Config{Certificates: testCertificates()}
			server.Config.TLSConfig = server.TLS
			pool.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		}
		go func() { NewServer(server.Config, e).Serve(server.Listener); close(ended) }()
	case unparkable:
		server.Listener = wrapping{server.Listener}
		server.Start()
	default:
		server.Start()
	}
	s := &site{e, server.URL + "/echo", server, &http.Client{Transport: pool}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		pool.CloseIdleConnections()
		if w == fromStart || w == parkedTLS {
			server.Config.Close()
			<-ended
		}
		server.Close()
	})
	return s
}

// testCertificates are those of net/http/httptest.
var testCertificates = sync.OnceValue(func() []tls.Certificate {
	lender := httptest.NewTLSServer(nil)
	defer lender.Close()
	return lender.TLS.Certificates
})

// rounds is how often a test does something, with -short a tenth of it.
func rounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// An answer is what a test looks at of a response.
type answer struct {
	status int
	body   string
	header http.Header
}

// ask makes one request. Headers are given as "Name: value".
func (s *site) ask(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	a, err := s.do(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// post is ask for a body that comes while it is sent.
func (s *site) post(t testing.TB, path string, body io.Reader) answer {
	t.Helper()
	r, err := http.NewRequest("POST", s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.do(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *site) do(r *http.Request) (answer, error) {
	res, err := s.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, string(b), res.Header}, err
}

// attached waits until the session at a path has a receiver.
func attached(t testing.TB, e *Endpoint, path string) {
	t.Helper()
	id := path[strings.LastIndexByte(path, '/')+1:]
	eventually(t, "attached", func() bool { s := e.registry.Find(id); return s != nil && s.Receiver() != nil })
}

func (s *site) poll(t testing.TB, id string) string {
	t.Helper()
	return s.ask(t, "POST", "/000/"+id+"/xhr", "").body
}

func (a answer) want(t testing.TB, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Errorf("got %d %q, want %d %q", a.status, a.body, status, body)
	}
}

// dial opens a WebSocket.
func (s *site) dial(t testing.TB, path string) *websocket.Conn {
	t.Helper()
	var d websocket.Dialer
	if s.server.TLS != nil {
		d.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	c, _, err := d.Dial("ws"+strings.TrimPrefix(s.url, "http")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// read demands the next message of a WebSocket.
func read(t testing.TB, c *websocket.Conn, want string) {
	t.Helper()
	_, got, err := c.ReadMessage()
	if err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// readClose demands a close frame.
func readClose(t testing.TB, c *websocket.Conn, code int, reason string) {
	t.Helper()
	_, got, err := c.ReadMessage()
	closed, ok := err.(*websocket.CloseError)
	if !ok || closed.Code != code || closed.Text != reason {
		t.Fatalf("got %q, %v, want close %d %q", got, err, code, reason)
	}
}

// eventually waits for what other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// unhurried does what takes its time in steps of d, in which a machine that has much else to
// do may be late: what fails is done again with four, and with sixteen times as long.
func unhurried(t *testing.T, d time.Duration, do func(d time.Duration) error) {
	t.Helper()
	var err error
	for range 3 {
		if err = do(d); err == nil {
			return
		}
		t.Logf("in steps of %v: %v", d, err)
		d *= 4
	}
	t.Error(err)
}

var ids atomic.Int64

// newID is a session id that no other test has.
func newID() string { return fmt.Sprintf("id%d", ids.Add(1)) }

// openPolling opens a session and returns its URL's path.
func (s *site) openPolling(t *testing.T) string {
	t.Helper()
	path := "/000/" + newID()
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, "o\n")
	return path
}

// raw sends bytes and returns the first of the answer.
func (s *site) raw(t *testing.T, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return string(b[:n])
}
