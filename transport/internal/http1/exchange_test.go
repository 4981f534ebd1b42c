package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"switchback/session/memory"
	"switchback/transport/internal/netpoll"
)

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "16") // the tests that are parallel wait for most of their time
	goleak.VerifyTestMain(m)
}

// hangs only tells that something hangs: a machine that has much else to do takes its time.
const hangs = 2 * time.Minute

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(hangs); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// served tells the requests that are served on the spot.
func served(method, path string) bool {
	switch path[strings.LastIndexByte(path, '/')+1:] {
	case "websocket":
		return method == http.MethodGet
	case "xhr", "xhr_send", "xhr_streaming":
		return method == http.MethodPost
	}
	return false
}

// An owned is the owner of a connection whose response it has written.
type owned struct{}

func (owned) Ready(*netpoll.Buffer) {}
func (owned) Flushed()              {}

// answer takes the connection of a request and answers it.
func answer(t testing.TB, by *Taker, w http.ResponseWriter, r *http.Request, body string) {
	x, head, err := by.Hijack(nil, w, r, http.StatusOK)
	if err != nil {
		t.Error(err)
		return
	}
	x.Conn.SetWriteTimeout(time.Second)
	x.Conn.Own(owned{})
	x.Conn.Watch(owned{})
	x.Finish(&memory.Pieces{Bytes: fmt.Appendf(head, "Date: now\r\nContent-Length: %d\r\n\r\n%s", len(body), body)})
}

// A host is an http.Server whose connections come back to it after a request
// for /back.
type host struct {
	*http.Server
	taker *Taker
	addr  string
}

// open is the number of connections that wait or are served here, or are taken.
func (h *host) open() int { return h.taker.group.Len() + h.waiting() }

// waiting is the number of connections that wait or are served here.
func (h *host) waiting() int {
	servers.Lock()
	u := servers.of[h.Server]
	servers.Unlock()
	if u == nil {
		return 0
	}
	return u.group.Len()
}

func shutdown(t testing.TB, by *Taker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	by.Shutdown(ctx)
}

func serveHTTP(t *testing.T, s *http.Server) *host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{s, NewTaker(served), l.Addr().String()}
	handler := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/back" {
			handler.ServeHTTP(w, r)
			return
		}
		answer(t, h.taker, w, r, "")
	})
	done := make(chan struct{})
	go func() { s.Serve(l); close(done) }()
	t.Cleanup(func() {
		shutdown(t, h.taker)
		s.Close()
		<-done
	})
	return h
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A caller is one connection to a host.
type caller struct {
	net.Conn
	read *bufio.Reader
}

func (h *host) dial(t *testing.T) *caller {
	t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(hangs))
	return &caller{c, bufio.NewReader(c)}
}

// dialBack returns a connection that has come back.
func (h *host) dialBack(t *testing.T) *caller {
	t.Helper()
	c := h.dial(t)
	c.ask(t, "GET /back HTTP/1.1\r\nHost: x\r\n\r\n")
	return c
}

// ask sends a request and returns the response, as far as it can be told: the
// time aside.
func (c *caller) ask(t *testing.T, request string) string {
	t.Helper()
	if _, err := io.WriteString(c.Conn, request); err != nil {
		t.Fatal(err)
	}
	return c.answer(t)
}

func (c *caller) answer(t *testing.T) string {
	t.Helper()
	res, err := http.ReadResponse(c.read, nil)
	if err != nil {
		return "no response"
	}
	body, err := io.ReadAll(res.Body)
	if res.Header.Get("Date") == "" && res.StatusCode != http.StatusBadRequest {
		t.Error("no Date")
	}
	res.Header.Del("Date")
	return fmt.Sprintf("%s %v %v %q %v close:%v length:%d", res.Status, res.Header, res.TransferEncoding, body, err, res.Close, res.ContentLength)
}

const handshake = "GET /echo/0/s/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

const poll = "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"

