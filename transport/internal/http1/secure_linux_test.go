package http1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tlsVersions are those that are served.
var tlsVersions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// certificates are those of net/http/httptest.
var certificates = sync.OnceValue(func() []tls.Certificate {
	lender := httptest.NewTLSServer(nil)
	defer lender.Close()
	return lender.TLS.Certificates
})

// serveSecure is serveParked over TLS.
func serveSecure(t *testing.T, s *http.Server) *host {
	t.Helper()
	s.TLSConfig = &tls.Config{Certificates: certificates(), GetCertificate: certificateOf}
	if s.ErrorLog == nil {
		s.ErrorLog = log.New(io.Discard, "", 0)
	}
	h, _, _ := serveParked(t, s)
	return h
}

// certificateOf panics for one name, and has nothing to say of others.
func certificateOf(i *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if i.ServerName == "panic" {
		panic("oops")
	}
	return nil, nil
}

// securerOf is that of a host, which has one from when Serve has begun.
func securerOf(t *testing.T, h *host) (s *securer) {
	t.Helper()
	eventually(t, "it is served", func() bool {
		servers.Lock()
		defer servers.Unlock()
		if of := servers.of[h.Server]; of != nil {
			s = of.securer
		}
		return s != nil
	})
	return s
}

func (s *securer) allow(limit int, patience time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit, s.patience = limit, patience
}

// handshakes is the number of those under way, and of the connections that wait for theirs.
func (s *securer) handshakes() (begun, waiting int) {
	return int(s.stats.UnderWay.Load()), int(s.stats.Waiting.Load())
}

// dialTLS returns a connection whose handshake is yet to come.
func (h *host) dialTLS(t *testing.T, version uint16) (*caller, *tls.Conn) {
	t.Helper()
	c := tls.Client(h.dial(t).Conn, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
	return &caller{c, bufio.NewReader(c)}, c
}

// tellTLS is a handler that tells of its request.
func tellTLS(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	version := uint16(0)
	if r.TLS != nil {
		version = r.TLS.Version
	}
	fmt.Fprintf(w, "%T %s %x %d", w, r.Proto, version, len(b))
}

// Over TLS, too, plain requests are served on the spot, and any other goes to http.Server;
// also where its head and its body come in two records. Each knows of TLS.
func TestRequestsOverTLS(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(tellTLS)})
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			c, _ := h.dialTLS(t, version)
			split, _ := h.dialTLS(t, version) // http.Server's, from the first body on that comes late
			for range 3 {
				if got := c.ask(t, poll); !strings.Contains(got, fmt.Sprintf("*http1.exchange HTTP/1.1 %x 0", version)) {
					t.Errorf("a poll: got %s", got)
				}
				io.WriteString(split, "POST /0/s/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
				if got := split.ask(t, `["a"]`); !strings.HasSuffix(strings.Fields(got)[0], "200") || !strings.Contains(got, fmt.Sprintf("HTTP/1.1 %x 5", version)) {
					t.Errorf("in two records: got %s", got)
				}
			}
			if got := c.ask(t, "GET /info HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(got, fmt.Sprintf("*http.response HTTP/1.1 %x 0", version)) {
				t.Errorf("another: got %s", got)
			}
		})
	}
}

