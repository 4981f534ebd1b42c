package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"switchback/session/memory"
	"switchback/transport/internal/netpoll"
)

// serveParked serves s so that connections wait here from the start, and returns what
// Serve returns.
func serveParked(t *testing.T, s *http.Server) (h *host, l net.Listener, ended chan error) {
	t.Helper()
	l, err := netpoll.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, ended = &host{s, NewTaker(served), l.Addr().String()}, make(chan error, 2)
	go func() { ended <- Serve(s, l, handshakesOf(s), served) }()
	t.Cleanup(func() {
		shutdown(t, h.taker)
		s.Close()
		if err := <-ended; err == nil {
			t.Error("Serve has ended without an error")
		}
	})
	eventually(t, "it accepts", func() bool { // so that nothing is closed before
		c, err := net.Dial("tcp", h.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return h, l, ended
}

// An echo writes back what it reads.
type echo struct{ conn *netpoll.Conn }

func (e *echo) Ready(b *netpoll.Buffer) {
	p := make([]byte, 4096)
	n, err := b.Read(p)
	if err != nil {
		e.conn.Close()
		return
	}
	e.conn.Write(p[:n])
	e.conn.Arm()
}

func (e *echo) Flushed() {}

// begin has e echo on a connection.
func (e *echo) begin(c *netpoll.Conn) {
	e.conn = c
	c.Own(e)
	c.Arm()
}

// echoed has text echoed.
func echoed(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v, want %q", got, err, text)
	}
}

// kindOf is a handler that tells what kind its ResponseWriter is of.
func kindOf(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%T", w) }

// Plain requests are served on the spot from the first one on; all others are
// http.Server's, which finds all of them.
func TestFirstRequests(t *testing.T) {
	const own, servers = "*http1.exchange", "*http.response"
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(kindOf), ErrorLog: log.New(io.Discard, "", 0)})
	for request, want := range map[string]string{
		poll:                                    own,
		handshake:                               own,
		"GET /info HTTP/1.1\r\nHost: x\r\n\r\n": servers,
		"POST /0/s/xhr_send HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": servers,
		"POST /0/s/xhr HTTP/1.1\r\nHost: a b\r\n\r\n":                                           "400 Bad Request",
		"\x16\x03\x01\x00\x05hello\r\n\r\n":                                                     "400 Bad Request",
	} {
		c := h.dial(t)
		if got := c.ask(t, request); !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s", request, got, want)
		}
		if strings.Contains(want, " ") {
			continue
		}
		if got := c.ask(t, poll); !strings.Contains(got, want) { // the kind that it is stays
			t.Errorf("after %q: got %s, want %s", request, got, want)
		}
	}
	c := h.dial(t)
	for _, piece := range []string{handshake[:9], handshake[9:30], handshake[30:]} {
		io.WriteString(c.Conn, piece)
		time.Sleep(10 * time.Millisecond)
	}
	if got := c.answer(t); !strings.Contains(got, servers) {
		t.Errorf("in pieces: got %s", got)
	}
}

// Connections that have not asked for anything yet have no goroutine.
func TestThousandThatAskNothingHaveNoGoroutine(t *testing.T) {
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	h.dial(t).ask(t, poll)
	before := runtime.NumGoroutine()
	var conns []*caller
	for range 1000 {
		conns = append(conns, h.dial(t))
	}
	const spare = 10 // that come and go
	eventually(t, "all wait", func() bool { return h.open() == 1001 && runtime.NumGoroutine() < before+spare })
	for _, c := range conns {
		if got := c.ask(t, poll); !strings.Contains(got, "exchange") {
			t.Fatalf("got %s", got)
		}
	}
}

// soon is when connections time out that ask for nothing, and in which a busy machine comes
// to ask for the first time.
const soon = 300 * time.Millisecond

