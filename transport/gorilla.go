package transport

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"switchback/transport/netpoll"
)

// A gorilla reads messages with gorilla/websocket from whichever connection its
// Buffer is lent to. Between two messages it holds nothing of a connection, so a
// parked WebSocket needs none.
type gorilla struct {
	*websocket.Conn
	link *link
}

func newGorilla(c *websocket.Conn, l *link) *gorilla {
	l.keeps, l.kept = false, nil
	c.SetCloseHandler(func(code int, reason string) error { return l.socket.peerCloses(code, reason) })
	return &gorilla{Conn: c, link: l}
}

// gorillaOf returns the gorilla of k's Buffer. A Buffer without one gets one by
// a handshake that nobody sees: gorilla/websocket has no other way to make the
// server's end of a connection.
func gorillaOf(k *socket) *gorilla {
	g, ok := k.buffer.Tool.(*gorilla)
	if !ok {
		k.buffer.Unread() // the handshake wants an empty reader
		h := &unseenHandshake{link{Buffer: k.buffer, keeps: true}}
		c, err := unseenUpgrader.Upgrade(h, unseenRequest, nil)
		if err != nil {
			panic(err) // the request is ours
		}
		g = newGorilla(c, &h.link)
		k.buffer.Tool = g
	}
	g.link.socket = k
	return g
}

var unseenUpgrader = websocket.Upgrader{WriteBufferPool: new(sync.Pool)}

var unseenRequest = &http.Request{Method: http.MethodGet, Header: http.Header{
	"Connection":            {"Upgrade"},
	"Upgrade":               {"websocket"},
	"Sec-Websocket-Version": {"13"},
	"Sec-Websocket-Key":     {"MDEyMzQ1Njc4OWFiY2RlZg=="},
}}

// An unseenHandshake is the ResponseWriter for unseenRequest.
type unseenHandshake struct{ link }

func (*unseenHandshake) Header() http.Header { return http.Header{} }
func (*unseenHandshake) WriteHeader(int)     {}

func (h *unseenHandshake) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return &h.link, h.readWriter(), nil
}

// A link is the net.Conn of a gorilla/websocket connection: whichever its Buffer
// is lent to.
type link struct {
	net.Conn // nil: no addresses are asked for
	*netpoll.Buffer
	socket *socket // that reads by it now
	keeps  bool    // what is written is kept
	kept   []byte  // until the handshake has ended
}

// readWriter is what gorilla/websocket wants of a hijacked connection. It writes
// nothing by it.
func (l *link) readWriter() *bufio.ReadWriter {
	return bufio.NewReadWriter(l.Buffer.Reader, bufio.NewWriterSize(l, 16))
}

func (l *link) Read(p []byte) (int, error) { return l.Buffer.Conn.Read(p) }

func (l *link) Write(p []byte) (int, error) {
	if l.keeps {
		l.kept = append(l.kept, p...)
		return len(p), nil
	}
	return len(p), l.socket.write(p, p[0]&0x0f == websocket.CloseMessage)
}

func (l *link) Close() error                     { return nil }
func (l *link) SetDeadline(time.Time) error      { return nil }
func (l *link) SetReadDeadline(time.Time) error  { return nil }
func (l *link) SetWriteDeadline(time.Time) error { return nil }

// A hijacker takes a request's connection for a handshake, whose answer it
// keeps: that leaves with the first frames.
type hijacker struct {
	http.ResponseWriter
	socket *socket
	link   *link
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, err := h.socket.endpoint.hijack(h.ResponseWriter)
	if err != nil {
		return nil, nil, err
	}
	c.Own(h.socket)
	h.socket.conn = c
	h.link = &link{Buffer: c.Lend(), keeps: true}
	return h.link, h.link.readWriter(), nil
}

// hijack takes a request's connection for good.
func (e *Endpoint) hijack(w http.ResponseWriter) (*netpoll.Conn, error) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	return e.poller.Take(c, early), nil
}
