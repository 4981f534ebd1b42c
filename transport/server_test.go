package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
)

// serveAll serves endpoints at /a and /b by a Server, and returns what Serve returns.
func serveAll(t *testing.T, configure func(*http.Server, http.Handler)) (s *Server, addr string, ended chan error) {
	t.Helper()
	mux := http.NewServeMux()
	var services []Service
	for _, prefix := range []string{"/a", "/b"} {
		e, err := NewEndpoint(prefix, session.Shared(handler.Echo{}), Options{DisconnectDelay: time.Hour, CloseTimeout: time.Hour, AllowedOrigins: []string{"*"}})
		if err != nil {
			t.Fatal(err)
		}
		e.Register(mux)
		services = append(services, e)
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{}
	configure(web, mux)
	s, ended = NewServer(web, services...), make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	return s, l.Addr().String(), ended
}

func plainly(s *http.Server, h http.Handler) { s.Handler = h }

func dialRaw(t *testing.T, addr string) *line {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &line{c, bufio.NewReader(c)}
}

func (l *line) post(t *testing.T, path, body string) string {
	t.Helper()
	fmt.Fprintf(l.Conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	res, got := l.response(t)
	return fmt.Sprintf("%d %s", res.StatusCode, got)
}

// While sessions end, their clients may still come for what they have not fetched, on
// new connections, too. Then nobody may.
func TestServerEndsSessionsFirst(t *testing.T) {
	s, addr, ended := serveAll(t, plainly)
	l := dialRaw(t, addr)
	for _, prefix := range []string{"/a", "/b"} {
		l.post(t, prefix+"/0/s/xhr", "")
		l.post(t, prefix+"/0/s/xhr_send", `["left"]`)
	}
	idle, fresh := dialRaw(t, addr), dialRaw(t, addr)
	idle.post(t, "/a/0/none/xhr_send", "") // with a body it would be closed
	down := make(chan error)
	go func() { down <- s.Shutdown(t.Context()) }()
	eventually(t, "new sessions are refused", func() bool {
		return strings.HasPrefix(dialRaw(t, addr).post(t, "/b/0/"+newID()+"/xhr", ""), "503 ")
	})
	for _, prefix := range []string{"/a", "/b"} {
		for _, want := range []string{`200 a["left"]` + "\n", `200 c[1001,"Server is going away"]` + "\n"} {
			if got := dialRaw(t, addr).post(t, prefix+"/0/s/xhr", ""); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if err := <-ended; err != http.ErrServerClosed {
		t.Errorf("Serve returned %v", err)
	}
	for name, l := range map[string]*line{"idle": idle, "fresh": fresh} {
		if _, err := l.ReadByte(); err != io.EOF {
			t.Errorf("%s: got %v, want the end of the connection", name, err)
		}
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("it still listens")
	}
}

// What is not done in time is cut, and told.
func TestServersShutdownHasADeadline(t *testing.T) {
	s, addr, ended := serveAll(t, plainly)
	l := dialRaw(t, addr)
	io.WriteString(l.Conn, "GET /a/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
	http.ReadResponse(l.Reader, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-ended
	if rest, err := io.ReadAll(l.Reader); err != nil || !strings.Contains(string(rest), "Server is going away") {
		t.Errorf("got %q, %v", rest, err)
	}
}

// Requests of every transport are served on the spot.
func TestEveryTransportIsServedAtOnce(t *testing.T) {
	var mu sync.Mutex
	by := make(map[string]string)
	s, addr, ended := serveAll(t, func(s *http.Server, h http.Handler) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			by[r.URL.Path] = fmt.Sprintf("%T", w)
			mu.Unlock()
			h.ServeHTTP(w, r)
		})
	})
	var paths []string
	for name, method := range atOnce {
		path := "/a/0/" + name + "/" + name
		paths = append(paths, path)
		l := dialRaw(t, addr)
		fmt.Fprintf(l.Conn, "%s %s?c=x HTTP/1.1\r\nHost: x\r\n\r\n", method, path)
		if _, err := l.ReadByte(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	mu.Lock()
	if len(paths) < 8 {
		t.Errorf("only %v", paths)
	}
	for _, path := range paths {
		if by[path] == "" || by[path] == "*http.response" {
			t.Errorf("%s is served by %q", path, by[path])
		}
	}
	mu.Unlock()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-ended
}

// So many clients make their handshake at a time: of two, the second waits for the first.
func TestServersHandshakeLimit(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(&http.Server{TLSConfig: &tls.Config{Certificates: testCertificates()}, ErrorLog: log.New(io.Discard, "", 0)})
	s.HandshakeLimit = 1
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	first, second := dialRaw(t, l.Addr().String()), dialRaw(t, l.Addr().String())
	for _, l := range []*line{first, second} {
		io.WriteString(l.Conn, "\x16")
	}
	eventually(t, "one waits", func() bool { return s.TLSStats().UnderWay.Load() == 1 && s.TLSStats().Waiting.Load() == 1 })
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != http.ErrServerClosed {
		t.Errorf("Serve returned %v", err)
	}
	if n := s.TLSStats().UnderWay.Load() + s.TLSStats().Waiting.Load(); n != 0 {
		t.Errorf("%d are left over", n)
	}
	s.HandshakeLimit = -1
	if err := s.Serve(l); err == nil || !strings.Contains(err.Error(), "HandshakeLimit") {
		t.Errorf("got %v", err)
	}
}

// A Server with a certificate speaks TLS.
func TestServerWithACertificate(t *testing.T) {
	lender := httptest.NewTLSServer(nil)
	defer lender.Close()
	s, addr, ended := serveAll(t, func(s *http.Server, h http.Handler) {
		s.Handler, s.TLSConfig = h, &tls.Config{Certificates: lender.TLS.Certificates}
	})
	client := lender.Client()
	res, err := client.Get("https://" + addr + "/a/info")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	client.CloseIdleConnections()
	if res.StatusCode != http.StatusOK || res.TLS == nil {
		t.Errorf("got %+v", res)
	}
	if n := s.TLSStats().Handshakes.Load(); n != 1 {
		t.Errorf("%d handshakes are counted", n)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-ended
}

// Who opens sessions sees the client's certificate, on every transport.
func TestOpenersSeeClientCertificates(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	seen := make(chan string, 1)
	e, err := NewEndpoint("/a", session.OpenerFunc(func(r *http.Request) (session.Handler, error) {
		seen <- fmt.Sprint(r.URL.Path, " ", r.TLS.PeerCertificates[0].Subject.Organization)
		return handler.Echo{}, nil
	}), Options{AllowedOrigins: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certificates := testCertificates()
	s := NewServer(&http.Server{Handler: e, TLSConfig: &tls.Config{Certificates: certificates, ClientAuth: tls.RequireAnyClientCert}}, e)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	paths := map[string]string{"/a/websocket": http.MethodGet}
	for name, method := range atOnce {
		if !strings.HasSuffix(name, "_send") {
			paths["/a/0/"+name+"/"+name] = method
		}
	}
	if len(paths) < 7 {
		t.Errorf("only %v", paths)
	}
	for path, method := range paths {
		c := tls.Client(dialRaw(t, l.Addr().String()).Conn, &tls.Config{InsecureSkipVerify: true, Certificates: certificates})
		header := ""
		if strings.HasSuffix(path, "/websocket") {
			header = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
		}
		fmt.Fprintf(c, "%s %s?c=x HTTP/1.1\r\nHost: x\r\n%s\r\n", method, path, header)
		select {
		case got := <-seen:
			if got != path+" [Acme Co]" {
				t.Errorf("got %s, want %s", got, path)
			}
		case <-time.After(patience):
			t.Fatalf("%s: no session", path)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-ended
}
