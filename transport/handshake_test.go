package transport

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
)

// CVE-2020-7693: upgrade headers on any path and method.
func TestUpgradeAnywhere(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	for _, path := range []string{"", "/", "/info", "/iframe.html", "/nothing", "/websocket", "/0/0/websocket", "/0/0/xhr_send", "/0/0/nothing"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "HEAD", "PUT", "TRACE", "CONNECT"} {
			for _, upgrade := range []string{"websocket", "WebSocket", "h2c", ""} {
				s.raw(t, method+" /echo"+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "+upgrade+"\r\nContent-Length: 0\r\n\r\n")
			}
		}
	}
	s.ask(t, "GET", "", "").want(t, 200, "Welcome to SockJS!\n")
}

// A client that takes the base URL for that of native WebSocket is told which is. A
// browser shows nothing but the code.
func TestHandshakeForTheBaseURLIsToldWhere(t *testing.T) {
	const upgrade = " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
	for _, c := range []struct {
		o    Options
		code string
		says string
	}{
		{Options{}, "400", "is at /echo/websocket; on this URL it is off"},
		{Options{DisabledTransports: []string{"websocket"}}, "400", "disabled"},
		{Options{DisabledTransports: []string{"websocket"}, RawWebSocket: true}, "400", "disabled"},
		{Options{RawWebSocket: true}, "101", ""},
	} {
		var log bytes.Buffer
		c.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		s := serve(t, session.Shared(handler.Echo{}), c.o)
		for _, path := range []string{"", "/"} {
			log.Reset()
			got := s.raw(t, "GET /echo"+path+upgrade)
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.code) || !strings.Contains(got, c.says) || (c.code == "400") != (strings.Count(log.String(), "refused") == 1) {
				t.Errorf("%q: got %q, logged %q", path, got, log.String())
			}
		}
		unread := strings.Replace(upgrade, "Upgrade: ", "Content-Length: 5\r\nUpgrade: ", 1)
		if got := s.raw(t, "GET /echo"+unread); c.code == "400" && !strings.HasPrefix(got, "HTTP/1.1 400") {
			t.Errorf("with a body that does not come: got %q", got)
		}
		s.ask(t, "GET", "", "", "Upgrade: h2c").want(t, 200, "Welcome to SockJS!\n")
	}
}

func TestHandshakesThatAreRefused(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	for _, c := range []struct{ headers, want string }{
		{"", "400 Bad Request"},
		{"Upgrade: h2c\r\nConnection: Upgrade\r\n", "400 Bad Request"},
		{"Upgrade: websocket\r\nConnection: close\r\n", "400 Bad Request"},
		{"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n", "400 Bad Request"},
		{"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n", "400 Bad Request"},
		{"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key1: 1 2\r\nSec-WebSocket-Key2: 1 2\r\n", "400 Bad Request"},
		{"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n", "400 Bad Request"},
		{"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n", "400 Bad Request"},
		{"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nContent-Length: 5\r\n", "400 Bad Request"},
		{"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nTransfer-Encoding: chunked\r\n", "400 Bad Request"},
		{"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n", "101 Switching Protocols"},
	} {
		for _, path := range []string{"/websocket", "/0/0/websocket"} {
			got := s.raw(t, "GET /echo"+path+" HTTP/1.1\r\nHost: x\r\n"+c.headers+"\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.want) {
				t.Errorf("%q: got %q", c.headers, got)
			}
			if c.want[0] == '4' && !strings.Contains(got, "\r\nSec-Websocket-Version: 13\r\n") {
				t.Errorf("%q: the version is not told: %q", c.headers, got)
			}
		}
	}
	eventually(t, "sessions end", func() bool { return s.Stats().Sessions.Load() == 0 })
}

// sockjs-protocol, JsessionidCookie: every session URL.
func TestHandshakeSetsTheCookie(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{CookieNeeded: true})
	h := http.Header{"Cookie": {"JSESSIONID=node7"}}
	conn, res, err := websocket.DefaultDialer.Dial("ws"+s.url[4:]+"/0/0/websocket", h)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := res.Header.Get("Set-Cookie"); got != "JSESSIONID=node7; Path=/" {
		t.Errorf("got %q", got)
	}
}

func TestHixie76KeysAreChecked(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{Hixie76: true, HandshakeTimeout: 50 * time.Millisecond})
	const head = "GET /echo/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: http://x\r\n"
	for _, keys := range []string{
		"Sec-WebSocket-Key1: nodigits\r\nSec-WebSocket-Key2: 1 2\r\n",
		"Sec-WebSocket-Key1: 12\r\nSec-WebSocket-Key2: 1 2\r\n",
		"Sec-WebSocket-Key1: 1 3\r\nSec-WebSocket-Key2: 1 1 1\r\n",
		"Sec-WebSocket-Key1: 99999999999 9\r\nSec-WebSocket-Key2: 1 2\r\n",
	} {
		if got := s.raw(t, head+keys+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%q: got %q", keys, got)
		}
	}
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, head+"Sec-WebSocket-Key1: 1 2\r\nSec-WebSocket-Key2: 1 4\r\n\r\nnonce678")
	br := bufio.NewReader(c)
	for line := ""; line != "\r\n"; {
		if line, err = br.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	br.Discard(16)
	io.WriteString(c, "\x00hello\xff\xff\x00")
	got, _ := io.ReadAll(br)
	if string(got) != "\x00hello\xff\xff\x00" {
		t.Errorf("got %q", got)
	}
}
