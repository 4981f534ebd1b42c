package igm_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/session"
	"switchback/transport"
)

func TestSessionLimit(t *testing.T) {
	p := newProbe()
	s := serve(t, session.Shared(p), transport.Options{SessionLimit: 2})
	first := s.dial("/websocket")
	s.stream("/000/a").expect("o")
	if status := s.status("POST", "/000/b/xhr", ""); status != 503 {
		t.Fatalf("a session more: status %d", status)
	}
	if status := s.status("POST", "/000/a/xhr", ""); status != 200 {
		t.Fatalf("a receiver more: status %d", status)
	}
	first.Close()
	p.end(t)
	eventually(t, "room for the next session", func() bool { return s.status("POST", "/000/c/xhr", "") == 200 })
}

func TestAddressLimit(t *testing.T) {
	s := serve(t, session.Shared(newProbe()), transport.Options{AddressLimit: 1})
	s.stream("/000/a").expect("o")
	if status := s.status("POST", "/000/b/xhr", ""); status != 503 {
		t.Fatalf("status %d", status)
	}
}

// A handshake that fails after the opener was asked holds no place for good.
func TestFailedHandshakeGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	s := serve(t, session.Shared(newProbe()), transport.Options{SessionLimit: 1})
	if status := s.handshake("/websocket"); status != 400 {
		t.Fatalf("handshake without a key: status %d", status)
	}
	eventually(t, "room for the next session", func() bool { return s.status("POST", "/000/a/xhr", "") == 200 })
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	p := newProbe()
	s := serve(t, session.Shared(p), transport.Options{BodyLimit: 10})
	r := s.stream("/000/a")
	r.expect("o")
	s.sendXHR("/000/a", `["123456"]`)
	r.expect(`a["123456"]`)
	for _, path := range []string{"/000/a/xhr_send", "/000/a/jsonp_send"} {
		if status := s.status("POST", path, `["1234567"]`); status != 413 {
			t.Errorf("%s: status %d", path, status)
		}
	}
}

func TestBodyTimeout(t *testing.T) {
	s := serve(t, session.Shared(newProbe()), transport.Options{BodyTimeout: 50 * time.Millisecond})
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "POST /echo/000/a/xhr_send HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n[")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Fatalf("got %q, %v", answer, err)
	}
}

// The time for the body is not the time for the handler.
func TestBodyTimeoutEndsWithTheBody(t *testing.T) {
	p := newProbe()
	p.act["wait"] = func(session.Session) error {
		time.Sleep(100 * time.Millisecond)
		return nil
	}
	s := serve(t, session.Shared(p), transport.Options{BodyTimeout: 50 * time.Millisecond})
	r := s.stream("/000/a")
	r.expect("o")
	s.sendXHR("/000/a", `["wait","one"]`)
	r.expect(`a["one"]`)
}

func TestMessageLimit(t *testing.T) {
	p := newProbe()
	s := serve(t, session.Shared(p), transport.Options{MessageLimit: 3})
	raw := s.dial("/websocket")
	raw.write("one")
	raw.write("four")
	raw.expect("one")
	raw.expectClose(session.CodeTooBig, "Message is too big")
	ws := s.dial("/000/a/websocket")
	ws.write(`["four"]`)
	ws.expect("o", `c[1009,"Message is too big"]`)
}

func TestNativeMessageMustBeUTF8(t *testing.T) {
	c := serve(t, session.Shared(newProbe()), transport.Options{}).dial("/websocket")
	c.WriteMessage(websocket.BinaryMessage, []byte{0xff})
	c.expectClose(session.CodeInvalid, "Message is not UTF-8")
}

func TestLongSessionIDIsNotFound(t *testing.T) {
	s := serve(t, session.Shared(newProbe()), transport.Options{})
	if status := s.status("POST", "/000/"+strings.Repeat("a", 129)+"/xhr", ""); status != 404 {
		t.Fatalf("129 bytes: status %d", status)
	}
	if status := s.status("POST", "/000/"+strings.Repeat("a", 128)+"/xhr", ""); status != 200 {
		t.Fatalf("128 bytes: status %d", status)
	}
}
