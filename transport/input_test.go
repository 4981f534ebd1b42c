package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
)

// openPolling opens a session and returns its URL's path.
func (s *site) openPolling(t *testing.T) string {
	t.Helper()
	path := "/000/" + newID()
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, "o\n")
	return path
}

func TestBodiesThatAreNoArrayOfStrings(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{MessageLimit: 10, BodyLimit: 60, BatchLimit: 3})
	path := s.openPolling(t)
	for _, c := range []struct {
		body   string
		status int
		answer string
	}{
		{``, 500, "Payload expected.\n"},
		{` `, 500, "Payload expected.\n"},
		{`["x`, 500, "Broken JSON encoding.\n"},
		{`["x"]["y"]`, 500, "Broken JSON encoding.\n"},
		{`["x"] y`, 500, "Broken JSON encoding.\n"},
		{"[\"\xff\"]", 500, "Broken JSON encoding.\n"},
		{`{}`, 500, "Payload must be an array of strings.\n"},
		{`"abc"`, 500, "Payload must be an array of strings.\n"},
		{`[1]`, 500, "Payload must be an array of strings.\n"},
		{`["half",1]`, 500, "Payload must be an array of strings.\n"},
		{`["half",["x"]]`, 500, "Payload must be an array of strings.\n"},
		{`["a","b","c","d"]`, 413, "Payload is too large.\n"},
		{`["0123456789x"]`, 413, "Payload is too large.\n"},
		{`["` + strings.Repeat("x", 60) + `"]`, 413, "Payload is too large.\n"},
		{`["\ud800"]`, 204, ""},
	} {
		s.ask(t, "POST", path+"/xhr_send", c.body).want(t, c.status, c.answer)
	}
	// The session lives, and got nothing but the last.
	if got, want := s.ask(t, "POST", path+"/xhr", "").body, `a["\ud800"]`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if st := s.Stats(); st.TooLarge.Load() != 3 || st.Broken.Load() != 11 {
		t.Errorf("stats: %+v", st)
	}
}

