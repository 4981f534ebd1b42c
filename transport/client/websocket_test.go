package client

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// webSocket is a server of WebSockets, on every URL that ends in /websocket.
func webSocket(t *testing.T, f func(ws *websocket.Conn)) script {
	upgrader := websocket.Upgrader{Subprotocols: []string{"v2.stomp", "v1.stomp"}, CheckOrigin: func(*http.Request) bool { return true }}
	return script{"websocket": func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.Close()
		f(ws)
	}}
}

// frames sends frames, and then waits for the client's close frame, whose code
// it hands out.
func frames(codes chan<- int, frames ...string) func(ws *websocket.Conn) {
	return func(ws *websocket.Conn) {
		for _, f := range frames {
			ws.WriteMessage(websocket.TextMessage, []byte(f))
		}
		codes <- readClose(ws)
	}
}

func readClose(ws *websocket.Conn) int {
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			if e, ok := err.(*websocket.CloseError); ok {
				return e.Code
			}
			return 0
		}
	}
}

func TestFramesOfAWebSocket(t *testing.T) {
	tests := []struct {
		name   string
		frames []string
		code   int
		reason string
		told   int // to the server
	}{
		{"close frame", []string{"o", `c[3000,"Go away!"]`}, 3000, "Go away!", 1000},
		{"second open frame", []string{"o", "h", "o"}, 1006, "Server lost session", 1000},
		{"broken frame", []string{"o", `a["`}, 1006, "Broken frame", 1000},
		{"oversize frame", []string{"o", strings.Repeat("h", 101)}, 1009, "Frame too big", 1009},
		{"invalid UTF-8", []string{"o", "a[\"\xff\"]"}, 1007, "Text is not UTF-8", 1007},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			codes := make(chan int, 1)
			o := only("websocket")
			o.FrameLimit = 100
			c := dial(t, serve(t, webSocket(t, frames(codes, tt.frames...))), o)
			wantEnd(t, c, tt.code, tt.reason)
			if got := <-codes; got != tt.told {
				t.Errorf("server was told %d; want %d", got, tt.told)
			}
		})
	}
}

func TestEmptyWebSocketMessageIsNoFrame(t *testing.T) {
	codes := make(chan int, 1)
	c := dial(t, serve(t, webSocket(t, frames(codes, "", "o", "", `a[]`, `a["x"]`))), only("websocket"))
	wantMessage(t, c, "x")
}

func TestBinaryOnSockJSEndsTheSession(t *testing.T) {
	codes := make(chan int, 1)
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		ws.WriteMessage(websocket.TextMessage, []byte("o"))
		ws.WriteMessage(websocket.BinaryMessage, []byte("x"))
		codes <- readClose(ws)
	})), only("websocket"))
	if err := c.SendBinary([]byte("x")); err != ErrText {
		t.Errorf("SendBinary: %v", err)
	}
	wantEnd(t, c, 1003, "Binary message")
	if got := <-codes; got != 1003 {
		t.Errorf("server was told %d", got)
	}
}

func TestRawWebSocketCarriesBinary(t *testing.T) {
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		for {
			opcode, p, err := ws.ReadMessage()
			if err != nil || ws.WriteMessage(opcode, p) != nil {
				return
			}
		}
	})), only("raw-websocket"))
	if err := c.SendBinary([]byte{0, 0xff}); err != nil {
		t.Fatal(err)
	}
	send(t, c, "text", "not UTF-8: \xff")
	for _, want := range []Message{{[]byte{0, 0xff}, true}, {[]byte("text"), false}, {[]byte("not UTF-8: \ufffd"), false}} {
		got, err := c.RecvMessage(within(t))
		if err != nil || string(got.Data) != string(want.Data) || got.Binary != want.Binary {
			t.Errorf("message %v, %v; want %v", got, err, want)
		}
	}
}

func TestRawWebSocketOffersSubprotocols(t *testing.T) {
	o := only("raw-websocket")
	o.Subprotocols = []string{"v1.stomp", "v2.stomp"}
	s := webSocket(t, func(ws *websocket.Conn) { readClose(ws) })
	next := s["websocket"]
	s["websocket"] = func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Sec-WebSocket-Protocol"); got != "v1.stomp, v2.stomp" {
			t.Errorf("offered %q", got)
		}
		next(w, r)
	}
	if c := dial(t, serve(t, s), o); c.Subprotocol() != "v2.stomp" { // this server's first choice
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
}