// The server's timeouts hold while connections wait: one for the first request,
// another for the next.
func TestTimeoutsOfConnectionsThatWait(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		server *http.Server
		asks   bool
		ends   bool
	}{
		"first request":       {&http.Server{ReadHeaderTimeout: soon}, false, true},
		"first, by another":   {&http.Server{ReadTimeout: soon}, false, true},
		"next request":        {&http.Server{IdleTimeout: soon}, true, true},
		"no limit on first":   {&http.Server{IdleTimeout: soon}, false, false},
		"no limit on another": {&http.Server{ReadHeaderTimeout: soon}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.server.Handler = http.HandlerFunc(kindOf)
			h, _, _ := serveParked(t, test.server)
			c := h.dial(t)
			if test.asks {
				c.ask(t, poll)
			}
			c.SetReadDeadline(time.Now().Add(hangs))
			if !test.ends {
				c.SetReadDeadline(time.Now().Add(1500 * time.Millisecond))
			}
			if _, err := c.read.ReadByte(); (err == io.EOF) != test.ends {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Empty lines are no requests: who sends them waits no longer for them.
func TestEmptyLinesAreTimed(t *testing.T) {
	t.Parallel()
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: soon, IdleTimeout: soon})
	for _, asks := range []bool{false, true} {
		t.Run(fmt.Sprint("asked before: ", asks), func(t *testing.T) {
			t.Parallel()
			c := h.dial(t)
			if asks {
				c.ask(t, poll)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := c.read.ReadByte()
				ended <- err
			}()
			for end := time.Now().Add(hangs); len(ended) == 0; time.Sleep(50 * time.Millisecond) {
				io.WriteString(c.Conn, "\r\n")
				if time.Now().After(end) {
					t.Fatal("it is still open")
				}
			}
		})
	}
}

// Connections that come and go keep no other from being timed.
func TestTimeoutsHoldWhileOthersComeAndGo(t *testing.T) {
	t.Parallel()
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: soon})
	silent, busy := h.dial(t), h.dial(t)
	ended := make(chan error, 1)
	go func() {
		_, err := silent.read.ReadByte()
		ended <- err
	}()
	for end := time.Now().Add(hangs); ; time.Sleep(100 * time.Millisecond) {
		busy.ask(t, poll)
		select {
		case err := <-ended:
			if err != io.EOF {
				t.Errorf("got %v", err)
			}
			return
		default:
		}
		if time.Now().After(end) {
			t.Fatal("it is still open")
		}
	}
}

// What a handler makes of its request is its own business.
func TestHandlersMayChangeTheirRequest(t *testing.T) {
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*r = http.Request{}
		io.WriteString(w, "done")
		w.(http.Flusher).Flush()
	})})
	c := h.dial(t)
	for range 2 {
		if got := c.ask(t, poll); !strings.Contains(got, `"done"`) {
			t.Errorf("got %s", got)
		}
	}
}

// A client that ends its side while a response waits for it is not told that it has
// all of it.
func TestResponseCutShortIsNotWhole(t *testing.T) {
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			if _, err := w.Write(make([]byte, 200<<10)); err != nil {
				return
			}
		}
	})})
	c := h.dial(t)
	io.WriteString(c.Conn, poll)
	time.Sleep(50 * time.Millisecond)
	c.Conn.(*net.TCPConn).CloseWrite()
	time.Sleep(50 * time.Millisecond)
	res, err := http.ReadResponse(c.read, nil)
	if err != nil {
		return // reset before its head is read
	}
	if body, err := io.ReadAll(res.Body); err == nil && len(body) < 100*200<<10 {
		t.Errorf("%d bytes seem to be all", len(body))
	}
}

// Whoever has a connection says when its peer has vanished; what http.Server does on
// it has no such limit.
func TestPeerVanishesForWhoHasTheConnection(t *testing.T) {
	type key struct{}
	seen := make(chan int, 1)
	by := NewTaker(served)
	defer shutdown(t, by)
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, head, err := by.Hijack(nil, w, r, http.StatusNoContent)
		if err == nil {
			x.Conn.SetWriteTimeout(2 * time.Second)
		}
		seen <- userTimeout(t, r.Context().Value(key{}).(net.Conn))
		if err == nil {
			x.Conn.Own(owned{})
			x.Finish(&memory.Pieces{Bytes: append(head, "Date: now\r\n\r\n"...)})
		}
	}), ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, key{}, c)
	}})
	c := h.dial(t)
	for request, want := range map[string]int{poll: 6000, "GET / HTTP/1.0\r\nHost: x\r\n\r\n": 0} {
		c.ask(t, poll)
		<-seen
		io.WriteString(c.Conn, request)
		if got := <-seen; got != want {
			t.Errorf("%q: got %d ms, want %d", request, got, want)
		}
		c = h.dial(t)
	}
}

// userTimeout is TCP_USER_TIMEOUT of the process's socket to the peer of c.
func userTimeout(t *testing.T, c net.Conn) int {
	for fd := range 1000 {
		local, err := unix.Getsockname(fd)
		if err != nil {
			continue
		}
		peer, err := unix.Getpeername(fd)
		if err != nil || !sameAddr(local, c.LocalAddr()) || !sameAddr(peer, c.RemoteAddr()) {
			continue
		}
		after, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err != nil {
			t.Error(err)
		}
		return after
	}
	t.Error("no such socket")
	return 0
}