func TestChunkedBodyIsLimited(t *testing.T) {
	t.Parallel()
	s := serve(t, session.Shared(handler.Echo{}), Options{BodyLimit: 1000})
	path := s.openPolling(t)
	r, _ := http.NewRequest("POST", s.url+path+"/xhr_send", io.LimitReader(endless{}, 1<<30))
	a, err := s.do(r)
	if err == nil && a.status != 413 { // the server may have hung up meanwhile
		t.Errorf("got %d %q", a.status, a.body)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// sockjs-protocol, XhrPolling.test_invalid_session; before a body is read that
// may never come.
func TestUnknownSessionIsToldBeforeTheBodyIsRead(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	for _, name := range []string{"xhr_send", "jsonp_send"} {
		got := s.raw(t, "POST /echo/0/nobody/"+name+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 404 ") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// raw sends bytes and returns the first of the answer.
func (s *site) raw(t *testing.T, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return string(b[:n])
}

func TestSlowBodyIsGivenUp(t *testing.T) {
	t.Parallel()
	s := serve(t, session.Shared(handler.Echo{}), Options{BodyTimeout: 50 * time.Millisecond})
	path := s.openPolling(t)
	got := s.raw(t, "POST /echo"+path+"/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[\"half")
	if !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("got %q", got)
	}
	s.ask(t, "POST", path+"/xhr_send", `["x"]`).want(t, 204, "")
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, `a["x"]`+"\n")
}

func TestClosedSessionTakesNothing(t *testing.T) {
	s := serve(t, session.Shared(handler.Close{}), Options{})
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["x"]`).want(t, 404, "Not found.\n")
}

func TestJSONPSendTakesFormsAndBodies(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	path := s.openPolling(t)
	const form = "Content-Type: application/x-www-form-urlencoded"
	s.ask(t, "POST", path+"/jsonp_send", "x=1&d=%5B%22a%22%5D&d=no", form).want(t, 200, "ok")
	s.ask(t, "POST", path+"/jsonp_send", `["%61b"]`, "Content-Type: text/plain").want(t, 200, "ok")
	for _, body := range []string{"", "d=", "p=p", "d=%zz"} {
		s.ask(t, "POST", path+"/jsonp_send", body, form).want(t, 500, "Payload expected.\n")
	}
	s.ask(t, "POST", path+"/jsonp_send", "d=%7B%7D", form).want(t, 500, "Payload must be an array of strings.\n")
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, `a["a","%61b"]`+"\n")
}

func TestCallbacksAreNames(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{AllowedOrigins: []string{"*"}})
	for query, want := range map[string]string{
		"":                              `"callback" parameter required` + "\n",
		"?c=":                           `"callback" parameter required` + "\n",
		"?c=a%28":                       `invalid "callback" parameter` + "\n",
		"?c=%3Cscript%3E":               `invalid "callback" parameter` + "\n",
		"?c=" + strings.Repeat("x", 33): `invalid "callback" parameter` + "\n",
	} {
		for _, name := range []string{"jsonp", "htmlfile"} {
			s.ask(t, "GET", "/0/"+newID()+"/"+name+query, "").want(t, 500, want)
		}
	}
	if n := s.Stats().Opened.Load(); n != 0 {
		t.Errorf("%d sessions were opened", n)
	}
}

// Whatever a message holds, no script ends early by it.
func TestScriptsNeverEndEarly(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{AllowedOrigins: []string{"*"}, ResponseLimit: 1})
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["</script><script>alert(1)</script>"]`).want(t, 204, "")
	a := s.ask(t, "GET", path+"/htmlfile?c=f", "")
	_, frames, _ := strings.Cut(a.body, "p(\"")
	if strings.Count(a.body, "</script>") != 2 || !strings.HasPrefix(frames, `a[\"\u003c/script\u003e\u003cscript`) {
		t.Errorf("got %q", a.body)
	}
}

// The client decodes events as if they were part of a URL.
func TestEventsHoldNoPercent(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{ResponseLimit: 1})
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["100 % %41"]`).want(t, 204, "")
	s.ask(t, "GET", path+"/eventsource", "").want(t, 200, "\r\ndata: a[\"100 \\u0025 \\u002541\"]\r\n\r\n")
}

func TestWebSocketMessagesThatAreNone(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{MessageLimit: 10, BodyLimit: 60, BatchLimit: 3})
	for _, c := range []struct {
		kind   int
		data   string
		code   int
		reason string
	}{
		{websocket.TextMessage, `["x`, 1007, "Broken JSON encoding"},
		{websocket.TextMessage, `"x" "y"`, 1007, "Broken JSON encoding"},
		{websocket.TextMessage, "[\"\xff\"]", 1007, "Broken JSON encoding"},
		{websocket.TextMessage, `[1]`, 1007, "Payload must be an array of strings"},
		{websocket.TextMessage, `{}`, 1007, "Payload must be an array of strings"},
		{websocket.TextMessage, `["a","b","c","d"]`, 1009, "Message is too large"},
		{websocket.TextMessage, `["0123456789x"]`, 1009, "Message is too large"},
		{websocket.TextMessage, strings.Repeat("x", 61), 1009, "Message is too large"},
		{websocket.BinaryMessage, "x", 1003, "Binary messages are not supported"},
	} {
		conn := s.dial(t, "/0/0/websocket")
		read(t, conn, "o")
		conn.WriteMessage(c.kind, []byte(c.data))
		readClose(t, conn, c.code, c.reason)
	}
	conn := s.dial(t, "/0/0/websocket")
	read(t, conn, "o")
	for _, nothing := range []string{"", " ", "[]"} {
		conn.WriteMessage(websocket.TextMessage, []byte(nothing))
	}
	conn.WriteMessage(websocket.TextMessage, []byte(`"one"`))
	read(t, conn, `a["one"]`)
	if st := s.Stats(); st.TooLarge.Load() != 3 || st.Broken.Load() != 6 {
		t.Errorf("stats: %+v", st)
	}
}

func TestNativeWebSocket(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{RawWebSocket: true, MessageLimit: 1000})
	for _, path := range []string{"", "/", "/websocket"} {
		conn := s.dial(t, path)
		conn.WriteMessage(websocket.TextMessage, []byte("Hello w\u00f6rld\uffff"))
		read(t, conn, "Hello w\u00f6rld\uffff")
		conn.WriteMessage(websocket.BinaryMessage, []byte{0, 0xff})
		if kind, data, err := conn.ReadMessage(); kind != websocket.BinaryMessage || !bytes.Equal(data, []byte{0, 0xff}) {
			t.Errorf("got %d %v, %v", kind, data, err)
		}
		conn.WriteMessage(websocket.TextMessage, []byte("\xff"))
		readClose(t, conn, 1007, "Text is not UTF-8")
	}
	conn := s.dial(t, "/websocket")
	conn.WriteMessage(websocket.TextMessage, make([]byte, 1001))
	readClose(t, conn, 1009, "Message is too large")
}