func TestRawWebSocketEndsWithTheServersCode(t *testing.T) {
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "over"), time.Time{})
		readClose(ws)
	})), only("raw-websocket"))
	wantEnd(t, c, 4001, "over")
}

func TestWebSocketEndsWithTheCodeOfItsCloseFrame(t *testing.T) {
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		ws.WriteMessage(websocket.TextMessage, []byte("o"))
		ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1001, "restart"), time.Time{})
		readClose(ws)
	})), only("websocket"))
	wantEnd(t, c, 1001, "restart")
}

func TestVanishedServerEndsAWebSocket(t *testing.T) {
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		ws.WriteMessage(websocket.TextMessage, []byte("o"))
	})), only("websocket"))
	wantEnd(t, c, 1006, "Connection lost")
}

func TestPingIsAnsweredWhileRecvWaits(t *testing.T) {
	pongs := make(chan string, 1)
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		ws.SetPongHandler(func(text string) error { pongs <- text; return nil })
		ws.WriteMessage(websocket.TextMessage, []byte("o"))
		ws.WriteControl(websocket.PingMessage, []byte("there?"), time.Time{})
		readClose(ws)
	})), only("websocket"))
	go c.Recv(within(t))
	if got := <-pongs; got != "there?" {
		t.Errorf("pong %q", got)
	}
}

func TestCloseMakesTheClosingHandshake(t *testing.T) {
	closed := make(chan error, 1)
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		ws.WriteMessage(websocket.TextMessage, []byte("o"))
		_, p, err := ws.ReadMessage()
		if err != nil || string(p) != `["before"]` {
			t.Errorf("%s, %v", p, err)
		}
		ws.WriteMessage(websocket.TextMessage, []byte(`a["not read"]`))
		_, _, err = ws.ReadMessage() // answers the close frame
		closed <- err
		if _, err := ws.NetConn().Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("end of the connection: %v", err)
		}
		closed <- nil
	})), only("websocket"))
	send(t, c, "before")
	if err := c.CloseWith(4002, "done"); err != nil {
		t.Fatal(err)
	}
	if err := <-closed; !websocket.IsCloseError(err, 4002) || !strings.Contains(err.Error(), "done") {
		t.Errorf("server got %v", err)
	}
	wantEnd(t, c, 4002, "done")
	wantClose(t, c.Send([]byte("late")), 4002, "done")
	<-closed
}

func TestCloseDoesNotWaitForeverForTheServer(t *testing.T) {
	over := make(chan struct{})
	o := only("websocket")
	o.CloseTimeout = 50 * time.Millisecond
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		ws.WriteMessage(websocket.TextMessage, []byte("o"))
		<-over // reads nothing
	})), o)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	close(over)
}

func TestServerThatDoesNotReadEndsTheSession(t *testing.T) {
	over := make(chan struct{})
	o := only("websocket")
	o.SendTimeout = 50 * time.Millisecond
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		ws.WriteMessage(websocket.TextMessage, []byte("o"))
		<-over
	})), o)
	large := []byte(strings.Repeat("x", 1<<20))
	var err error
	for err == nil {
		err = c.Send(large)
	}
	wantClose(t, err, 1006, "Sending error")
	wantEnd(t, c, 1006, "Connection lost")
	close(over)
}

// The server may have said why before it stopped to read.
func TestFailedSendDoesNotHideTheServersReason(t *testing.T) {
	over := make(chan struct{})
	c := dial(t, serve(t, webSocket(t, func(ws *websocket.Conn) {
		ws.WriteMessage(websocket.TextMessage, []byte("o"))
		ws.WriteMessage(websocket.TextMessage, []byte(`c[3001,"enough"]`))
		close(over)
		readClose(ws)
	})), only("websocket"))
	<-over
	c.t.(*socket).ws.WriteControl(websocket.CloseMessage, nil, time.Time{}) // writing is over
	wantClose(t, c.Send([]byte("x")), 1006, "Sending error")
	wantEnd(t, c, 3001, "enough")
}