// What a handler writes to a connection that has come back is what http.Server
// makes of it.
func TestExchangeIsAsHTTPServersIs(t *testing.T) {
	write := func(text string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
	}
	handlers := map[string]func(w http.ResponseWriter, r *http.Request){
		"nothing":      func(http.ResponseWriter, *http.Request) {},
		"a text":       write("hello"),
		"HTML":         write("<!DOCTYPE html><p>hello"),
		"a long text":  write(strings.Repeat("x", 2000)),
		"status alone": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			if _, err := io.WriteString(w, "x"); err != http.ErrBodyNotAllowed {
				t.Errorf("got %v", err)
			}
		},
		"not modified": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) },
		"first status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403); w.WriteHeader(200) },
		"headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x")
			w.Header()["X-Two"] = []string{"a", "b"}
			w.Header().Set("X-Evil", "a\r\nX-More: b")
			w.Header()["X-Evil\r\nX-More"] = []string{"c"}
			w.WriteHeader(500)
			w.Header().Set("X-Late", "no")
			io.WriteString(w, "error\n")
		},
		"length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "hello")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		},
		"no type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "hello")
		},
		"an encoding": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "\x1f\x8b\x08")
		},
		"less than said": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			io.WriteString(w, "hello")
		},
		"less than said, flushed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			io.WriteString(w, "x")
		},
		"more than said": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			if _, err := io.WriteString(w, "HTTP/1.1 200 OK\r\n\r\n"); err != http.ErrContentLength {
				t.Errorf("got %v", err)
			}
		},
		"deadlines": func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			b, err := io.ReadAll(r.Body)
			fmt.Fprint(w, rc.SetReadDeadline(time.Now().Add(time.Minute)), rc.EnableFullDuplex(), b, err)
		},
		"the goroutine's end": func(http.ResponseWriter, *http.Request) { runtime.Goexit() },
		"close": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			io.WriteString(w, "bye")
		},
		"flushes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x")
			for _, part := range []string{"a", "", "b", strings.Repeat("c", 1<<20)} {
				io.WriteString(w, part)
				w.(http.Flusher).Flush()
			}
			io.WriteString(w, "end")
		},
		"flush first": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x")
			w.(http.Flusher).Flush()
			io.WriteString(w, "end")
		},
		"body": func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%q %v", b, err)
		},
		"body unread": write("no"),
		"request": func(w http.ResponseWriter, r *http.Request) {
			local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
			server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
			fmt.Fprintf(w, "%s %s %s %s %s %v %d %v %v %v %v", r.Method, r.RequestURI, r.URL.Path, r.URL.RawQuery, r.Host, r.Header, r.ContentLength, r.TransferEncoding, r.Close, local, server.MaxHeaderBytes)
		},
		"abort": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"panic": func(http.ResponseWriter, *http.Request) { panic("oops") },
		"late panic": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	}
	for name, handle := range handlers {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex // no memory is shared with the server but this
			var logged []string
			writers := make(map[string]int)
			logger := log.New(writerFunc(func(p []byte) (int, error) {
				mu.Lock()
				defer mu.Unlock()
				logged = append(logged, string(p))
				return len(p), nil
			}), "", 0)
			h := serveHTTP(t, &http.Server{MaxHeaderBytes: 4000, ErrorLog: logger, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				writers[fmt.Sprintf("%T", w)]++
				mu.Unlock()
				handle(w, r)
			})})
			request := "POST /echo/0/s/xhr_send?t=1 HTTP/1.1\r\nHost: x\r\nX-Header: a\r\nX-Header: b\r\nContent-Length: 5\r\n\r\n[\"a\"]"
			fresh, back := h.dial(t), h.dialBack(t)
			for range 2 { // the second shows what has become of the connection
				if got, want := back.ask(t, request), fresh.ask(t, request); got != want {
					t.Errorf("got  %.300s\nwant %.300s", got, want)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if n := writers["*http1.exchange"]; n == 0 || n != writers["*http.response"] {
				t.Errorf("served by %v", writers)
			}
			if got := strings.Count(strings.Join(logged, ""), "http: panic serving"); name == "panic" && got != 2 || name != "panic" && got != 0 {
				t.Errorf("logged: %q", logged)
			}
		})
	}
}