// A message too large is refused from its header, fragments from their sum.
func TestTooLargeIsRefusedFromTheHeader(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{MessageLimit: 1000})
	for name, header := range map[string][]byte{
		"256 MiB":       binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 256<<20),
		"2^63 - 1":      binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 1<<63-1),
		"by a fragment": append(append([]byte{0x01, 0x81, 0, 0, 0, 0, 'x'}, 0x80, 0xfe), 0xff, 0xff),
	} {
		conn := s.dial(t, "/websocket")
		conn.NetConn().Write(append(header, 0, 0, 0, 0, 'x'))
		_, _, err := conn.ReadMessage()
		if closed, ok := err.(*websocket.CloseError); !ok || closed.Code != 1009 {
			t.Errorf("%s: got %v, want close 1009", name, err)
		}
	}
}

// The rest of a large message is read: a reset could lose the close frame.
func TestTooLargeIsReadToItsEnd(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{CloseTimeout: time.Minute})
	for _, size := range []int{5 << 20, lingerLimit - 100} {
		conn := s.dial(t, "/websocket")
		header := binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, uint64(size))
		if _, err := conn.NetConn().Write(append(header, make([]byte, maskSize+size)...)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		readClose(t, conn, 1009, "Message is too large")
	}
}

// Frames that RFC 6455 forbids: sections 5.1, 5.2, 5.4 and 5.5.
func TestForbiddenFrames(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{CloseTimeout: 50 * time.Millisecond})
	for name, f := range map[string][]byte{
		"not masked":            {0x81, 0x01, 'x'},
		"reserved bit":          {0xc1, 0x81, 0, 0, 0, 0, 'x'},
		"unknown opcode":        {0x83, 0x81, 0, 0, 0, 0, 'x'},
		"long ping":             {0x89, 0xfe, 0, 200, 0, 0, 0, 0},
		"ping in fragments":     {0x09, 0x81, 0, 0, 0, 0, 'x'},
		"ping not masked":       {0x89, 0x00},
		"continuation of what?": {0x80, 0x81, 0, 0, 0, 0, 'x'},
		"message in a message":  {0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0},
		"ping of 0 in 16 bits":  {0x89, 0xfe, 0, 0, 0, 0, 0, 0},
		"5 bytes, said in 16":   {0x81, 0xfe, 0, 5, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'},
		"125 bytes, said in 64": {0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 125, 0, 0, 0, 0},
		"64 KiB - 1 in 64":      {0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0},
		"a length below 0":      {0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
		"2^64 - 1":              {0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
	} {
		conn := s.dial(t, "/websocket")
		conn.NetConn().Write(f)
		_, _, err := conn.ReadMessage()
		closed, ok := err.(*websocket.CloseError)
		if !ok || closed.Code != 1002 {
			t.Errorf("%s: got %v, want close 1002", name, err)
		}
	}
}

// A broken close frame is the peer's last: the answer is 1002, and the end of the
// connection at once (RFC 6455, section 7.1.1; Autobahn, 7.3.2, 7.5.1 and 7.9).
func TestBrokenCloseFrameEndsTheConnection(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{CloseTimeout: time.Hour})
	for name, payload := range map[string]string{
		"one byte": "x", "no UTF-8": "\x03\xe8\xff", "0": "\x00\x00", "999": "\x03\xe7", "1004": "\x03\xec", "1005": "\x03\xed",
		"1006": "\x03\xee", "1015": "\x03\xf7", "1016": "\x03\xf8", "1100": "\x04\x4c", "2000": "\x07\xd0", "2999": "\x0b\xb7", "5000": "\x13\x88", "65535": "\xff\xff",
	} {
		conn := s.dial(t, "/websocket").NetConn()
		conn.Write(append([]byte{0x88, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
		conn.SetReadDeadline(time.Now().Add(patience))
		got, err := io.ReadAll(conn)
		if string(got) != "\x88\x02\x03\xea" || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	eventually(t, "sessions end", func() bool { return s.Stats().Sessions.Load() == 0 })
}

func TestPingsAreAnswered(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	conn := s.dial(t, "/websocket")
	var pongs []string
	conn.SetPongHandler(func(data string) error { pongs = append(pongs, data); return nil })
	conn.WriteControl(websocket.PingMessage, nil, time.Time{})
	conn.WriteControl(websocket.PingMessage, []byte(strings.Repeat("p", 125)), time.Time{})
	conn.WriteControl(websocket.PongMessage, []byte("unasked"), time.Time{})
	conn.NetConn().Write([]byte{0x01, 0x81, 0, 0, 0, 0, 'a', 0x89, 0x81, 0, 0, 0, 0, 'i', 0x80, 0x81, 0, 0, 0, 0, 'b'})
	read(t, conn, "ab")
	if want := []string{"", strings.Repeat("p", 125), "i"}; fmt.Sprint(pongs) != fmt.Sprint(want) {
		t.Errorf("got %q", pongs)
	}
}

func TestUnfinishedMessageIsGivenUp(t *testing.T) {
	t.Parallel()
	s := serve(t, session.Shared(handler.Echo{}), Options{BodyTimeout: 50 * time.Millisecond, CloseTimeout: 50 * time.Millisecond})
	for _, part := range []string{"\x81", "\x81\xfe\x01", "\x81\x85\x00\x00\x00\x00he", "\x01\x81\x00\x00\x00\x00h"} {
		conn := s.dial(t, "/websocket")
		conn.NetConn().Write([]byte(part))
		if _, _, err := conn.ReadMessage(); err == nil {
			t.Errorf("%q: got a message", part)
		}
	}
	eventually(t, "sessions end", func() bool { return s.Stats().Sessions.Load() == 0 })
}

func TestPeerThatAnswersNoPingIsGone(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	unhurried(t, 800*time.Millisecond, func(heartbeatDelay time.Duration) error {
		s := serve(t, session.Shared(handler.Echo{}), Options{HeartbeatDelay: heartbeatDelay})
		answers := s.dial(t, "/0/0/websocket")
		ended := make(chan error, 1)
		go func() {
			for {
				if _, _, err := answers.ReadMessage(); err != nil {
					ended <- err
					return
				}
			}
		}()
		s.dial(t, "/0/0/websocket") // reads nothing, so answers nothing
		eventually(t, "one session ends", func() bool { return s.Stats().Sessions.Load() <= 1 })
		select {
		case err := <-ended:
			return fmt.Errorf("the peer that answers has lost its session: %w", err)
		case <-time.After(heartbeatDelay):
			answers.Close()
			return nil
		}
	})
}

// A WebSocket with SockJS frames is asked for an answer when nothing has come from
// it for a heartbeat, a native one, whose heartbeat that is, each time.
func TestSilentPeerIsAsked(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for path, hearts := range map[string]int{"/0/0/websocket": 2, "/websocket": 0} {
		for name, want := range map[string]int{"answers": 2, "is silent": 1} {
			t.Run(path+" "+name, func(t *testing.T) {
				t.Parallel()
				s := serve(t, session.Shared(handler.Echo{}), Options{HeartbeatDelay: 1500 * time.Millisecond})
				conn := s.dial(t, path)
				pong, pings := conn.PingHandler(), 0
				conn.SetPingHandler(func(text string) error {
					switch pings++; {
					case want == 1: // and not a second time, before the connection is closed
						return nil
					case pings == want:
						conn.Close() // that is enough
					}
					return pong(text)
				})
				h := 0
				for {
					if _, text, err := conn.ReadMessage(); err != nil {
						break
					} else if string(text) == "h" {
						h++
					}
				}
				if pings != want || h != hearts*want {
					t.Errorf("%d pings, %d heartbeats", pings, h)
				}
			})
		}
	}
}

// A peer that goes on sending what it may not does not put off its end.
func TestClosingIsNotPutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, session.Shared(handler.Echo{}), Options{Hixie76: true, CloseTimeout: 300 * time.Millisecond})
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /echo/0/0/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"+
		"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U")
	go io.Copy(io.Discard, c)
	begun := time.Now()
	for time.Since(begun) < patience {
		if _, err := c.Write([]byte{0x11}); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the connection lives on")
}

// sockjs-protocol, RawWebsocket.test_close; Firefox loses frames where FIN
// follows at once.
func TestServerWaitsForThePeersCloseFrame(t *testing.T) {
	t.Parallel()
	s := serve(t, session.Shared(handler.Close{}), Options{CloseTimeout: 300 * time.Millisecond})
	begun := time.Now()
	conn := s.dial(t, "/0/0/websocket")
	conn.SetCloseHandler(func(int, string) error { return nil }) // which does not answer
	read(t, conn, "o")
	read(t, conn, `c[3000,"Go away!"]`)
	readClose(t, conn, 3000, "Go away!")
	conn.NetConn().SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.NetConn().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, want the end of the connection", err)
	}
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
	patient := serve(t, session.Shared(handler.Close{}), Options{CloseTimeout: time.Hour})
	polite := patient.dial(t, "/websocket")
	readClose(t, polite, 3000, "Go away!")
	if _, err := polite.NetConn().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the peer's close frame: got %v, want the end of the connection", err)
	}
}

// leaving closes the session a moment after a message.
type leaving struct{ handler.Echo }

func (leaving) OnMessage(s session.Session, message []byte) error {
	begun, wait := time.Now(), time.Duration(message[0])*time.Microsecond
	go func() {
		for time.Since(begun) < wait {
			runtime.Gosched()
		}
		s.Close(1000, "bye")
	}()
	return nil
}

// A peer's close frame that crosses the server's is an answer to it as well as any
// (RFC 6455, section 5.5.1): whichever is first, the peer gets one.
func TestCloseFramesMayCross(t *testing.T) {
	s := serve(t, session.Shared(leaving{}), Options{})
	var peers sync.WaitGroup
	for range 8 { // more than processors: goroutines are interrupted anywhere
		peers.Go(func() {
			for i := range rounds(300) {
				c := s.dial(t, "/websocket")
				c.NetConn().Write([]byte{0x81, 0x81, 0, 0, 0, 0, byte(i % 100)})
				c.NetConn().Write([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8})
				if got, err := io.ReadAll(c.NetConn()); err != nil || !bytes.HasPrefix(got, []byte{0x88}) {
					t.Errorf("%d: got %q, %v", i, got, err)
				}
				c.Close()
			}
		})
	}
	peers.Wait()
}

type closeRecorder struct {
	handler.Echo
	ends chan *session.CloseError
}

func (h closeRecorder) OnClose(_ session.Session, err error) { h.ends <- err.(*session.CloseError) }

func TestPeersCloseReachesTheHandler(t *testing.T) {
	h := closeRecorder{ends: make(chan *session.CloseError, 1)}
	s := serve(t, session.Shared(h), Options{})
	conn := s.dial(t, "/0/0/websocket")
	read(t, conn, "o")
	conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "bye"), time.Time{})
	if end := <-h.ends; end.Code != 4000 || end.Reason != "bye" {
		t.Errorf("got %v", end)
	}
	readClose(t, conn, 4000, "")
	conn = s.dial(t, "/0/0/websocket")
	read(t, conn, "o")
	conn.NetConn().Close()
	if end := <-h.ends; end.Code != 1006 {
		t.Errorf("got %v", end)
	}
}

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

