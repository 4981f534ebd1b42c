package transport

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
)

// Hixie-76 has no pings, so that a peer that is silent is not taken for dead.
func TestHixie76IsNotProbed(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{Hixie76: true, HeartbeatDelay: 20 * time.Millisecond})
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /echo/0/0/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"+
		"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U")
	c.SetReadDeadline(time.Now().Add(patience))
	var got []byte
	for p := make([]byte, 1024); bytes.Count(got, []byte("\x00h\xff")) < 6; {
		n, err := c.Read(p)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, p[:n]...)
	}
}
