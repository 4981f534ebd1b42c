package transport

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
)

// requests are one for each path that looks at a page's origin.
var requests = []struct{ method, path string }{
	{"GET", "/info"}, {"OPTIONS", "/info"}, {"GET", "/iframe.html"}, {"GET", "/websocket"},
	{"GET", "/0/%/websocket"}, {"POST", "/0/%/xhr"}, {"POST", "/0/%/xhr_streaming"}, {"POST", "/0/%/xhr_send"},
	{"GET", "/0/%/eventsource"}, {"GET", "/0/%/htmlfile?c=f"}, {"GET", "/0/%/jsonp?c=f"}, {"POST", "/0/%/jsonp_send"},
	{"OPTIONS", "/0/%/xhr"},
}

func TestForeignPagesAreRefusedEverywhere(t *testing.T) {
	s := serve(t, session.Shared(handler.Close{}), Options{AllowedOrigins: []string{"https://friend.example"}})
	refused := int64(0)
	for _, r := range requests {
		for _, headers := range [][]string{
			{"Origin: https://evil.example"},
			{"Origin: null"},
			{"Sec-Fetch-Site: cross-site", "Referer: https://evil.example/page"},
			{"Sec-Fetch-Site: cross-site"},
			{"Sec-Fetch-Site: same-site"},
			{"Referer: https://evil.example/page"},
			{},
		} {
			hidden := len(headers) == 0
			if hidden && !strings.Contains(r.path, "iframe") && !strings.Contains(r.path, "?c=") {
				continue // by script: no browser hides there
			}
			path := strings.Replace(r.path, "%", newID(), 1)
			a := s.ask(t, r.method, path, "", headers...)
			if a.status != 403 || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s %v: got %d", r.method, r.path, headers, a.status)
			}
			refused++
		}
		for _, headers := range [][]string{
			{"Origin: https://friend.example"},
			{"Origin: http://own.example", "Host: own.example"},
			{"Origin: http://own.example", "Host: own.example:80"},
			{"Sec-Fetch-Site: same-origin", "Referer: https://hidden.example/"},
			{"Sec-Fetch-Site: cross-site", "Referer: https://friend.example/page"},
		} {
			path := strings.Replace(r.path, "%", newID(), 1)
			if a := s.ask(t, r.method, path, "", headers...); a.status == 403 {
				t.Errorf("%s %s %v: got 403", r.method, r.path, headers)
			}
		}
	}
	if got := s.Stats().ForeignOrigins.Load(); got != refused {
		t.Errorf("counted %d of %d", got, refused)
	}
}

func TestCORSHeaders(t *testing.T) {
	s := serve(t, session.Shared(handler.Close{}), Options{AllowedOrigins: []string{"https://friend.example"}})
	a := s.ask(t, "POST", "/0/"+newID()+"/xhr", "", "Origin: https://friend.example")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":      "https://friend.example",
		"Access-Control-Allow-Credentials": "true",
		"Vary":                             "Origin",
		"X-Content-Type-Options":           "nosniff",
		"Cache-Control":                    "no-store, no-cache, no-transform, must-revalidate, max-age=0",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	a = s.ask(t, "GET", "/info", "")
	if a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("without an origin: %v", a.header)
	}
	a = s.ask(t, "OPTIONS", "/0/0/xhr_send", "", "Origin: https://friend.example",
		"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: a, b")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":  "https://friend.example",
		"Access-Control-Allow-Methods": "OPTIONS, POST",
		"Access-Control-Allow-Headers": "a, b",
		"Access-Control-Max-Age":       "31536000",
		"Cache-Control":                "public, max-age=31536000",
	} {
		if got := a.header.Get(name); got != want || a.status != 204 {
			t.Errorf("preflight: %d, %s: got %q, want %q", a.status, name, got, want)
		}
	}
}

// A page that comes over TLS through a proxy is at home only where the proxy
// is trusted.
func TestOwnOriginBehindAProxy(t *testing.T) {
	for _, c := range []struct {
		trusted []netip.Prefix
		status  int
	}{{nil, 403}, {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 200}} {
		s := serve(t, session.Shared(handler.Echo{}), Options{TrustedProxies: c.trusted})
		a := s.ask(t, "GET", "/info", "", "Host: front.example", "Origin: https://front.example", "X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.1")
		if a.status != c.status {
			t.Errorf("got %d, want %d", a.status, c.status)
		}
	}
}