// What is not plain, or not for a session, http.Server serves, and finds all of
// it.
func TestOtherRequestsAreHTTPServers(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"another method":       "GET /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\n\r\n",
		"another path":         "POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab",
		"a body to come":       "POST /echo/0/s/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
		"half a head":          "POST /echo/0/s/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Le",
		"two requests":         poll + poll,
		"an expectation":       "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
		"chunks":               "POST /echo/0/s/xhr_send HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
		"an upgrade":           "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
		"the connection's end": "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"HTTP/1.0":             "POST /echo/0/s/xhr HTTP/1.0\r\nHost: x\r\n\r\n",
		"no host":              "POST /echo/0/s/xhr HTTP/1.1\r\n\r\n",
		"two hosts":            "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"a bare line feed":     "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a folded header":      "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nX-A: b\r\n Transfer-Encoding: chunked\r\n\r\n",
		"a space before :":     "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
		"not ASCII":            "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nX-A: \xe4\r\n\r\n",
		"a host that is none":  "POST /echo/0/s/xhr HTTP/1.1\r\nHost: a b\r\n\r\n",
		"another such host":    "POST /echo/0/s/xhr HTTP/1.1\r\nHost: evil/@x\r\n\r\n",
		"too large a head":     "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 2100) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := serveHTTP(t, &http.Server{MaxHeaderBytes: 2000, ReadHeaderTimeout: 500 * time.Millisecond, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.NewResponseController(w).SetReadDeadline(time.Now().Add(500 * time.Millisecond))
				body, err := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%T %s %q %v", w, r.RequestURI, body, err != nil)
			})})
			got, want := h.dialBack(t).ask(t, request), h.dial(t).ask(t, request)
			if got != want || strings.Contains(got, "exchange") {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	h := serveHTTP(t, &http.Server{WriteTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%T", w) })})
	if got := h.dialBack(t).ask(t, poll); !strings.Contains(got, "*http.response") {
		t.Errorf("with a write timeout: got %s", got)
	}
}

func TestRequestsThatAreParsed(t *testing.T) {
	const head = "POST /echo/0/s/xhr_send HTTP/1.1\r\nHost: x\r\n"
	for request, want := range map[string]bool{
		poll:                                 true,
		head + "\r\n":                        true,
		head + "content-length: 2\r\n\r\nab": true,
		head + "Connection: Keep-Alive\r\nCookie: a=b; c=\"d\"\r\n\r\n":             true,
		"POST /echo/0/s/xhr_streaming?t=1 HTTP/1.1\r\nHost: x\r\nX_1-y: \t\r\n\r\n": true,
		handshake: true,
		"GET /echo/0/s/websocket HTTP/1.1\r\nHost: x\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n\r\n": true,

		"": false,
		"GET /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\n\r\n":                                 false,
		"POST /echo/0/s/websocket HTTP/1.1\r\nHost: x\r\n\r\n":                          false,
		"GET /echo/websocket HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\n\r\n": false,
		"GET /echo/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade,\r\n\r\n":       false,
		"GET /echo/websocket HTTP/1.1\r\nHost: x\r\nPragma: no-cache\r\n\r\n":           false,
		head + "Connection: Upgrade\r\n\r\n":                                            false,
		head + "Upgrade: websocket\r\n\r\n":                                             false,
		head + "content-length: 2\r\n\r\nabc":                                           false,
		head + "Content-Length: 2\r\n\r\na":                                             false,
		head + "\r\nab":                                                                 false,
		head + "Content-Length: +2\r\n\r\nab":                                           false,
		head + "Content-Length: 2,2\r\n\r\nab":                                          false,
		head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab":                       false,
		head + "Content-Length: 99999\r\n\r\n":                                          false,
		head + "Content-Length:\r\n\r\n":                                                false,
		head + "Transfer-Encoding: identity\r\n\r\n":                                    false,
		head + "Connection: close\r\n\r\n":                                              false,
		head + "Host: y\r\n\r\n":                                                        false,
		head + " folded: a\r\n\r\n":                                                     false,
		head + "X : a\r\n\r\n":                                                          false,
		head + "X\r\n\r\n":                                                              false,
		head + ": a\r\n\r\n":                                                            false,
		head + "X: \x7f\r\n\r\n":                                                        false,
		"POST /echo/0/s/xhr HTTP/1.1\r\nHost: x/y\r\n\r\n":                              false,
		"POST /echo/0/s/xhr HTTP/1.1\r\nX: y\r\n\r\n":                                   false,
		"POST  /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\n\r\n":                               false,
		"POST /echo/0/s/xhr  HTTP/1.1\r\nHost: x\r\n\r\n":                               false,
		"POST http://x/0/s/xhr HTTP/1.1\r\nHost: x\r\n\r\n":                             false,
		"POST /echo/0/s/xhr HTTP/1.1 \r\nHost: x\r\n\r\n":                               false,
		"POST /%zz/0/s/xhr HTTP/1.1\r\nHost: x\r\n\r\n":                                 false,
		"POST /echo/0/s/jsonp_send HTTP/1.1\r\nHost: x\r\n\r\n":                         false,
		"POST /echo/0/s/xhr HTTP/1.1\r\n\rHost: x\r\n\r\n":                              false,
		"POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\n\r\n\r\n":                              false,
	} {
		if got := parse(new(http.Request), []byte(request), served); got != want {
			t.Errorf("%q: got %v, want %v", request, got, want)
		}
	}
}

// What is parsed http.ReadRequest would parse alike.
func FuzzParse(f *testing.F) {
	f.Add([]byte(poll))
	f.Add([]byte(handshake))
	f.Add([]byte("GET /websocket? HTTP/1.1\r\nHost: x\r\nConnection: keep-alive,Upgrade\r\nCache-Control: a\r\nPragma: no-cache\r\n\r\n"))
	f.Add([]byte("POST //a/xhr_send?b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\ncookie: a=b \r\nCookie: c\r\n\r\nab"))
	f.Add([]byte("POST /%zz/xhr HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var got http.Request
		if !parse(&got, p, served) {
			return
		}
		b := bufio.NewReader(bytes.NewReader(p))
		want, err := http.ReadRequest(b)
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		gotBody, _ := io.ReadAll(got.Body)
		wantBody, _ := io.ReadAll(want.Body)
		if rest, _ := io.ReadAll(b); !bytes.Equal(gotBody, wantBody) || len(rest) > 0 {
			t.Errorf("%q: got body %q, want %q and then %q", p, gotBody, wantBody, rest)
		}
		got.Body, want.Body = nil, nil
		if got, want := got.WithContext(t.Context()), want.WithContext(t.Context()); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", p, got, want)
		}
	})
}

// A client with a wrong target is told so.
func TestTargetThatCannotBeRead(t *testing.T) {
	h := serveHTTP(t, &http.Server{Handler: http.NotFoundHandler()})
	const request = "POST /%zz/0/s/xhr HTTP/1.1\r\nHost: x\r\n\r\n"
	if got, want := h.dialBack(t).ask(t, request), h.dial(t).ask(t, request); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The context of a request ends with its client and with its handler, and holds
// what the server says and nothing of earlier requests.
func TestContextOfAnExchange(t *testing.T) {
	type key string
	seen, gone := make(chan context.Context, 1), make(chan struct{})
	h := serveHTTP(t, &http.Server{
		BaseContext: func(net.Listener) context.Context { return context.WithValue(context.Background(), key("base"), 1) },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, key("conn"), c.RemoteAddr())
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := w.(*exchange); !ok {
				t.Errorf("served by %T", w)
			}
			seen <- r.Context()
			if r.Header.Get("X-Wait") != "" {
				<-r.Context().Done()
				close(gone)
			}
		}),
	})
	c := h.dialBack(t)
	c.ask(t, poll)
	ctx := <-seen
	if addr, _ := ctx.Value(key("conn")).(net.Addr); ctx.Value(key("base")) != 1 || addr.String() != c.LocalAddr().String() {
		t.Errorf("got %v", ctx)
	}
	eventually(t, "the context ends with the handler", func() bool { return ctx.Err() != nil })
	io.WriteString(c.Conn, "POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nX-Wait: 1\r\n\r\n")
	if ctx = <-seen; ctx.Err() != nil {
		t.Error("the context of a new request is over")
	}
	c.Close()
	<-gone
}

func TestDateIsThatOfEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			if got, want := string(AppendDate(nil)), "Date: "+time.Now().UTC().Format(http.TimeFormat)+"\r\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// What a middleware sets once the connection is taken is of no use, but not for others.
func TestHeadersAreOfOneAnswer(t *testing.T) {
	by := NewTaker(served)
	defer shutdown(t, by)
	h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Before", r.Header.Get("X-Name"))
		answer(t, by, w, r, "")
		w.Header().Set("X-After", "1")
	})})
	c := h.dialBack(t)
	for i := range 50 {
		request := fmt.Sprintf("POST /echo/0/s/xhr HTTP/1.1\r\nHost: x\r\nX-Name: %d\r\nContent-Length: 0\r\n\r\n", i)
		if got := c.ask(t, request); !strings.Contains(got, fmt.Sprintf("X-Before:[%d]", i)) || strings.Contains(got, "X-After") {
			t.Fatalf("got %s", got)
		}
	}
}

// Who keeps a header has it to itself, whatever is lent.
func TestHeadersThatAreKept(t *testing.T) {
	by := NewTaker(served)
	defer shutdown(t, by)
	var kept []http.Header
	n := 0
	h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, late := range kept {
			late.Set("X-Late", "1")
		}
		if n++; n%2 == 1 { // as a middleware may
			kept = append(kept, w.Header())
		}
		Header(w)
		answer(t, by, w, r, "")
	})})
	c := h.dialBack(t)
	for range 20 {
		if got := c.ask(t, poll); strings.Contains(got, "X-Late") {
			t.Fatalf("another's header: %s", got)
		}
	}
}