func sameAddr(a unix.Sockaddr, b net.Addr) bool {
	v4, ok := a.(*unix.SockaddrInet4)
	return ok && net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port))).String() == b.String()
}

// A request that stops half way is timed and answered by http.Server.
func TestHalfAFirstRequestIsTimed(t *testing.T) {
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: 50 * time.Millisecond, ErrorLog: log.New(io.Discard, "", 0)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { h.Server.Serve(l); close(ended) }()
	defer func() { h.Server.Close(); <-ended }()
	plain := &host{h.Server, h.taker, l.Addr().String()}
	if got, want := h.dial(t).ask(t, handshake[:30]), plain.dial(t).ask(t, handshake[:30]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A handler may hijack a connection (http.Hijacker), as another WebSocket server
// does, that is mounted beside.
func TestHandlersHijackFirstRequests(t *testing.T) {
	var upgrader websocket.Upgrader
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if _, _, err := w.(http.Hijacker).Hijack(); err != http.ErrHijacked {
			t.Errorf("again: %v", err)
		}
		defer c.Close()
		for {
			kind, p, err := c.ReadMessage()
			if err != nil {
				return
			}
			c.WriteMessage(kind, p)
		}
	})})
	c, _, err := websocket.DefaultDialer.Dial("ws://"+h.addr+"/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 100 {
		c.WriteMessage(websocket.TextMessage, []byte("hello"))
		if _, p, err := c.ReadMessage(); string(p) != "hello" {
			t.Fatalf("got %q, %v", p, err)
		}
	}
	c.Close()
	eventually(t, "no connection is left", func() bool { return h.open() == 0 })
}

// After a response has begun its connection cannot be hijacked.
func TestHijackOfAResponse(t *testing.T) {
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _, err := w.(http.Hijacker).Hijack()
		fmt.Fprint(w, err)
	})})
	if got := h.dial(t).ask(t, poll); !strings.Contains(got, ErrServed.Error()) {
		t.Errorf("got %s", got)
	}
}

// A hijacked connection may be taken, while its handler is still at work.
func TestHijackedConnectionsAreTaken(t *testing.T) {
	by := NewTaker(served)
	defer shutdown(t, by)
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := by.Upgrade(struct {
			http.Hijacker
			http.ResponseWriter
		}{w.(http.Hijacker), w})
		if err != nil {
			t.Error(err)
			return
		}
		new(echo).begin(c)
	})})
	for range 300 {
		c := h.dial(t)
		io.WriteString(c.Conn, poll)
		echoed(t, c.Conn, "hello") // before the handler hijacks, or after
		c.Close()
	}
}

// A connection that a handler has taken is its own at once: what comes is told while
// the handler is still at work.
func TestTakenConnectionsDoNotWaitForTheHandler(t *testing.T) {
	by := NewTaker(served)
	defer shutdown(t, by)
	goOn := make(chan struct{})
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := by.Upgrade(w)
		if err != nil {
			t.Error(err)
			return
		}
		new(echo).begin(c)
		<-goOn
	})})
	c := h.dial(t)
	io.WriteString(c.Conn, poll)
	eventually(t, "it is served", func() bool { return by.group.Len() > 0 })
	time.Sleep(20 * time.Millisecond)
	echoed(t, c.Conn, "hello")
	close(goOn)
	echoed(t, c.Conn, "hello")
}

// Nor does Shutdown wait for what a handler does with a connection that it has
// hijacked, as http.Server does not.
func TestShutdownDoesNotWaitForHijackers(t *testing.T) {
	hijacked := make(chan struct{})
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
		}
		close(hijacked)
		io.Copy(c, c)
		c.Close()
	})})
	c := h.dial(t)
	io.WriteString(c.Conn, handshake)
	<-hijacked
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	if err := Shutdown(ctx, h.Server); err != nil {
		t.Error(err)
	}
	echoed(t, c.Conn, "hello")
}

// A counter counts how often it is told of something.
type counter struct{ told atomic.Int32 }

func (c *counter) Ready(*netpoll.Buffer) { c.told.Add(1) }
func (c *counter) Flushed()              {}

// After a Taker's Shutdown none of its connections is told of anything, although
// the handler that took one for it is still at work.
func TestNothingIsToldAfterShutdown(t *testing.T) {
	armed, goOn := make(chan *netpoll.Conn), make(chan struct{})
	var told counter
	by := NewTaker(served)
	defer shutdown(t, by)
	h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := by.Upgrade(w)
		if err != nil {
			t.Error(err)
		}
		c.Own(&told)
		c.Arm()
		armed <- c
		<-goOn
	})})
	io.WriteString(h.dial(t).Conn, poll)
	(<-armed).Close()
	if err := by.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if n := told.told.Load(); n != 1 {
		t.Errorf("told %d times", n)
	}
	close(goOn)
	time.Sleep(20 * time.Millisecond)
	if n := told.told.Load(); n != 1 {
		t.Errorf("told %d times in the end", n)
	}
}