func TestOpenerRefusesByHTTP(t *testing.T) {
	opener := session.OpenerFunc(func(r *http.Request) (session.Handler, error) {
		if r.Header.Get("Authorization") == "broken" {
			return nil, errors.New("database is down")
		}
		return nil, &session.RefusedError{Status: 401, Reason: "Who are you?"}
	})
	s := serve(t, opener, Options{})
	for _, path := range []string{"/xhr", "/xhr_streaming"} {
		s.ask(t, "POST", "/0/"+newID()+path, "").want(t, 401, "Who are you?\n")
		s.ask(t, "POST", "/0/"+newID()+path, "", "Authorization: broken").want(t, 500, "Internal error.\n")
	}
	got := s.raw(t, "GET /echo/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 401 ") {
		t.Errorf("websocket: got %q", got)
	}
}

func TestPanicIsOneSessionsEnd(t *testing.T) {
	s := serve(t, session.Shared(panicking{}), Options{})
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["x"]`).want(t, 204, "")
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, `c[1011,"Internal error"]`+"\n")
	conn := s.dial(t, "/0/0/websocket")
	read(t, conn, "o")
	conn.WriteMessage(websocket.TextMessage, []byte(`["x"]`))
	read(t, conn, `c[1011,"Internal error"]`)
	s.openPolling(t)
}

type panicking struct{ handler.Echo }

func (panicking) OnMessage(session.Session, []byte) error { panic("oops") }

// A writer that cannot flush carries polls, and says that it carries no streams.
func TestWriterWithoutFlush(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	s.server.Config.Handler = http.TimeoutHandler(s.Endpoint, 10*time.Second, "late")
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["x"]`).want(t, 204, "")
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, `a["x"]`+"\n")
	s.ask(t, "POST", "/0/"+newID()+"/xhr_streaming", "").want(t, 501, "Streams are not possible here.\n")
}

