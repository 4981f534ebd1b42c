package netpoll

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
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"
)

// servePoller has a Poller serve s, and returns what Serve returns.
func servePoller(t *testing.T, s *http.Server) (h *host, l net.Listener, ended chan error) {
	t.Helper()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, ended = &host{s, New(time.Second), l.Addr().String()}, make(chan error, 2)
	go func() { ended <- h.poller.Serve(s, l) }()
	t.Cleanup(func() {
		shutdown(t, h.poller)
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

// kindOf is a handler that tells what kind its ResponseWriter is of.
func kindOf(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%T", w) }

// Plain requests are served on the spot from the first one on; all others are
// http.Server's, which finds all of them.
func TestFirstRequests(t *testing.T) {
	const own, servers = "*netpoll.exchange", "*http.response"
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(kindOf), ErrorLog: log.New(io.Discard, "", 0)})
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
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	h.dial(t).ask(t, poll)
	before := runtime.NumGoroutine()
	var conns []*caller
	for range 1000 {
		conns = append(conns, h.dial(t))
	}
	const spare = 10 // that come and go
	eventually(t, "all wait", func() bool { return h.poller.open() == 1001 && runtime.NumGoroutine() < before+spare })
	for _, c := range conns {
		if got := c.ask(t, poll); !strings.Contains(got, "exchange") {
			t.Fatalf("got %s", got)
		}
	}
}

// The server's timeouts hold while connections wait: one for the first request,
// another for the next.
func TestTimeoutsOfConnectionsThatWait(t *testing.T) {
	const soon = 10 * time.Millisecond
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
			h, _, _ := servePoller(t, test.server)
			c := h.dial(t)
			if test.asks {
				c.ask(t, poll)
			}
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if !test.ends {
				c.SetReadDeadline(time.Now().Add(2500 * time.Millisecond))
			}
			if _, err := c.read.ReadByte(); (err == io.EOF) != test.ends {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Empty lines are no requests: who sends them waits no longer for them.
func TestEmptyLinesAreTimed(t *testing.T) {
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: 10 * time.Millisecond, IdleTimeout: 10 * time.Millisecond})
	for _, asks := range []bool{false, true} {
		c := h.dial(t)
		if asks {
			c.ask(t, poll)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := c.read.ReadByte()
			ended <- err
		}()
		for end := time.Now().Add(15 * time.Second); len(ended) == 0; time.Sleep(50 * time.Millisecond) {
			io.WriteString(c.Conn, "\r\n")
			if time.Now().After(end) {
				t.Fatalf("asked before: %v: it is still open", asks)
			}
		}
	}
}

// Connections that come and go keep no other from being timed.
func TestTimeoutsHoldWhileOthersComeAndGo(t *testing.T) {
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: 10 * time.Millisecond})
	silent, busy := h.dial(t), h.dial(t)
	ended := make(chan error, 1)
	go func() {
		_, err := silent.read.ReadByte()
		ended <- err
	}()
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
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
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	second, seen := New(2*time.Second), make(chan int, 1)
	defer shutdown(t, second)
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var fd int
		c, err := second.Hijack(w, r)
		if err == nil {
			fd = int(c.fd)
		} else {
			s := r.Context().Value(key{}).(served)
			fd = int(s.fd)
		}
		after, _ := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		seen <- after
		if err == nil {
			c.Own(owned{})
			c.Finish([]byte("HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"))
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

// A request that stops half way is timed and answered by http.Server.
func TestHalfAFirstRequestIsTimed(t *testing.T) {
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: 50 * time.Millisecond, ErrorLog: log.New(io.Discard, "", 0)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { h.Server.Serve(l); close(ended) }()
	defer func() { h.Server.Close(); <-ended }()
	plain := &host{h.Server, h.poller, l.Addr().String()}
	if got, want := h.dial(t).ask(t, handshake[:30]), plain.dial(t).ask(t, handshake[:30]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A handler may hijack a connection (http.Hijacker), as another WebSocket server
// does, that is mounted beside.
func TestHandlersHijackFirstRequests(t *testing.T) {
	var upgrader websocket.Upgrader
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	eventually(t, "no connection is left", func() bool { return h.poller.open() == 0 })
}

// After a response has begun its connection cannot be hijacked.
func TestHijackOfAResponse(t *testing.T) {
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _, err := w.(http.Hijacker).Hijack()
		fmt.Fprint(w, err)
	})})
	if got := h.dial(t).ask(t, poll); !strings.Contains(got, ErrServed.Error()) {
		t.Errorf("got %s", got)
	}
}