// Shutdown closes the listener and the connections that wait; that of a Taker leaves
// both alone.
func TestEndsOfServing(t *testing.T) {
	h, _, ended := serveParked(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	fresh, idle := h.dial(t), h.dial(t)
	idle.ask(t, poll)
	h.taker.Shutdown(t.Context())
	for range 2 {
		if got := idle.ask(t, poll); !strings.Contains(got, "*http1.exchange") {
			t.Errorf("got %s", got)
		}
	}
	eventually(t, "both are accepted", func() bool { return h.waiting() == 2 })
	if err := Shutdown(t.Context(), h.Server); err != nil {
		t.Error(err)
	}
	err := <-ended
	if err != http.ErrServerClosed {
		t.Errorf("got %v", err)
	}
	ended <- err
	for name, c := range map[string]*caller{"fresh": fresh, "idle": idle} {
		if got := c.answer(t); got != "no response" {
			t.Errorf("%s: got %s", name, got)
		}
	}
	if _, err := net.Dial("tcp", h.addr); err == nil {
		t.Error("it still listens")
	}
	servers.Lock()
	defer servers.Unlock()
	if servers.of[h.Server] != nil {
		t.Error("the http.Server is not forgotten")
	}
}

// Shutdown waits for what is served on the spot, or cuts it.
func TestShutdownOfTheServerWaitsForExchanges(t *testing.T) {
	for _, patient := range []bool{true, false} {
		begun, goOn := make(chan struct{}), make(chan struct{})
		h, _, _ := serveParked(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			<-goOn
			io.WriteString(w, "done")
		})})
		c := h.dial(t)
		io.WriteString(c.Conn, poll)
		<-begun
		ctx, cancel := context.WithTimeout(t.Context(), hangs)
		if !patient {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		defer cancel()
		down := make(chan error)
		go func() { down <- Shutdown(ctx, h.Server) }()
		if !patient {
			if err := <-down; err == nil {
				t.Error("it does not tell what it cuts")
			}
			if got := c.answer(t); got != "no response" {
				t.Errorf("got %s", got)
			}
			close(goOn)
			continue
		}
		select {
		case <-down:
			t.Error("did not wait")
		case <-time.After(20 * time.Millisecond):
		}
		close(goOn)
		if got := c.answer(t); !strings.Contains(got, `"done"`) || !strings.Contains(got, "close:true") {
			t.Errorf("got %s", got)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	}
}

// Who closes the listener ends Serve.
func TestListenersEnd(t *testing.T) {
	h, l, ended := serveParked(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	l.Close()
	err := <-ended
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	ended <- err
	if err := Serve(h.Server, l, nil, served); !errors.Is(err, net.ErrClosed) {
		t.Errorf("again: got %v", err)
	}
}

// Where connections cannot wait parked from the start, http.Server serves them; all
// Listeners of a server are alike.
func TestServersThatServeThemselves(t *testing.T) {
	handler := http.HandlerFunc(kindOf)
	s := &http.Server{Handler: handler}
	for _, test := range []struct {
		name   string
		server *http.Server
		parks  bool
	}{
		{"no HTTP/1", &http.Server{Handler: handler, Protocols: new(http.Protocols)}, false},
		{"a ConnState", &http.Server{Handler: handler, ConnState: func(net.Conn, http.ConnState) {}}, false},
		{"the first listener", s, true},
		{"a second listener", s, true},
	} {
		l, err := netpoll.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- Serve(test.server, l, nil, served) }()
		defer func() { test.server.Close(); <-ended }()
		h := &host{test.server, NewTaker(served), l.Addr().String()}
		c := h.dial(t)
		if got := c.ask(t, poll); strings.Contains(got, "exchange") != test.parks {
			t.Errorf("%s: got %s", test.name, got)
		}
		if !test.parks {
			continue
		}
		for range 3 { // what http.Server is given it serves
			if got := h.dial(t).ask(t, "GET /info HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(got, "*http.response") {
				t.Errorf("%s: got %s", test.name, got)
			}
		}
	}
}