// A blocked is a handler that does not return from OnMessage until it is let.
type blocked struct {
	handler.Echo
	begun, let chan struct{}
	ends       chan *session.CloseError
}

func newBlocked() blocked {
	return blocked{begun: make(chan struct{}, 100), let: make(chan struct{}), ends: make(chan *session.CloseError, 10)}
}

func (h blocked) OnMessage(session.Session, []byte) error {
	h.begun <- struct{}{}
	<-h.let
	return nil
}

func (h blocked) OnClose(_ session.Session, err error) { h.ends <- err.(*session.CloseError) }

// A handler at work keeps the pongs from being read: its peer is not gone for
// that. When the peer is, the session ends all the same.
func TestBusyHandlerAndItsPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	h := newBlocked()
	s := serve(t, session.Shared(h), Options{HeartbeatDelay: 300 * time.Millisecond})
	conn := s.dial(t, "/0/0/websocket")
	read(t, conn, "o")
	conn.WriteMessage(websocket.TextMessage, []byte(`["x"]`))
	<-h.begun
	for range 5 {
		read(t, conn, "h")
	}
	conn.NetConn().Close()
	select {
	case <-h.ends:
		t.Error("OnClose overlaps OnMessage")
	case <-time.After(time.Second):
	}
	close(h.let)
	if end := <-h.ends; end.Code != 1006 {
		t.Errorf("got %v", end)
	}
}