// A request that came in two records at once is plain, too.
func TestRequestInTwoRecords(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(tellTLS)})
	held := &holding{TCPConn: h.dial(t).Conn.(*net.TCPConn)}
	c := tls.Client(held, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	held.holds = true
	io.WriteString(c, "POST /0/s/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
	io.WriteString(c, `["a"]`)
	held.TCPConn.Write(held.held.Bytes())
	if got := (&caller{c, bufio.NewReader(c)}).answer(t); !strings.Contains(got, "*http1.exchange HTTP/1.1 304 5") {
		t.Errorf("got %s", got)
	}
}

// A holding is a socket that can hold what is written.
type holding struct {
	*net.TCPConn
	holds bool
	held  bytes.Buffer
}

func (h *holding) Write(p []byte) (int, error) {
	if h.holds {
		return h.held.Write(p)
	}
	return h.TCPConn.Write(p)
}

// Clients that speak HTTP/2 are http.Server's; others go back and forth between it and
// here, on one connection, with bodies of any size. Where the server is not to speak
// HTTP/2, nobody does.
func TestHTTPClientsOverTLS(t *testing.T) {
	for name, test := range map[string]struct {
		server *http.Server
		client bool // speaks HTTP/2
		want   string
	}{
		"HTTP/1.1":            {new(http.Server), false, "HTTP/1.1"},
		"HTTP/2":              {new(http.Server), true, "HTTP/2.0"},
		"not by Protocols":    {&http.Server{Protocols: onlyHTTP1()}, true, "HTTP/1.1"},
		"not by an old way":   {&http.Server{TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}, true, "HTTP/1.1"},
		"HTTP/2 with a limit": {&http.Server{ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 20 * time.Second}, true, "HTTP/2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			test.server.Handler = http.HandlerFunc(tellTLS)
			h := serveSecure(t, test.server)
			pool := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: test.client}
			defer pool.CloseIdleConnections()
			for _, size := range []int{0, 10, 5000, 100000, 10} {
				for range 3 {
					res, err := (&http.Client{Transport: pool}).Post("https://"+h.addr+"/0/s/xhr_send", "text/plain", bytes.NewReader(make([]byte, size)))
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(res.Body)
					res.Body.Close()
					if want := fmt.Sprintf("%s 304 %d", test.want, size); err != nil || !strings.HasSuffix(string(got), want) {
						t.Errorf("got %q, %v, want %s", got, err, want)
					}
				}
			}
		})
	}
}

func onlyHTTP1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// A response that http.Server has begun is taken from it, and its connection comes back.
func TestTLSConnectionIsTakenFromHTTPServer(t *testing.T) {
	takers := make(chan *Taker, 2)
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/back" {
			tellTLS(w, r)
			return
		}
		answer(t, <-takers, w, r, "taken")
	})})
	takers <- h.taker
	takers <- h.taker
	c, _ := h.dialTLS(t, 0)
	for range 2 {
		if got := c.ask(t, "GET /back HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(got, "taken") {
			t.Errorf("got %s", got)
		}
		if got := c.ask(t, poll); !strings.Contains(got, "*http1.exchange") {
			t.Errorf("it has not come back: got %s", got)
		}
	}
}

// A handler may take a TLS connection for itself.
func TestHijackOverTLS(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, secure := c.(*tls.Conn)
		fmt.Fprint(c, secure)
	})})
	for _, request := range []string{poll, "GET /info HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c, _ := h.dialTLS(t, 0)
		io.WriteString(c, request)
		if got, err := io.ReadAll(c); err != nil || len(got) < 4 {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// Who does not speak TLS is told, and logged; so is any other handshake that fails, and a
// certificate that panics.
func TestHandshakesThatFail(t *testing.T) {
	var mu sync.Mutex
	var logged []string
	s := &http.Server{Handler: http.HandlerFunc(kindOf), ErrorLog: log.New(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		logged = append(logged, string(p))
		return len(p), nil
	}), "", 0)}
	h := serveSecure(t, s)
	for name, test := range map[string]struct {
		do   func(c net.Conn)
		want string // is logged
	}{
		"plain": {func(c net.Conn) {
			io.WriteString(c, poll)
			if got, _ := io.ReadAll(c); !strings.Contains(string(got), "Client sent an HTTP request to an HTTPS server.") {
				t.Errorf("plain: got %q", got)
			}
		}, "does not look like a TLS handshake"},
		"a certificate that is not trusted": {func(c net.Conn) { tls.Client(c, &tls.Config{ServerName: "other"}).Handshake() }, "bad certificate"},
		"end":                               {func(c net.Conn) { io.WriteString(c, "\x16\x03"); c.Close() }, "EOF"},
		"panic":                             {func(c net.Conn) { tls.Client(c, &tls.Config{ServerName: "panic"}).Handshake() }, "panic: oops"},
	} {
		mu.Lock()
		logged = nil
		mu.Unlock()
		c := h.dial(t).Conn
		test.do(c)
		eventually(t, name+" is logged", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(logged) == 1 && strings.HasPrefix(logged[0], "http: TLS handshake error from 127.0.0.1:") && strings.Contains(logged[0], test.want)
		})
	}
	if c, _ := h.dialTLS(t, 0); !strings.Contains(c.ask(t, poll), "exchange") {
		t.Error("it serves no more")
	}
}

