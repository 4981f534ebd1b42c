package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
)

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