// The end of one of a server's listeners is not that of the connections that wait.
func TestOneListenerOfTwoEnds(t *testing.T) {
	h, first, ended := serveParked(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	l, err := netpoll.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Serve(h.Server, l, nil, served) }()
	c := (&host{h.Server, h.taker, l.Addr().String()}).dial(t)
	idle := h.dial(t)
	c.ask(t, poll)
	idle.ask(t, poll)
	first.Close()
	err = <-ended
	ended <- err
	for _, c := range []*caller{c, idle} {
		for _, request := range []string{poll, "GET /info HTTP/1.1\r\nHost: x\r\n\r\n"} {
			if got := c.ask(t, request); !strings.HasPrefix(got, "200") {
				t.Errorf("got %s", got)
			}
		}
	}
	h.Server.Close()
	<-done
}

// A Listener goes on where there were too many open files for a while, and says
// so.
func TestTooManyOpenFiles(t *testing.T) {
	var mu sync.Mutex
	var logged bytes.Buffer
	logger := log.New(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return logged.Write(p)
	}), "", 0)
	h, _, _ := serveParked(t, &http.Server{ErrorLog: logger, Handler: http.HandlerFunc(kindOf)})
	h.dial(t).ask(t, poll)
	eventually(t, "only that is open", func() bool { return h.open() == 1 })
	addr, err := net.ResolveTCPAddr("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	release := exhaustFiles(t, 1) // the client's
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(socket, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}})
	}
	said := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(logged.String(), "too many open files")
	}
	for end := time.Now().Add(hangs); err == nil && !said() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	release()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	if !said() {
		t.Error("it does not say so")
	}
	unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
	unix.Write(socket, []byte(poll))
	got := make([]byte, 12)
	if n, err := unix.Read(socket, got); string(got[:max(n, 0)]) != "HTTP/1.1 200" {
		t.Errorf("got %q, %v", got, err)
	}
}

// The listener's connections are closed in the middle of everything.
func TestServingRacesItsEnd(t *testing.T) {
	for range 100 {
		s := &http.Server{Handler: http.HandlerFunc(kindOf), ErrorLog: log.New(io.Discard, "", 0)}
		l, err := netpoll.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		by, ended := NewTaker(served), make(chan error)
		go func() { ended <- Serve(s, l, handshakesOf(s), served) }()
		var clients sync.WaitGroup
		for i := range 10 {
			clients.Go(func() {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(hangs))
				io.WriteString(c, []string{poll, handshake, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"}[i%3])
				bufio.NewReader(c).ReadByte()
				if i%2 == 0 {
					io.Copy(io.Discard, c)
				}
			})
		}
		shutdown(t, by)
		s.Close()
		<-ended
		clients.Wait()
	}
}

// exhaustFiles opens all the files that the process may, but for some.
func exhaustFiles(t *testing.T, spare int) (release func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var files []int
	for fd, err := 0, error(nil); err == nil; {
		if fd, err = unix.Open("/dev/null", unix.O_RDONLY, 0); err == nil {
			files = append(files, fd)
		}
	}
	for _, fd := range files[:spare] {
		unix.Close(fd)
	}
	return func() {
		for _, fd := range files[spare:] {
			unix.Close(fd)
		}
		unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
}

// That epoll cannot watch a connection, for too many open files, is not taken for
// what all connections of the server are.
func TestRefusalOfEpollPasses(t *testing.T) {
	const request = "GET /back HTTP/1.1\r\nHost: x\r\n\r\n"
	var accepted atomic.Int32
	h := serveHTTP(t, &http.Server{ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			accepted.Add(1)
		}
	}})
	first, last := h.dial(t), h.dial(t)
	first.ask(t, request)
	eventually(t, "both are accepted", func() bool { return accepted.Load() == 2 })
	first.Close()
	eventually(t, "the epoll set has ended", func() bool { return epollSets() <= 1 }) // the runtime's
	release := exhaustFiles(t, 0)
	got := last.ask(t, request)
	release()
	if !strings.HasPrefix(got, "200") {
		t.Errorf("got %s", got)
	}
	c := h.dial(t)
	for range 3 {
		if got := c.ask(t, request); !strings.HasPrefix(got, "200") || strings.Contains(got, "close:true") {
			t.Errorf("afterwards: got %s", got)
		}
	}
}

// epollSets is the number of epoll sets of the process.
func epollSets() (n int) {
	files, _ := os.ReadDir("/proc/self/fd")
	for _, f := range files {
		if to, _ := os.Readlink("/proc/self/fd/" + f.Name()); to == "anon_inode:[eventpoll]" {
			n++
		}
	}
	return n
}

// isSecure tells whether a server is to speak TLS.
func handshakesOf(s *http.Server) *Handshakes {
	if s.TLSConfig == nil || len(s.TLSConfig.Certificates) == 0 {
		return nil
	}
	return &Handshakes{Limit: 1024, Stats: new(TLSStats)}
}
