package transport

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"switchback/handler"
	"switchback/session"
)

// browser is what a browser adds to each request.
const browser = "Host: chat.example.com\r\nConnection: keep-alive\r\n" +
	`sec-ch-ua-platform: "Linux"` + "\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	`sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"` + "\r\n" +
	"sec-ch-ua-mobile: ?0\r\nAccept: */*\r\nOrigin: http://chat.example.com\r\n" +
	"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n" +
	"Referer: http://chat.example.com/\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\nCookie: JSESSIONID=node01a2b3c4d5e6f7g8h9i0\r\n"

// A talk is a client's connection in a benchmark. It allocates nothing.
type talk struct {
	net.Conn
	b      *testing.B
	answer []byte
}

func (s *site) talk(b *testing.B) *talk {
	b.Helper()
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &talk{c, b, make([]byte, 0, 4096)}
}

// want reads until what has come ends with end.
func (t *talk) want(end string) {
	for t.answer = t.answer[:0]; !bytes.HasSuffix(t.answer, []byte(end)); {
		n, err := t.Read(t.answer[len(t.answer):cap(t.answer)])
		if n == 0 {
			t.b.Fatalf("%v after %q", err, t.answer)
		}
		t.answer = t.answer[:len(t.answer)+n]
	}
}

// ask writes a request, and reads until the answer ends with end.
func (t *talk) ask(request []byte, end string) {
	if _, err := t.Write(request); err != nil {
		t.b.Fatal(err)
	}
	t.want(end)
}

func post(path, body string) []byte {
	return fmt.Appendf(nil, "POST /echo/000/s/%s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", path, browser, len(body), body)
}

// A message goes the whole way, and back. With xhr-polling that is two requests.
func BenchmarkEcho(b *testing.B) {
	const text = "hello, world"
	b.Run("websocket", func(b *testing.B) {
		c := fromStart.serve(b, session.Shared(handler.Echo{}), Options{}).talk(b)
		c.ask([]byte("GET /echo/000/s/websocket HTTP/1.1\r\n"+strings.Replace(browser, "keep-alive", "Upgrade", 1)+
			"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), "o")
		frame := fmt.Appendf([]byte{0x81, 0x80 | byte(len(text)+4), 0, 0, 0, 0}, `["%s"]`, text)
		b.ReportAllocs()
		for b.Loop() {
			c.ask(frame, "]")
		}
	})
	for _, c := range []struct{ transport, end string }{{"xhr_streaming", "\n\r\n"}, {"xhr", "\n"}} {
		b.Run(c.transport, func(b *testing.B) {
			s := fromStart.serve(b, session.Shared(handler.Echo{}), Options{ResponseLimit: 1 << 30})
			receiving, sending := s.talk(b), s.talk(b)
			receive, send := post(c.transport, ""), post("xhr_send", `["`+text+`"]`)
			receiving.ask(receive, "o"+c.end)
			b.ReportAllocs()
			for b.Loop() {
				if c.transport == "xhr" {
					receiving.Write(receive)
				}
				sending.ask(send, "\r\n\r\n")
				receiving.want(`"]` + c.end)
			}
		})
	}
}
