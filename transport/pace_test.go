package transport

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
)

// A message may take its time as long as it comes: what ends it is 15 s of nothing, 30 s
// of less than 500 bytes each, or 10 minutes.
func TestPaceOfAMessage(t *testing.T) {
	const sec = time.Second
	for _, c := range []struct {
		name  string
		size  int           // of each piece
		every time.Duration // one comes
		end   time.Duration // after which it is given up, or a little later
	}{
		{"nothing", 0, time.Hour, 15 * sec},
		{"a byte after 14 s, and no more", 1, 14 * sec, 30 * sec},
		{"a byte a second", 1, sec, 30 * sec},
		{"499 bytes a second", 499, sec, 30 * sec},
		{"500 bytes a second", 500, sec, 600 * sec},
		{"7,500 bytes every 14 s", 7500, 14 * sec, 600 * sec},
		{"20 kB a second", 20_000, sec, 600 * sec},
		{"fast, then nothing", 1 << 20, time.Hour, 15 * sec},
	} {
		var p pace
		start := time.Unix(1000, 0)
		deadline, now := p.begin(start, 15*sec), start
		for now = now.Add(c.every); !now.After(deadline); now = now.Add(c.every) {
			deadline, _ = p.more(now, c.size)
		}
		if got := deadline.Sub(start); got < c.end || got > c.end+sec {
			t.Errorf("%s: given up after %v, want %v", c.name, got, c.end)
		}
	}
}

// A deadline is not set anew with each piece.
func TestPaceChangesSeldom(t *testing.T) {
	var p pace
	now, changes := time.Unix(1000, 0), 0
	p.begin(now, 15*time.Second)
	for range 1000 { // 10 s
		now = now.Add(10 * time.Millisecond)
		if _, changed := p.more(now, 100); changed {
			changes++
		}
	}
	if changes > 12 {
		t.Errorf("%d deadlines in 10 s", changes)
	}
}

// trickle writes in pieces, for more than a body timeout.
func trickle(w io.Writer, data string, bodyTimeout time.Duration) {
	n := len(data)/20 + 1
	for ; len(data) > n; data = data[n:] {
		io.WriteString(w, data[:n])
		time.Sleep(bodyTimeout / 14)
	}
	io.WriteString(w, data)
}