// slowly begins a handshake and says no more after a while.
var slowly = map[string]func(c net.Conn){
	"nothing":         func(net.Conn) {},
	"three bytes":     func(c net.Conn) { io.WriteString(c, "\x16\x03\x01") },
	"half a hello":    func(c net.Conn) { io.WriteString(c, "\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03") },
	"a hello, no end": func(c net.Conn) { tls.Client(&once{Conn: c}, &tls.Config{InsecureSkipVerify: true}).Handshake() },
}

// once is a connection that can be written once.
type once struct {
	net.Conn
	written bool
}

func (o *once) Write(p []byte) (int, error) {
	if o.written {
		return 0, io.ErrShortWrite
	}
	o.written = true
	return o.Conn.Write(p)
}

// Clients that are slow are given up in time, and leave no goroutine.
func TestSlowHandshakes(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: 300 * time.Millisecond})
	before := runtime.NumGoroutine()
	var conns []net.Conn
	for _, begin := range slowly {
		for range 25 {
			c := h.dial(t)
			begin(c.Conn)
			conns = append(conns, c.Conn)
		}
	}
	for _, c := range conns {
		if _, err := io.ReadAll(c); os.IsTimeout(err) {
			t.Error("it is not closed")
		}
	}
	eventually(t, "all are gone", func() bool { return h.open() == 0 && runtime.NumGoroutine() <= before+2 }) // the epoll set's
}

// So many handshakes are under way. Others wait their turn, without a goroutine; and where
// those under way take long, the oldest gives way to each that comes.
func TestHandshakesAreLimited(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	s := securerOf(t, h)
	s.allow(2, time.Hour)
	before := runtime.NumGoroutine()
	var slow []net.Conn
	for i := range 10 {
		c := h.dial(t)
		slowly["a hello, no end"](&notYet{c.Conn})
		slow = append(slow, c.Conn)
		eventually(t, "it is there", func() bool {
			begun, waiting := s.handshakes()
			return begun == min(i+1, 2) && waiting == max(i-1, 0)
		})
	}
	eventually(t, "no goroutine waits", func() bool { return runtime.NumGoroutine() <= before+2+4 })
	slow[0].Close()
	eventually(t, "another has its turn", func() bool { begun, waiting := s.handshakes(); return begun == 2 && waiting == 7 })
	s.allow(2, 100*time.Millisecond)
	served := make(chan bool, 1)
	go func() { // gives up after a while
		ok := false
		for try := 0; try < 100 && !ok; try++ { // it may be the oldest itself
			c, err := tls.Dial("tcp", h.addr, &tls.Config{InsecureSkipVerify: true})
			if ok = err == nil; ok {
				c.Close()
			}
		}
		served <- ok
	}()
	for len(served) == 0 {
		io.WriteString(h.dial(t).Conn, "\x16") // one more that waits
		time.Sleep(20 * time.Millisecond)
	}
	if !<-served {
		t.Error("slow clients keep others out")
	}
	if st := s.stats; st.GaveWay.Load() == 0 || st.Failed.Load() < st.GaveWay.Load() || st.Handshakes.Load() == 0 {
		t.Errorf("%d gave way, %d failed, %d were made", st.GaveWay.Load(), st.Failed.Load(), st.Handshakes.Load())
	}
}

// Clients that go while they wait are not kept until their turn.
func TestClientsThatWaitForAHandshakeGo(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	s := securerOf(t, h)
	s.allow(1, time.Hour)
	var conns []*net.TCPConn
	for i := range 4 {
		c := h.dial(t).Conn.(*net.TCPConn)
		io.WriteString(c, "\x16")
		conns = append(conns, c)
		eventually(t, "it is there", func() bool { begun, waiting := s.handshakes(); return begun == 1 && waiting == i })
	}
	conns[1].SetLinger(0) // a reset
	conns[1].Close()
	conns[2].Close()
	eventually(t, "two have gone", func() bool { _, waiting := s.handshakes(); return waiting == 1 && h.open() == 2 })
	conns[0].Close()
	eventually(t, "the last has its turn", func() bool { begun, waiting := s.handshakes(); return begun == 1 && waiting == 0 })
	if n := s.stats.Late.Load(); n > 0 {
		t.Errorf("%d are late", n)
	}
}

