package transport

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
)

// A plain is an http.Server with an endpoint at /echo, and raw connections to
// it.
type plain struct {
	*Endpoint
	server *http.Server
	addr   string
}

func servePlain(t *testing.T, o Options, configure func(*http.Server), listen func(net.Listener) net.Listener) *plain {
	t.Helper()
	e, err := NewEndpoint("/echo", session.Shared(handler.Echo{}), o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &plain{Endpoint: e, server: &http.Server{Handler: e}, addr: l.Addr().String()}
	if configure != nil {
		configure(p.server)
	}
	if listen != nil {
		l = listen(l)
	}
	done := make(chan struct{})
	go func() { p.server.Serve(l); close(done) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		p.server.Close()
		<-done
	})
	return p
}

// A line is one raw connection, and a reader of its responses.
type line struct {
	net.Conn
	*bufio.Reader
}

func (p *plain) dial(t testing.TB) *line {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &line{c, bufio.NewReader(c)}
}

func (l *line) Read(p []byte) (int, error) { return l.Reader.Read(p) }

func (l *line) request(method, path, body string) {
	fmt.Fprintf(l.Conn, "%s /echo%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
}

// response reads one response whole.
func (l *line) response(t testing.TB) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(l.Reader, nil)
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func (l *line) ask(t testing.TB, method, path, body, want string) {
	t.Helper()
	l.request(method, path, body)
	if _, got := l.response(t); got != want {
		t.Fatalf("%s %s: got %q, want %q", method, path, got, want)
	}
}

// A thousand quiet sessions on each transport are sessions only.
func TestParkedSessionsHaveNoGoroutine(t *testing.T) {
	p := servePlain(t, Options{DisconnectDelay: time.Hour}, nil, nil)
	p.dial(t).ask(t, "GET", "", "", "Welcome to SockJS!\n")
	var unfetched []string
	for name, open := range map[string]func(l *line, id string){
		"websocket": func(l *line, id string) {
			fmt.Fprintf(l.Conn, "GET /echo/0/%s/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n", id)
			l.Reader.ReadString('o')
		},
		"xhr-streaming": func(l *line, id string) {
			l.request("POST", "/0/"+id+"/xhr_streaming", "")
			l.Reader.ReadString('o')
		},
		"xhr-polling": func(l *line, id string) {
			l.ask(t, "POST", "/0/"+id+"/xhr", "", "o\n")
			l.request("POST", "/0/"+id+"/xhr", "")
		},
		"a connection that sends": func(l *line, id string) {
			p.dial(t).ask(t, "POST", "/0/"+id+"/xhr", "", "o\n")
			l.ask(t, "POST", "/0/"+id+"/xhr_send", `["x"]`, "")
			unfetched = append(unfetched, id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, opened := runtime.NumGoroutine(), p.Stats().Opened.Load()
			sessions := rounds(1000)
			for range sessions {
				open(p.dial(t), newID())
			}
			const spare = 10 // the epoll set's, the server's
			eventually(t, "all are parked", func() bool {
				return p.Stats().Opened.Load() == opened+int64(sessions) && runtime.NumGoroutine() < before+spare
			})
		})
	}
	l := p.dial(t)
	for _, id := range unfetched { // or the server would wait for who does
		l.ask(t, "POST", "/0/"+id+"/xhr", "", `a["x"]`+"\n")
	}
}

// Parked polls and streams leave their connection to the next request, whatever
// that is, and however early it comes.
func TestConnectionGoesBackToItsServer(t *testing.T) {
	p := servePlain(t, Options{ResponseLimit: 10}, nil, nil)
	l, sender := p.dial(t), p.dial(t)
	for range 20 {
		path := "/0/" + newID()
		l.ask(t, "POST", path+"/xhr", "", "o\n")
		l.request("POST", path+"/xhr", "")
		time.Sleep(2 * time.Millisecond) // it is parked
		sender.ask(t, "POST", path+"/xhr_send", `["hello"]`, "")
		if res, body := l.response(t); body != `a["hello"]`+"\n" || res.Header.Get("Date") == "" || res.ContentLength != 11 {
			t.Fatalf("got %q, %v", body, res.Header)
		}
		l.ask(t, "GET", "", "", "Welcome to SockJS!\n")

		l.request("POST", path+"/xhr_streaming", "")
		l.request("GET", "", "") // while the stream goes on
		sender.ask(t, "POST", path+"/xhr_send", `["streamed"]`, "")
		if _, body := l.response(t); !strings.HasSuffix(body, "h\n"+`a["streamed"]`+"\n") {
			t.Fatalf("got %q", body)
		}
		if _, body := l.response(t); body != "Welcome to SockJS!\n" {
			t.Fatalf("got %q", body)
		}
	}
}

// The next request comes the instant the answer can be seen, thousands of
// times, on one connection.
func TestRequestRacesTheReturn(t *testing.T) {
	p := servePlain(t, Options{DisconnectDelay: time.Minute}, nil, nil)
	l, sender, path := p.dial(t), p.dial(t), "/0/"+newID()
	l.ask(t, "POST", path+"/xhr", "", "o\n")
	for i := range 3000 {
		l.request("POST", path+"/xhr", "")
		sender.ask(t, "POST", path+"/xhr_send", fmt.Sprintf(`["%d"]`, i), "")
		if _, body := l.response(t); body != fmt.Sprintf("a[\"%d\"]\n", i) {
			t.Fatalf("message %d: got %q", i, body)
		}
	}
	// Each on a session of its own, so that the poll is parked at once.
	for range 1000 {
		path = "/0/" + newID()
		l.ask(t, "POST", path+"/xhr", "", "o\n")
		l.request("POST", path+"/xhr", "")
		sender.ask(t, "POST", path+"/xhr_send", `["x"]`, "")
		if _, body := l.response(t); body != `a["x"]`+"\n" {
			t.Fatalf("got %q", body)
		}
	}
}

// http.Server's timeouts hold for connections that have come back, and not for parked polls.
func TestTimeoutsOfReturnedConnections(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header, idle time.Duration
		next         string
	}{
		"idle":        {0, time.Second, ""},
		"slow header": {time.Second, time.Minute, "GET /echo HTTP/1.1\r\nHost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := servePlain(t, Options{}, func(s *http.Server) { s.ReadHeaderTimeout, s.IdleTimeout = c.header, c.idle }, nil)
			l, path := p.dial(t), "/0/"+newID()
			l.ask(t, "POST", path+"/xhr", "", "o\n")
			l.request("POST", path+"/xhr", "")
			time.Sleep(1500 * time.Millisecond)
			p.dial(t).ask(t, "POST", path+"/xhr_send", `["x"]`, "")
			l.response(t)
			io.WriteString(l.Conn, c.next)
			if _, err := io.ReadAll(l.Reader); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestServersShutdownClosesReturnedConnections(t *testing.T) {
	p := servePlain(t, Options{}, nil, nil)
	l, path := p.dial(t), "/0/"+newID()
	l.ask(t, "POST", path+"/xhr", "", "o\n")
	l.request("POST", path+"/xhr", "")
	time.Sleep(5 * time.Millisecond)
	p.dial(t).ask(t, "POST", path+"/xhr_send", `["x"]`, "")
	l.response(t)
	if err := p.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.ReadByte(); err != io.EOF {
		t.Errorf("got %v, want the end of the connection", err)
	}
}

// A client that asks for its connection to be closed gets that.
func TestConnectionCloseIsHeard(t *testing.T) {
	p := servePlain(t, Options{}, nil, nil)
	l, path := p.dial(t), "/0/"+newID()
	l.ask(t, "POST", path+"/xhr", "", "o\n")
	io.WriteString(l.Conn, "POST /echo"+path+"/xhr HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	time.Sleep(5 * time.Millisecond)
	p.dial(t).ask(t, "POST", path+"/xhr_send", `["x"]`, "")
	if res, body := l.response(t); body != `a["x"]`+"\n" || !res.Close {
		t.Errorf("got %q, %v", body, res.Header)
	}
	if _, err := l.ReadByte(); err != io.EOF {
		t.Errorf("got %v, want the end of the connection", err)
	}
}

// wrapping is a listener whose connections epoll cannot watch.
type wrapping struct{ net.Listener }

func (l wrapping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{c}, nil
}

func TestWiresAreWhatTheySay(t *testing.T) {
	overWires(t, func(t *testing.T, w wire) {
		s := w.serve(t, session.Shared(handler.Echo{}), Options{})
		res, err := s.client.Post(s.url+"/0/0/xhr", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.Close != (w == unparkable) || (res.TLS != nil) != w.isSecure() || (res.ProtoMajor == 2) != (w == http2) {
			t.Errorf("got %+v", res)
		}
	})
}

// Where connections are wrapped, net/http keeps them, once that is known.
func TestWrappedConnections(t *testing.T) {
	p := servePlain(t, Options{}, nil, func(l net.Listener) net.Listener { return wrapping{l} })
	first, path := p.dial(t), "/0/"+newID()
	first.request("POST", path+"/xhr", "")
	if res, body := first.response(t); body != "o\n" || !res.Close {
		t.Errorf("got %q, %v", body, res.Header)
	}
	l := p.dial(t)
	for range 3 {
		l.request("POST", path+"/xhr", "")
		attached(t, p.Endpoint, path)
		p.dial(t).ask(t, "POST", path+"/xhr_send", `["y"]`, "")
		if res, body := l.response(t); body != `a["y"]`+"\n" || res.Close {
			t.Errorf("got %q, %v", body, res.Header)
		}
	}
	gone := p.dial(t)
	gone.request("POST", path+"/xhr", "")
	attached(t, p.Endpoint, path)
	gone.Close()
	l.ask(t, "POST", path+"/xhr", "", `c[1002,"Connection interrupted"]`+"\n")
}

// wrapper is a ResponseWriter of a middleware.
type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A middleware that wraps only some responses finds the connections of others.
func TestMiddlewareOfReturnedConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	p := servePlain(t, Options{DisconnectDelay: 2 * time.Second, ResponseLimit: 4096}, nil, nil)
	p.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Wrap") != "" {
			w = wrapper{w}
		}
		p.Endpoint.ServeHTTP(w, r)
	})
	wrapped := func(l *line, path string) {
		fmt.Fprintf(l.Conn, "POST /echo%s HTTP/1.1\r\nHost: x\r\nX-Wrap: 1\r\nContent-Length: 0\r\n\r\n", path)
	}
	l, path := p.dial(t), "/0/"+newID()
	l.ask(t, "POST", path+"/xhr", "", "o\n")
	wrapped(l, path+"/xhr")
	time.Sleep(5 * time.Millisecond)
	p.dial(t).ask(t, "POST", path+"/xhr_send", `["x"]`, "")
	if res, body := l.response(t); body != `a["x"]`+"\n" || res.ContentLength != 7 {
		t.Fatalf("poll: got %q, %v", body, res.Header)
	}
	for range 2 { // the second on a connection whose stream has ended
		path = "/0/" + newID()
		opened := p.Stats().Opened.Load()
		wrapped(l, path+"/xhr_streaming")
		eventually(t, "open", func() bool { return p.Stats().Opened.Load() == opened+1 })
		text := strings.Repeat("x", 5000)
		p.dial(t).ask(t, "POST", path+"/xhr_send", `["`+text+`"]`, "")
		if res, body := l.response(t); len(res.TransferEncoding) != 1 || !strings.HasSuffix(body, "h\no\na[\""+text+"\"]\n") {
			t.Fatalf("stream: got %q, %v", body, res)
		}
	}
	wrapped(l, "/0/"+newID()+"/xhr_streaming")
	l.Reader.ReadString('o')
	l.Close()
	eventually(t, "all sessions end", func() bool { return p.Stats().Sessions.Load() == 0 })
}

// Parked receivers whose clients leave close their sessions, reset or not,
// while frames are being written or not.
func TestClientsLeaveParkedResponses(t *testing.T) {
	p := servePlain(t, Options{DisconnectDelay: 100 * time.Millisecond}, nil, nil)
	for i := range 300 {
		l, path := p.dial(t), "/0/"+newID()
		if i%2 == 0 {
			l.request("POST", path+"/xhr_streaming", "")
		} else {
			l.ask(t, "POST", path+"/xhr", "", "o\n")
			l.request("POST", path+"/xhr", "")
		}
		if i%3 == 0 {
			l.Conn.(*net.TCPConn).SetLinger(0)
		}
		if i%4 == 0 {
			go p.dial(t).request("POST", path+"/xhr_send", `["x"]`)
		}
		go l.Close()
	}
	eventually(t, "all sessions end", func() bool { return p.Stats().Sessions.Load() == 0 })
}

// The head of a parked response is as net/http would have written it, whatever
// a middleware has set.
func TestHeadersOfAParkedResponse(t *testing.T) {
	p := servePlain(t, Options{}, nil, nil)
	p.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Id", "a\r\nX-Evil: 1")
		w.Header().Set("Date", "yesterday")
		w.Header().Set("Content-Length", "5")
		w.Header().Set("Connection", "close")
		p.Endpoint.ServeHTTP(w, r)
	})
	l := p.dial(t)
	l.request("POST", "/0/"+newID()+"/xhr_streaming", "")
	res, err := http.ReadResponse(l.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := res.Header
	if h.Get("X-Evil") != "" || len(h["Date"]) != 1 || h.Get("Date") == "yesterday" || h.Get("Content-Length") != "" || !res.Close {
		t.Errorf("got %v", h)
	}
}