// status sends a message and returns the answer's status, or 0.
func (s *site) status(path string) int {
	r, err := http.NewRequest("POST", s.url+path, strings.NewReader(`["0123456789"]`))
	if err != nil {
		return 0
	}
	a, _ := s.do(r)
	return a.status
}

func (s *site) pollTwice(id string) (text string) {
	for range 2 {
		r, err := http.NewRequest("POST", s.url+"/0/"+id+"/xhr", nil)
		if err != nil {
			return err.Error()
		}
		a, _ := s.do(r)
		text += a.body
	}
	return text
}

// A request that waits for a busy handler is refused where many do already.
func TestManyRequestsForABusyHandler(t *testing.T) {
	h := newBlocked()
	s := serve(t, session.Shared(h), Options{InboxLimit: 10})
	path := s.openPolling(t)
	statuses := make(chan int, 20)
	for range 20 {
		go func() { statuses <- s.status(path + "/xhr_send") }()
	}
	for range 10 {
		if status := <-statuses; status != 503 && status != 204 {
			t.Errorf("got %d", status)
		}
	}
	close(h.let)
	if s.Stats().Busy.Load() == 0 {
		t.Error("none was refused")
	}
	eventually(t, "all are answered", func() bool { return s.Stats().Memory.Load() == 0 })
}