// frames are a message as its client may send it: in one frame, or in fragments with a
// ping between them.
func frames(text string) map[string]string {
	half := len(text) / 2
	frame := func(first byte, payload string) string {
		return string([]byte{first, 0xfe, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	return map[string]string{
		"a frame":   frame(0x81, text),
		"fragments": frame(0x01, text[:half]) + "\x89\x80\x00\x00\x00\x00" + frame(0x80, text[half:]),
	}
}

func TestMessageThatKeepsComingIsTaken(t *testing.T) {
	t.Parallel()
	text := `["` + strings.Repeat("z", 20_000) + `"]`
	overWires(t, func(t *testing.T, w wire) {
		t.Parallel()
		unhurriedSite := func(t *testing.T, do func(s *site, bodyTimeout time.Duration) error) {
			t.Parallel()
			unhurried(t, 1500*time.Millisecond, func(d time.Duration) error {
				return do(w.serve(t, session.Shared(handler.Echo{}), Options{BodyTimeout: d, HeartbeatDelay: d / 3, DisconnectDelay: time.Hour}), d)
			})
		}
		if w != http2 { // which has no WebSockets
			for name, f := range frames(text) {
				t.Run("websocket, "+name, func(t *testing.T) {
					unhurriedSite(t, func(s *site, bodyTimeout time.Duration) error {
						conn := s.dial(t, "/0/0/websocket")
						conn.SetPingHandler(func(string) error { return nil }) // which would answer within the frame
						go trickle(conn.NetConn(), f, bodyTimeout)
						for {
							if _, data, err := conn.ReadMessage(); err != nil || string(data) == "a"+text {
								return err
							}
						}
					})
				})
			}
		}
		t.Run("xhr_send", func(t *testing.T) {
			unhurriedSite(t, func(s *site, bodyTimeout time.Duration) error {
				path := s.openPolling(t)
				body, writer := io.Pipe()
				go func() { trickle(writer, text, bodyTimeout); writer.Close() }()
				r, err := http.NewRequest("POST", s.url+path+"/xhr_send", body)
				if err != nil {
					return err
				}
				if got, err := s.do(r); err != nil || got.status != 204 {
					return fmt.Errorf("got %d %q, %w", got.status, got.body, err)
				}
				s.ask(t, "POST", path+"/xhr", "").want(t, 200, "a"+text+"\n")
				return nil
			})
		})
	})
}

// Who is cut is told, also where it goes on sending.
func TestMessageThatStopsIsRefused(t *testing.T) {
	t.Parallel()
	overWires(t, func(t *testing.T, w wire) {
		t.Parallel()
		o := Options{BodyTimeout: 60 * time.Millisecond, CloseTimeout: time.Hour, DisconnectDelay: time.Hour}
		if w != http2 {
			for name, f := range frames(strings.Repeat("z", 20_000)) {
				halves := []int{len(f) / 4, 7, 1, 9, len(f) - 1}
				if testing.Short() {
					halves = halves[:2]
				}
				for _, half := range halves {
					t.Run(fmt.Sprintf("%s, stopped after %d bytes", name, half), func(t *testing.T) {
						t.Parallel()
						s := w.serve(t, session.Shared(handler.Echo{}), o)
						conn := s.dial(t, "/websocket")
						io.WriteString(conn.NetConn(), f[:half])
						eventually(t, "given up", func() bool { return s.Stats().Late.Load() == 1 })
						io.WriteString(conn.NetConn(), f[half:])
						readClose(t, conn, 1008, "Message does not come in time")
						conn.WriteControl(websocket.CloseMessage, nil, time.Time{})
						if _, err := conn.NetConn().Read(make([]byte, 1)); err != io.EOF {
							t.Errorf("the peer's close frame is not found: %v", err)
						}
					})
				}
			}
		}
		s := w.serve(t, session.Shared(handler.Echo{}), o)
		path := s.openPolling(t)
		body, writer := io.Pipe()
		go io.WriteString(writer, `["half`)
		s.post(t, path+"/xhr_send", body).want(t, 408, "Body is incomplete.\n")
		writer.Close()
		s.ask(t, "POST", path+"/xhr_send", `["x"]`).want(t, 204, "")
		s.ask(t, "POST", path+"/xhr", "").want(t, 200, `a["x"]`+"\n")
	})
}

// What comes of a Hixie-76 text after it was given up is read as such, and no more.
func TestRestOfAHixie76TextIsSkipped(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{Hixie76: true, BodyTimeout: 50 * time.Millisecond, MessageLimit: 1000})
	for _, late := range []string{"half", strings.Repeat("x", 2000)} {
		l := s.connect(t)
		io.WriteString(l.Conn, "GET /echo/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: http://x\r\n"+
			"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U")
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = l.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		io.ReadFull(l, make([]byte, 16))
		st := s.Stats()
		broken, refused := st.Broken.Load(), st.Late.Load()+st.TooLarge.Load()
		io.WriteString(l.Conn, "\x00"+late)
		if got, err := l.ReadString(0); got != "\xff\x00" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		io.WriteString(l.Conn, strings.Repeat("late", 100)+"\xff\xff\x00")
		if _, err := l.ReadByte(); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
		if st.Broken.Load() != broken || st.Late.Load()+st.TooLarge.Load() != refused+1 {
			t.Errorf("counted %d broken, before %d; %d refused, before %d", st.Broken.Load(), broken, st.Late.Load()+st.TooLarge.Load(), refused)
		}
	}
}