// A hijacked connection may be taken, by the same Poller and while its handler is
// still at work.
func TestHijackedConnectionsAreTaken(t *testing.T) {
	var h *host
	begun := make(chan struct{})
	h, _, _ = servePoller(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-begun
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
		}
		e := newEcho()
		early, _ := rw.Reader.Peek(rw.Reader.Buffered())
		e.conn = h.poller.Take(c, early)
		e.conn.Own(e)
		e.conn.Arm()
	})})
	close(begun)
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
	var h *host
	begin, goOn := make(chan struct{}), make(chan struct{})
	h, _, _ = servePoller(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-begin
		c, err := h.poller.Upgrade(w)
		if err != nil {
			t.Error(err)
			return
		}
		e := newEcho()
		e.conn = c
		c.Own(e)
		c.Arm()
		<-goOn
	})})
	close(begin)
	c := h.dial(t)
	io.WriteString(c.Conn, poll)
	eventually(t, "it is served", func() bool { return h.poller.open() > 0 })
	time.Sleep(20 * time.Millisecond)
	echoed(t, c.Conn, "hello")
	close(goOn)
	echoed(t, c.Conn, "hello")
}

// Nor does Shutdown wait for what a handler does with a connection that it has
// hijacked, as http.Server does not.
func TestShutdownDoesNotWaitForHijackers(t *testing.T) {
	hijacked := make(chan struct{})
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := h.poller.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	echoed(t, c.Conn, "hello")
}