// A client that ends its side, be it with its request, ends the context of what is done
// for it, as with http.Server.
func TestContextEndsWithThePeersSide(t *testing.T) {
	ended := make(chan struct{})
	h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended <- struct{}{}
	})})
	for range 20 {
		c := h.dialBack(t)
		io.WriteString(c.Conn, poll)
		c.Conn.(*net.TCPConn).CloseWrite()
		select {
		case <-ended:
		case <-time.After(hangs):
			t.Fatal("the handler waits for ever")
		}
	}
}

// An exchange's context is as one of context.WithCancel, whoever asks what of it, and
// when.
func TestContextOfAnExchangeIsAsAnyOther(t *testing.T) {
	type key string
	usual := func(base context.Context) (ctx context.Context, end func()) { return context.WithCancel(base) }
	ours := func(base context.Context) (ctx context.Context, end func()) {
		c := &exchangeContext{Context: base}
		return c, c.end
	}
	over := func(ctx context.Context) bool {
		select {
		case <-ctx.Done():
			return true
		default:
			return false
		}
	}
	for name, scene := range map[string]func(ctx context.Context, end, endBase func()) []any{
		"nobody waits": func(ctx context.Context, end, _ func()) []any {
			before := ctx.Err()
			end()
			return []any{before, ctx.Err(), context.Cause(ctx), ctx.Value(key("base"))}
		},
		"somebody waits": func(ctx context.Context, end, _ func()) []any {
			before := over(ctx)
			end()
			return []any{before, over(ctx), ctx.Err(), context.Cause(ctx), ctx.Value(key("base"))}
		},
		"somebody waits too late": func(ctx context.Context, end, _ func()) []any {
			end()
			end()
			return []any{over(ctx), ctx.Err(), context.Cause(ctx)}
		},
		"the server's ends": func(ctx context.Context, _, endBase func()) []any {
			endBase()
			return []any{ctx.Err(), context.Cause(ctx), over(ctx)}
		},
		"the server's ends after it": func(ctx context.Context, end, endBase func()) []any {
			end()
			endBase()
			return []any{ctx.Err(), context.Cause(ctx), over(ctx), ctx.Err(), context.Cause(ctx), ctx.Value(key("base"))}
		},
		"a child": func(ctx context.Context, end, _ func()) []any {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			before := over(child)
			end()
			return []any{before, over(child), child.Err(), context.Cause(child)}
		},
		"a child of the ended": func(ctx context.Context, end, _ func()) []any {
			end()
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			return []any{over(child), child.Err(), context.Cause(child)}
		},
	} {
		var seen [2][]any
		for i, with := range []func(context.Context) (context.Context, func()){usual, ours} {
			base, endBase := context.WithCancelCause(context.WithValue(t.Context(), key("base"), name))
			ctx, end := with(base)
			seen[i] = scene(ctx, end, func() { endBase(io.ErrNoProgress) })
			end()
		}
		if !reflect.DeepEqual(seen[1], seen[0]) {
			t.Errorf("%s: %v, want %v", name, seen[1], seen[0])
		}
	}
}

// A peer that does not read holds up the handler, flushed or not, until it has
// gone.
func TestWritesWaitForThePeer(t *testing.T) {
	t.Parallel()
	for _, flush := range []bool{true, false} {
		t.Run(fmt.Sprint("flushed: ", flush), func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for {
					_, err := w.Write(make([]byte, 1<<20))
					if err == nil && flush {
						err = http.NewResponseController(w).Flush()
					}
					if err != nil {
						ended <- err
						return
					}
				}
			})})
			c := h.dialBack(t)
			io.WriteString(c.Conn, poll)
			if _, err := io.CopyN(io.Discard, c.read, 20<<20); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended: // within the write timeout that the connection had last
			case <-time.After(hangs):
				t.Error("the handler goes on")
			}
		})
	}
}