// DNS rebinding: a name of somebody else stands for a loopback address of ours.
func TestForeignNamesOfALoopbackAddressAreRefused(t *testing.T) {
	overWires(t, func(t *testing.T, w wire) {
		s := w.serve(t, session.Shared(handler.Echo{}), Options{})
		_, port, _ := net.SplitHostPort(s.server.Listener.Addr().String())
		scheme, foreign := "http://", 403
		if w.isSecure() { // where no browser gets that far
			scheme, foreign = "https://", 200
		}
		for host, status := range map[string]int{"evil.example:" + port: foreign, "localhost:" + port: 200, "front.example": 200} {
			for _, r := range []struct{ method, path string }{{"GET", "/info"}, {"POST", "/0/" + newID() + "/xhr"}} {
				if a := s.ask(t, r.method, r.path, "", "Host: "+host, "Origin: "+scheme+host); a.status != status {
					t.Errorf("%s %s of %s: got %d, want %d", r.method, r.path, host, a.status, status)
				}
			}
			if a := s.ask(t, "GET", "/info", "", "Host: "+host); a.status != status {
				t.Errorf("%s without an origin: got %d, want %d", host, a.status, status)
			}
		}
	})
}

func TestPeerIsWhoTheProxyReports(t *testing.T) {
	peers := make(chan session.Peer, 1)
	opener := session.Shared(peerRecorder{peers: peers})
	s := serve(t, opener, Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	h := http.Header{"X-Forwarded-For": {"198.51.100.1"}, "X-Forwarded-Proto": {"https"}, "User-Agent": {strings.Repeat("u", 300)}, "Origin": {"https://" + s.server.Listener.Addr().String()}}
	conn, _, err := websocket.DefaultDialer.Dial("ws"+s.url[4:]+"/websocket", h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, want := <-peers, session.Peer{
		Transport: "raw-websocket", Binary: true, Address: "198.51.100.1", Host: s.server.Listener.Addr().String(),
		Secure: true, Origin: "https://" + s.server.Listener.Addr().String(), UserAgent: strings.Repeat("u", 256),
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A WebSocket of before RFC 6455 wants its URL back, as its page has it.
func TestHixie76LocationIsThePages(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{Hixie76: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	for headers, want := range map[string]string{
		"Host: app.example\r\nOrigin: http://app.example":                                                           "ws://app.example/echo/0/0/websocket",
		"Host: app.example\r\nOrigin: https://app.example\r\nX-Forwarded-Proto: wss\r\nX-Forwarded-Port: 443":       "wss://app.example/echo/0/0/websocket",
		"Host: app.example\r\nOrigin: https://app.example:8443\r\nX-Forwarded-Proto: wss\r\nX-Forwarded-Port: 8443": "wss://app.example:8443/echo/0/0/websocket",
	} {
		got := s.raw(t, "GET /echo/0/0/websocket HTTP/1.1\r\n"+headers+"\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"+
			"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U")
		if !strings.Contains(got, "\r\nSec-WebSocket-Location: "+want+"\r\n") {
			t.Errorf("%s: got %s", headers, got)
		}
	}
}

type peerRecorder struct {
	handler.Echo
	peers chan session.Peer
}

func (h peerRecorder) OnOpen(s session.Session) error { h.peers <- *s.Peer(); return nil }

// The client's first sub-protocol that the opener speaks, as the client
// spells it.
func TestSubprotocolIsTheClientsChoice(t *testing.T) {
	s := serve(t, speaker{session.Shared(handler.Echo{})}, Options{})
	for _, c := range []struct {
		asked []string
		want  string
	}{
		{[]string{"v99.stomp", "V11.stomp", "v12.stomp"}, "V11.stomp"},
		{[]string{"mqtt"}, ""},
		{nil, ""},
	} {
		d := websocket.Dialer{Subprotocols: c.asked}
		conn, _, err := d.Dial("ws"+s.url[4:]+"/websocket", nil)
		if err != nil {
			t.Fatal(err)
		}
		if conn.Subprotocol() != c.want {
			t.Errorf("asked %v: got %q, want %q", c.asked, conn.Subprotocol(), c.want)
		}
		conn.Close()
	}
}

type speaker struct{ session.Opener }

func (speaker) Subprotocols() []string { return []string{"v12.stomp", "v11.stomp"} }