// After a Poller's Shutdown none of its connections is told of anything, although
// the handler that took one for it is still at work.
func TestNothingIsToldAfterShutdown(t *testing.T) {
	second := New(time.Second)
	armed, goOn := make(chan *Conn), make(chan struct{})
	var told counter
	h, _, _ := servePoller(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := second.Upgrade(w)
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
	if err := second.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if n := told.gone.Load(); n != 1 {
		t.Errorf("told %d times", n)
	}
	close(goOn)
	time.Sleep(20 * time.Millisecond)
	if n := told.gone.Load(); n != 1 {
		t.Errorf("told %d times in the end", n)
	}
}

// Shutdown of the server closes the listener and the connections that wait; that
// of the Poller closes those alone, and http.Server serves whoever comes.
func TestEndsOfServing(t *testing.T) {
	h, _, ended := servePoller(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	fresh, idle := h.dial(t), h.dial(t)
	idle.ask(t, poll)
	h.poller.Shutdown(t.Context())
	for name, c := range map[string]*caller{"fresh": fresh, "idle": idle} {
		if got := c.answer(t); got != "no response" {
			t.Errorf("%s: got %s", name, got)
		}
	}
	for range 2 {
		if got := h.dial(t).ask(t, poll); !strings.Contains(got, "*http.response") {
			t.Errorf("got %s", got)
		}
	}
	if err := h.Server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	err := <-ended
	if err != http.ErrServerClosed {
		t.Errorf("got %v", err)
	}
	ended <- err
	if _, err := net.Dial("tcp", h.addr); err == nil {
		t.Error("it still listens")
	}

	h, _, _ = servePoller(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	fresh = h.dial(t)
	eventually(t, "it is accepted", func() bool { return h.poller.open() >= 1 })
	if err := h.Server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := fresh.answer(t); got != "no response" {
		t.Errorf("got %s", got)
	}
}

// Who closes the listener ends Serve.
func TestListenersEnd(t *testing.T) {
	h, l, ended := servePoller(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	l.Close()
	err := <-ended
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	ended <- err
	if err := h.poller.Serve(h.Server, l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("again: got %v", err)
	}
}

// Where connections cannot wait parked from the start, http.Server serves them.
func TestServersThatServeThemselves(t *testing.T) {
	handler := http.HandlerFunc(kindOf)
	down := New(time.Second)
	shutdown(t, down)
	taken := New(time.Second)
	s := &http.Server{Handler: handler}
	for _, test := range []struct {
		name   string
		poller *Poller
		server *http.Server
	}{
		{"no HTTP/1", New(time.Second), &http.Server{Handler: handler, Protocols: new(http.Protocols)}},
		{"a ConnState", New(time.Second), &http.Server{Handler: handler, ConnState: func(net.Conn, http.ConnState) {}}},
		{"a Poller down", down, &http.Server{Handler: handler}},
		{"the first listener", taken, s},
		{"a second listener", taken, s},
	} {
		l, err := Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- test.poller.Serve(test.server, l) }()
		defer func() { test.server.Close(); <-ended }()
		h := &host{test.server, test.poller, l.Addr().String()}
		if got := h.dial(t).ask(t, poll); strings.Contains(got, "exchange") != (test.name == "the first listener") {
			t.Errorf("%s: got %s", test.name, got)
		}
	}
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
	h, _, _ := servePoller(t, &http.Server{ErrorLog: logger, Handler: http.HandlerFunc(kindOf)})
	h.dial(t).ask(t, poll)
	eventually(t, "only that is open", func() bool { return h.poller.open() == 1 })
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
	for end := time.Now().Add(10 * time.Second); err == nil && !said() && time.Now().Before(end); {
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

// A connection knows its addresses, and has what it inherits.
func TestAcceptedConnections(t *testing.T) {
	at, ips := []string{"127.0.0.1:0", ":0"}, []string{"127.0.0.1"}
	if nettest.SupportsIPv6() {
		at, ips = append(at, "[::1]:0"), append(ips, "::1")
	}
	for _, at := range at {
		l, err := Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, ip := range ips {
			client, err := net.Dial("tcp", net.JoinHostPort(ip, port))
			if err != nil {
				if at == ":0" {
					t.Error(err)
				}
				continue
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			if server.RemoteAddr().String() != client.LocalAddr().String() || server.LocalAddr().String() != client.RemoteAddr().String() {
				t.Errorf("%v to %v, but the client %v to %v", server.RemoteAddr(), server.LocalAddr(), client.LocalAddr(), client.RemoteAddr())
			}
			for _, o := range inherited {
				if got, err := unix.GetsockoptInt(server.(*tcp).fd, o.level, o.name); got != o.value {
					t.Errorf("option %d: got %d, %v, want %d", o.name, got, err, o.value)
				}
			}
		}
	}
	if _, err := Listen("nowhere"); err == nil {
		t.Error("it listens nowhere")
	}
}

// To who does not know what it is, an accepted connection is a net.Conn.
func TestAcceptedConnectionsAreConns(t *testing.T) {
	nettest.TestConn(t, func() (server, client net.Conn, stop func(), err error) {
		l, err := Listen("127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		defer l.Close()
		if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		server, err = l.Accept()
		return server, client, func() { server.Close(); client.Close() }, err
	})
}

// The listener's connections are closed in the middle of everything.
func TestServingRacesItsEnd(t *testing.T) {
	for range 100 {
		s := &http.Server{Handler: http.HandlerFunc(kindOf), ErrorLog: log.New(io.Discard, "", 0)}
		l, err := Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, ended := New(time.Second), make(chan error)
		go func() { ended <- p.Serve(s, l) }()
		var clients sync.WaitGroup
		for i := range 10 {
			clients.Go(func() {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				io.WriteString(c, []string{poll, handshake, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"}[i%3])
				bufio.NewReader(c).ReadByte()
				if i%2 == 0 {
					io.Copy(io.Discard, c)
				}
			})
		}
		shutdown(t, p)
		s.Close()
		<-ended
		clients.Wait()
	}
}

// A socket's address is told as net does, and its connection is a part of it.
func TestAcceptedConnectionIsOneObject(t *testing.T) {
	for _, remote := range []string{"192.0.2.1:80", "[2001:db8::1]:8080", "[fe80::1%eth0]:1"} {
		c := &tcp{fd: -1, remote: netip.MustParseAddrPort(remote)}
		if got, want := newConn(c).remoteAddr(), c.RemoteAddr().String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { newConn(&tcp{fd: -1}) }); n != 1 {
		t.Errorf("%v objects", n)
	}
}