// A connection may end before its request is served: the request's context does.
func TestContextOfAnEndedConnection(t *testing.T) {
	ended := make(chan struct{})
	h := serveHTTP(t, &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if _, plain := c.(*net.TCPConn); !plain { // it waited here
				c.Close()
			}
			return ctx
		},
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(ended)
		}),
	})
	io.WriteString(h.dialBack(t).Conn, poll)
	<-ended
}

// A connection may be taken by one after another, and not by one that is down.
func TestTakersShareAServer(t *testing.T) {
	other := NewTaker(served)
	h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, head, err := other.Hijack(nil, w, r, http.StatusOK)
		if errors.Is(err, ErrServed) {
			io.WriteString(w, "served")
			return
		}
		if err != nil {
			t.Error(err)
		}
		x.Conn.Own(owned{})
		x.Conn.Watch(owned{})
		x.Finish(&memory.Pieces{Bytes: append(head, "Date: now\r\nContent-Length: 5\r\n\r\nother"...)})
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusTeapot)
		if _, err := io.WriteString(w, "x"); err != http.ErrHijacked {
			t.Errorf("after that: %v", err)
		}
		if err := http.NewResponseController(w).Flush(); err != http.ErrHijacked {
			t.Errorf("after that: %v", err)
		}
	})})
	c := h.dialBack(t)
	for range 3 {
		if got := c.ask(t, poll); !strings.Contains(got, `"other"`) {
			t.Fatalf("got %s", got)
		}
	}
	eventually(t, "the connection is back", func() bool {
		return h.waiting() == 1 && h.taker.group.Len() == 0 && other.group.Len() == 0
	})
	shutdown(t, other)
	if got := c.ask(t, poll); !strings.Contains(got, `"served"`) {
		t.Errorf("by one that is down: got %s", got)
	}
	c.ask(t, "GET /back HTTP/1.1\r\nHost: x\r\n\r\n")
	shutdown(t, h.taker) // the last that used the server
	if got := c.answer(t); got != "no response" {
		t.Errorf("got %s on a connection that nobody uses", got)
	}
}

// serving returns a host that is serving a request of c's, until goOn is closed.
func serving(t *testing.T) (h *host, c *caller, goOn chan struct{}) {
	t.Helper()
	begun, goOn := make(chan struct{}), make(chan struct{})
	h = serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-goOn
		io.WriteString(w, "done")
	})})
	c = h.dialBack(t)
	io.WriteString(c.Conn, poll)
	<-begun
	return h, c, goOn
}

// Shutdown waits for a request that is being served.
func TestShutdownWaitsForExchanges(t *testing.T) {
	h, c, goOn := serving(t)
	down := make(chan error, 1)
	go func() { down <- h.taker.Shutdown(t.Context()) }()
	select {
	case <-down:
		t.Error("did not wait")
	case <-time.After(20 * time.Millisecond):
	}
	close(goOn)
	if got := c.answer(t); !strings.Contains(got, `"done"`) {
		t.Errorf("got %s", got)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// The answer to a request that is being served while the server shuts down is
// its connection's last, and says so.
func TestServersShutdownIsToldByExchanges(t *testing.T) {
	h, c, goOn := serving(t)
	if err := h.Server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	close(goOn)
	if got := c.answer(t); !strings.Contains(got, `"done"`) || !strings.Contains(got, "close:true") {
		t.Errorf("got %s", got)
	}
}

// A Taker that is down has no part in what goes on on a connection that another has
// taken since.
func TestShutdownIsOfOneTaker(t *testing.T) {
	other := NewTaker(served)
	h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(t, other, w, r, "")
	})})
	c := h.dialBack(t)
	c.ask(t, poll)
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	if err := h.taker.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	for range 3 {
		if got := c.ask(t, poll); !strings.HasPrefix(got, "200") || strings.Contains(got, "close:true") {
			t.Errorf("got %s", got)
		}
	}
	shutdown(t, other)
}

// Requests come the instant the answer to the last can be seen, thousands of
// times, and their clients leave the instant they have asked.
func TestExchangesRaceTheReturn(t *testing.T) {
	h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") })})
	c := h.dialBack(t)
	want := c.ask(t, poll)
	for range 3000 {
		if got := c.ask(t, poll); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %s", got)
		}
	}
	for range 500 {
		c := h.dialBack(t)
		io.WriteString(c.Conn, poll)
		c.Close()
	}
	c.Close()
	eventually(t, "no connection is left", func() bool { return h.open() == 0 })
}