// Who cannot begin its handshake in the time that one has is closed.
func TestClientsThatWaitTooLongForAHandshake(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: 300 * time.Millisecond})
	s := securerOf(t, h)
	s.allow(1, time.Hour)
	var conns []net.Conn
	for range 10 {
		c := h.dial(t)
		io.WriteString(c.Conn, "\x16")
		conns = append(conns, c.Conn)
	}
	for _, c := range conns {
		if _, err := io.ReadAll(c); os.IsTimeout(err) {
			t.Error("it is not closed")
		}
	}
	eventually(t, "all are counted", func() bool {
		failed, late := s.stats.Failed.Load(), s.stats.Late.Load()
		return failed+late == 10 && late > 0 && h.open() == 0
	})
}

// notYet is a connection whose reads fail, so that a client says its hello and goes on.
type notYet struct{ net.Conn }

func (notYet) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

// Shutdown does not wait for handshakes.
func TestShutdownEndsHandshakes(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: time.Hour})
	s := securerOf(t, h)
	s.allow(1, time.Hour)
	for range 2 {
		io.WriteString(h.dial(t).Conn, "\x16")
	}
	eventually(t, "both are there", func() bool { begun, waiting := s.handshakes(); return begun+waiting == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	if err := Shutdown(ctx, h.Server); err != nil {
		t.Error(err)
	}
}

// A thousand clients connect at once. All are served, and nothing is left over.
func TestStormOfHandshakes(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(kindOf), ReadHeaderTimeout: time.Minute})
	clients := 1000
	if testing.Short() {
		clients = 100
	}
	before := runtime.NumGoroutine()
	var asking sync.WaitGroup
	var failed atomic.Int32
	for range clients {
		asking.Go(func() {
			c, err := tls.Dial("tcp", h.addr, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				failed.Add(1)
				return
			}
			defer c.Close()
			asker := &caller{c, bufio.NewReader(c)}
			for range 3 {
				if !strings.Contains(asker.ask(t, poll), "exchange") {
					failed.Add(1)
				}
			}
		})
	}
	asking.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d failed", n)
	}
	eventually(t, "all are gone", func() bool { return h.open() == 0 && runtime.NumGoroutine() <= before+2 })
}

// Connections that have made their handshake have no goroutine.
func TestThousandOverTLSHaveNoGoroutine(t *testing.T) {
	h := serveSecure(t, &http.Server{Handler: http.HandlerFunc(kindOf)})
	conns := 1000
	if testing.Short() {
		conns = 100
	}
	before := runtime.NumGoroutine()
	for range conns {
		c, _ := h.dialTLS(t, 0)
		c.ask(t, poll)
	}
	eventually(t, "all are parked", func() bool { return h.open() == conns && runtime.NumGoroutine() <= before+4 })
}