// At the deadline of a shutdown, busy handlers or not, all clients are told.
func TestShutdownDoesNotWaitForHandlers(t *testing.T) {
	t.Parallel()
	h := newBlocked()
	e, err := NewEndpoint("/echo", session.Shared(h), Options{CloseTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	s.server.Config.Handler = e
	stream := func(id string) *bufio.Reader {
		res, err := s.client.Post(s.url+"/0/"+id+"/xhr_streaming", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return bufio.NewReader(res.Body)
	}
	id := newID()
	streamed, conn := stream(id), s.dial(t, "/websocket")
	conn.WriteMessage(websocket.TextMessage, []byte("x"))
	go s.status("/0/" + id + "/xhr_send")
	<-h.begun
	<-h.begun
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := e.Shutdown(ctx); err == nil {
		t.Error("got no error")
	}
	readClose(t, conn, 1001, "Server is going away")
	if rest, err := io.ReadAll(streamed); err != nil || !strings.HasSuffix(string(rest), `c[1001,"Server is going away"]`+"\n") {
		t.Errorf("stream: got %q, %v", rest, err)
	}
	close(h.let)
	<-h.ends
	<-h.ends
	e.Shutdown(t.Context())
}

// An opener that is asked while the server shuts down opens nothing that stays.
func TestShutdownFindsLateSessions(t *testing.T) {
	asked, let := make(chan struct{}), make(chan struct{})
	opener := session.OpenerFunc(func(*http.Request) (session.Handler, error) {
		close(asked)
		<-let
		return handler.Echo{}, nil
	})
	s := serve(t, opener, Options{})
	got := make(chan string)
	go func() { got <- s.pollTwice("late") }()
	<-asked
	down := make(chan error)
	go func() { down <- s.Shutdown(t.Context()) }()
	eventually(t, "it drains", func() bool { return s.ask(t, "GET", "/info", "").status == 503 })
	close(let)
	if text := <-got; text != "o\n"+`c[1001,"Server is going away"]`+"\n" {
		t.Errorf("got %q", text)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

func TestOpenerMayPanic(t *testing.T) {
	s := serve(t, session.OpenerFunc(func(*http.Request) (session.Handler, error) { panic(http.ErrAbortHandler) }), Options{})
	for range 3 {
		if res, err := s.client.Post(s.url+"/0/x/xhr", "", nil); err == nil {
			res.Body.Close()
			t.Error("got an answer")
		}
	}
	if n := s.Stats().Sessions.Load(); n != 0 {
		t.Errorf("%d sessions are counted", n)
	}
}

func TestInfoRefusesWhenFull(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{SessionLimit: 1})
	if a := s.ask(t, "GET", "/info", ""); a.status != 200 {
		t.Errorf("got %d", a.status)
	}
	s.openPolling(t)
	if a := s.ask(t, "GET", "/info", ""); a.status != 503 {
		t.Errorf("got %d", a.status)
	}
}

// The peer closes while frames are being sent: nothing follows our close frame.
func TestNothingFollowsTheCloseFrame(t *testing.T) {
	h := &flood{ended: make(chan error, 1000)}
	s := serve(t, session.Shared(h), Options{})
	for range rounds(100) {
		conn := s.dial(t, "/websocket")
		conn.WriteMessage(websocket.TextMessage, []byte("go"))
		conn.ReadMessage()
		conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{})
		for err := error(nil); err == nil; {
			_, _, err = conn.ReadMessage()
			if closed, ok := err.(*websocket.CloseError); err != nil && (!ok || closed.Code != 1000 && closed.Code != 1013) {
				t.Fatalf("got %v", err)
			}
		}
		if rest, _ := io.ReadAll(conn.NetConn()); len(rest) > 0 {
			t.Fatalf("%d bytes follow the close frame", len(rest))
		}
	}
}