// Answers to different pages, one after another on the same connection, have each its
// own headers, and those of a middleware, the same over each wire.
func TestEachAnswerHasItsOwnHeaders(t *testing.T) {
	const of = "Access-Control-Allow-Origin Access-Control-Allow-Credentials Vary Cache-Control Content-Type Set-Cookie X-Content-Type-Options X-Request-Id"
	var first string
	overWires(t, func(t *testing.T, w wire) {
		s := w.serveBehind(t, session.Shared(handler.Echo{}), Options{CookieNeeded: true, AllowedOrigins: []string{"*"}}, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if id := r.Header.Get("X-Request-Id"); id != "" {
					w.Header().Set("X-Request-Id", id)
					w.Header().Set("Vary", "Accept-Encoding")
				}
				next.ServeHTTP(w, r)
			})
		})
		var got strings.Builder
		for i, headers := range [][]string{
			{"Origin: http://a.example", "Cookie: JSESSIONID=a"},
			{},
			{"Origin: http://b.example", "X-Request-Id: 1"},
			{"X-Request-Id: 2"},
			{"Cookie: JSESSIONID=b"},
		} {
			id := fmt.Sprint("own", i)
			for _, ask := range [][3]string{{"xhr", "", "o\n"}, {"xhr_send", `["x"]`, ""}, {"xhr", "", "a[\"x\"]\n"}, {"xhr_send", "[", "Broken JSON encoding.\n"}} {
				a := s.ask(t, "POST", "/0/"+id+"/"+ask[0], ask[1], headers...)
				if a.body != ask[2] {
					t.Fatalf("%s: got %q, want %q", ask[0], a.body, ask[2])
				}
				fmt.Fprintln(&got, ask[0], headers)
				for name := range strings.FieldsSeq(of) {
					fmt.Fprintln(&got, "  ", name, a.header[name])
				}
			}
		}
		if first == "" {
			first = got.String()
		}
		if got.String() != first {
			t.Errorf("got %s\nwant %s", &got, first)
		}
	})
	if !strings.Contains(first, "Vary [Accept-Encoding Origin]") || strings.Count(first, "[http://a.example]") != 4 {
		t.Errorf("got %s", first)
	}
}