// What a configuration asks of clients holds here as it does by http.Server alone, and
// handlers see who they are: of requests served on the spot, and of others; also where the
// session is resumed.
func TestClientCertificates(t *testing.T) {
	named := certificates()[0]
	trust := x509.NewCertPool()
	trust.AddCert(named.Leaf)
	refuse := errors.New("refused")
	type ask struct {
		server func(c *tls.Config)
		client []tls.Certificate
		want   string // what a handler sees of the client, or part of the error
	}
	asks := map[string]ask{
		"none is asked for": {func(*tls.Config) {}, []tls.Certificate{named}, "[]"},
		"any":               {func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, []tls.Certificate{named}, "[Acme Co]"},
		"if given":          {func(c *tls.Config) { c.ClientAuth = tls.VerifyClientCertIfGiven }, nil, "[]"},
		"missing":           {func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, nil, "remote error: tls: "},
		"not trusted":       {func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool() }, []tls.Certificate{named}, "certificate"},
		"by VerifyConnection": {func(c *tls.Config) {
			c.ClientAuth = tls.RequestClientCert
			c.VerifyConnection = func(s tls.ConnectionState) error {
				if len(s.PeerCertificates) == 0 {
					return refuse
				}
				return nil
			}
		}, nil, "bad certificate"},
		"by GetConfigForClient": {func(c *tls.Config) {
			other := c.Clone()
			other.ClientAuth = tls.RequireAnyClientCert
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return other, nil }
		}, []tls.Certificate{named}, "[Acme Co]"},
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var names []string
		for _, c := range r.TLS.PeerCertificates {
			names = append(names, c.Subject.Organization...)
		}
		fmt.Fprintf(w, "%v resumed: %v", names, r.TLS.DidResume)
	})
	for name, a := range asks {
		for of, version := range tlsVersions {
			for _, parked := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, parked: %v", name, of, parked), func(t *testing.T) {
					s := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: certificates()}}
					a.server(s.TLSConfig)
					if !parked {
						s.ConnState = func(net.Conn, http.ConnState) {}
					}
					h, _, _ := serveParked(t, s)
					config := &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, Certificates: a.client, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
					for i := range 2 {
						c := tls.Client(h.dial(t).Conn, config)
						asker := &caller{c, bufio.NewReader(c)}
						if !strings.HasPrefix(a.want, "[") {
							io.WriteString(c, poll)
							if _, err := asker.read.ReadByte(); err == nil || !strings.Contains(err.Error(), a.want) && !errors.Is(err, unix.ECONNRESET) {
								t.Errorf("got %v", err)
							}
							continue
						}
						for _, request := range []string{poll, "GET /info HTTP/1.1\r\nHost: x\r\n\r\n"} {
							if got, want := asker.ask(t, request), fmt.Sprintf("%s resumed: %v", a.want, i > 0); !strings.Contains(got, want) {
								t.Errorf("got %s, want %s", got, want)
							}
						}
					}
				})
			}
		}
	}
}

// Clients are offered what http.Server offers them, in its order.
func TestProtocolsThatAreOffered(t *testing.T) {
	for name, protocols := range map[string][]string{"none": nil, "HTTP/1.1": {"http/1.1"}, "both": {"http/1.1", "h2"}, "another": {"other", "h2"}} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, parked := range []bool{true, false} {
				s := &http.Server{Handler: http.HandlerFunc(kindOf), ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: certificates(), NextProtos: protocols}}
				if !parked {
					s.ConnState = func(net.Conn, http.ConnState) {}
				}
				h, _, _ := serveParked(t, s)
				for _, speaks := range [][]string{{"h2", "http/1.1"}, {"http/1.1"}, {"h2"}, {"other", "h2"}} {
					c := tls.Client(h.dial(t).Conn, &tls.Config{InsecureSkipVerify: true, NextProtos: speaks})
					if err := c.Handshake(); err != nil {
						t.Fatal(err)
					}
					got = append(got, c.ConnectionState().NegotiatedProtocol)
					c.Close()
				}
			}
			if half := len(got) / 2; !slices.Equal(got[:half], got[half:]) {
				t.Errorf("got %q, http.Server has %q", got[:half], got[half:])
			}
		})
	}
}

// The functions of a configuration find the http.Server in their context.
func TestContextOfHandshakes(t *testing.T) {
	type key struct{}
	s := &http.Server{Handler: http.HandlerFunc(kindOf), BaseContext: func(net.Listener) context.Context { return context.WithValue(context.Background(), key{}, "base") }}
	got := make(chan context.Context, 1)
	s.TLSConfig = &tls.Config{Certificates: certificates(), GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		got <- i.Context()
		return nil, nil
	}}
	h, _, _ := serveParked(t, s)
	c, _ := h.dialTLS(t, 0)
	c.ask(t, poll)
	ctx := <-got
	if ctx.Value(key{}) != "base" || ctx.Value(http.ServerContextKey) != s {
		t.Error("it is not of BaseContext")
	}
	if addr, _ := ctx.Value(http.LocalAddrContextKey).(net.Addr); addr == nil || addr.String() != h.addr {
		t.Errorf("the address is %v", addr)
	}
}
