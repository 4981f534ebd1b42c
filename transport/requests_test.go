package transport

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
)

// overHTTP1 runs a test over each wire of HTTP/1.1.
func overHTTP1(t *testing.T, f func(t *testing.T, s *site)) {
	for _, w := range wires1() {
		t.Run(string(w), func(t *testing.T) {
			s := w.serve(t, session.Shared(handler.Echo{}), Options{AllowedOrigins: []string{"*"}, DisconnectDelay: time.Minute, ResponseLimit: 1})
			s.ask(t, "POST", "/0/"+newID()+"/xhr", "").want(t, 200, "o\n") // the first learns what the wire is
			f(t, s)
		})
	}
}

// connect opens a connection, over TLS where the wire has that.
func (s *site) connect(t *testing.T) *line {
	t.Helper()
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	c.(*net.TCPConn).SetReadBuffer(256 << 10) // so that what is read soon makes room
	if s.server.TLS != nil {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	return &line{c, bufio.NewReader(c)}
}

func request(method, path, body string) string {
	return fmt.Sprintf("%s /echo%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
}

// half sends requests, ends its side of the connection, and returns the bodies that
// are answered.
func (s *site) half(t *testing.T, requests ...string) (bodies []string) {
	t.Helper()
	l := s.connect(t)
	io.WriteString(l.Conn, strings.Join(requests, ""))
	l.Conn.(interface{ CloseWrite() error }).CloseWrite()
	for range requests {
		res, err := http.ReadResponse(l.Reader, nil)
		if err != nil {
			t.Errorf("no response: %v", err)
			return bodies
		}
		body, _ := io.ReadAll(res.Body)
		bodies = append(bodies, fmt.Sprintf("%d %s", res.StatusCode, strings.TrimSpace(string(body))))
	}
	return bodies
}

func wantBodies(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A client, or a load balancer, that ends its side with the last byte of a request
// wants the answer all the same (golang/go#18527; RFC 9112, section 9.6), and one that
// got it whole has lost nothing.
func TestEndOfTheRequestsSideIsNotTheSessions(t *testing.T) {
	overHTTP1(t, func(t *testing.T, s *site) {
		path := "/0/" + newID()
		poll, send := request("POST", path+"/xhr", ""), request("POST", path+"/xhr_send", `["x"]`)
		wantBodies(t, s.half(t, poll), "200 o")
		wantBodies(t, s.half(t, send), "204 ")
		wantBodies(t, s.half(t, poll), `200 a["x"]`)
		wantBodies(t, s.half(t, request("POST", path+"/jsonp_send", `["y"]`)), "200 ok")
		wantBodies(t, s.half(t, request("GET", path+"/jsonp?c=f", "")), `200 /**/f("a[\"y\"]");`)
		s.ask(t, "POST", path+"/xhr_send", `["z"]`).want(t, 204, "")
		wantBodies(t, s.half(t, request("POST", path+"/xhr_streaming", "")), "200 "+strings.Repeat("h", 2048)+"\n"+`a["z"]`)
		s.ask(t, "POST", path+"/xhr_send", `["whole"]`).want(t, 204, "")
		s.ask(t, "POST", path+"/xhr", "").want(t, 200, `a["whole"]`+"\n")
	})
}

// So it is with an answer that the socket does not take at once, and that is read whole.
func TestEndOfTheRequestsSideWithALargeAnswer(t *testing.T) {
	overHTTP1(t, func(t *testing.T, s *site) {
		path := "/0/" + newID()
		s.ask(t, "POST", path+"/xhr", "").want(t, 200, "o\n")
		large := strings.Repeat("x", 6<<20) // Linux has 4 MiB at most on its way
		if err := s.registry.Find(path[3:]).Send([]byte(large)); err != nil {
			t.Fatal(err)
		}
		if got := s.half(t, request("POST", path+"/xhr", "")); len(got) != 1 || got[0] != `200 a["`+large+`"]` {
			t.Errorf("%d answers: %.40q", len(got), got)
		}
		s.ask(t, "POST", path+"/xhr_send", `["y"]`).want(t, 204, "")
		s.ask(t, "POST", path+"/xhr", "").want(t, 200, `a["y"]`+"\n")
	})
}

// A client that takes a large answer piece by piece has the write timeout for each. It
// takes two of them for all, also where it pauses now and then.
func TestLargeAnswerIsTakenInPieces(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, w := range []wire{bare, unparkable, secure, parkedTLS} {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			unhurried(t, time.Second, func(writeTimeout time.Duration) error {
				s := w.serve(t, session.Shared(handler.Echo{}), Options{WriteTimeout: writeTimeout, DisconnectDelay: time.Hour})
				path := s.openPolling(t)
				const size = 16 << 20
				if err := s.registry.Find(path[5:]).Send(bytes.Repeat([]byte{'x'}, size)); err != nil {
					return err
				}
				l := s.connect(t)
				io.WriteString(l.Conn, request("POST", path+"/xhr", ""))
				piece, got := make([]byte, 64<<10), 0
				for begun := time.Now(); got < size; {
					n, err := l.Conn.Read(piece)
					if got += n; err != nil {
						return fmt.Errorf("%d of %d bytes after %v: %w", got, size, time.Since(begun), err)
					}
					time.Sleep(time.Until(begun.Add(2 * writeTimeout * time.Duration(got) / size)))
				}
				return nil
			})
		})
	}
}

// All of several requests at once are answered, also where the client ends its side.
func TestPipelinedRequestsAreAllAnswered(t *testing.T) {
	overHTTP1(t, func(t *testing.T, s *site) {
		path := "/0/" + newID()
		poll, send := request("POST", path+"/xhr", ""), request("POST", path+"/xhr_send", `["x"]`)
		wantBodies(t, s.half(t, poll, send, poll, send, send, poll),
			"200 o", "204 ", `200 a["x"]`, "204 ", "204 ", `200 a["x","x"]`)
		wantBodies(t, s.half(t, send, poll, request("GET", "", "")), "204 ", `200 a["x"]`, "200 Welcome to SockJS!")
	})
}

// A client that goes while nothing is there for it has gone.
func TestEndOfAWaitingClientIsTheSessions(t *testing.T) {
	overHTTP1(t, func(t *testing.T, s *site) {
		for _, leave := range []func(net.Conn){
			func(c net.Conn) { c.(interface{ CloseWrite() error }).CloseWrite() },
			func(c net.Conn) { c.Close() },
		} {
			for _, name := range []string{"xhr", "xhr_streaming"} {
				path := "/0/" + newID()
				s.ask(t, "POST", path+"/xhr", "").want(t, 200, "o\n")
				l := s.connect(t)
				io.WriteString(l.Conn, request("POST", path+"/"+name, ""))
				attached(t, s.Endpoint, path)
				leave(l.Conn)
				eventually(t, "the session closes", func() bool { return s.registry.Find(path[3:]).Closing() })
			}
		}
	})
}

// An empty line before a request is ignored: some clients send one after a body
// (RFC 9112, section 2.2).
func TestEmptyLineAfterABody(t *testing.T) {
	overHTTP1(t, func(t *testing.T, s *site) {
		for name, end := range map[string][]string{
			"with the body":      {"\r\n"},
			"by itself":          {"", "\r\n"},
			"in halves":          {"\r", "\n"},
			"after its half":     {"", "\r", "\n"},
			"as a bare new line": {"\n"},
			"twice":              {"\r\n", "\r\n"},
		} {
			path := "/0/" + newID()
			l := s.connect(t)
			l.ask(t, "POST", path+"/xhr", "", "o\n")
			for _, text := range []string{"x", strings.Repeat("x", smallBody)} { // whose answers are net/http's
				for _, ask := range []struct{ name, body, want string }{
					{"xhr_send", `["` + text + `"]`, ""},
					{"xhr", "", `a["` + text + `"]`},
					{"jsonp_send", `["y"]`, "ok"},
					{"xhr", "", `a["y"]`},
				} {
					io.WriteString(l.Conn, request("POST", path+"/"+ask.name, ask.body)+end[0])
					if res, body := l.response(t); res.StatusCode/100 != 2 || strings.TrimSpace(body) != ask.want {
						t.Errorf("%s: %s: got %d %q", name, ask.name, res.StatusCode, body)
					}
					for _, more := range end[1:] {
						time.Sleep(2 * time.Millisecond)
						io.WriteString(l.Conn, more)
					}
				}
			}
			l.ask(t, "GET", "", "", "Welcome to SockJS!\n")
		}
	})
}
