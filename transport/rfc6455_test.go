package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
	"switchback/session/memory"
	"switchback/transport/internal/netpoll"
)

// RFC 6455, section 5.3: octet i of the payload is masked with octet i mod 4 of
// the key.
func TestUnmask(t *testing.T) {
	mask := [maskSize]byte{0x37, 0xfa, 0x21, 0x3d}
	for size := range 70 {
		want := bytes.Repeat([]byte("Hello, SockJS! "), 5)[:size]
		got := bytes.Clone(want)
		for i := range got {
			got[i] ^= mask[i%4]
		}
		if unmask(got, mask); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %q, want %q", size, got, want)
		}
	}
}

// RFC 6455, section 1.3.
func TestAcceptance(t *testing.T) {
	if got := acceptance("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("got %s", got)
	}
}

// A script is a connection whose peer sends what Reader holds.
type script struct {
	net.Conn
	io.Reader
}

func (s *script) Read(p []byte) (int, error)       { return s.Reader.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// nobody owns a connection without a session.
type nobody struct{}

func (nobody) Ready(*netpoll.Buffer) {}
func (nobody) Flushed()              {}

// heard is what comes of a peer's frames.
type heard struct {
	Messages []string
	Code     int // of the close frame, or 0
	Reason   string
	Limit    bool // a message was too large
	Padded   bool // a length was not in its shortest form
}

const fuzzLimit = 300

// hear reads messages as a socket does.
func hear(e *Endpoint, p []byte) (h heard) {
	var group netpoll.Group
	k := &socket{service: &e.service, codec: rfc6455{}, native: true, conn: group.Take(&script{Reader: bytes.NewReader(p)}, nil)}
	k.conn.Own(nobody{})
	k.buffer = k.conn.Lend()
	defer k.conn.Close()
	for {
		b := newBody()
		binary, err := k.codec.next(k, b)
		if err == errNoMessage {
			continue
		}
		switch end := (*session.CloseError)(nil); {
		case k.peerEnd == brokenClose:
		case k.peerEnd != nil:
			h.Code, h.Reason = k.peerEnd.Code, k.peerEnd.Reason
		case err == tooBig:
			h.Limit = true
		case errors.As(err, &end) && end.Reason == paddedLength:
			h.Padded = true
		case err != nil && err != io.ErrUnexpectedEOF && !(errors.As(err, &end) && end.Code == codeProtocol):
			panic(err)
		}
		if err != nil {
			return h
		}
		h.Messages = append(h.Messages, describe(binary, b.bytes))
	}
}

func describe(binary bool, data []byte) string {
	if binary {
		return "binary " + string(data)
	}
	return "text " + string(data)
}

// A handshaker lends a connection to gorilla/websocket.
type handshaker struct{ script }

func (*handshaker) Header() http.Header { return http.Header{} }
func (*handshaker) WriteHeader(int)     {}
func (h *handshaker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h, bufio.NewReadWriter(bufio.NewReader(h), bufio.NewWriter(h)), nil
}

// hearGorilla reads messages with gorilla/websocket.
func hearGorilla(p []byte) (h heard) {
	c, err := new(websocket.Upgrader).Upgrade(&handshaker{script{Reader: bytes.NewReader(p)}}, &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {"dGhlIHNhbXBsZSBub25jZQ=="},
	}}, nil)
	if err != nil {
		panic(err)
	}
	c.SetReadLimit(fuzzLimit)
	for {
		kind, data, err := c.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
			h.Code, h.Reason = closed.Code, closed.Text
		case err == websocket.ErrReadLimit:
			h.Limit = true
		}
		if err != nil {
			return h
		}
		h.Messages = append(h.Messages, describe(kind == websocket.BinaryMessage, data))
	}
}

// gorilla/websocket hears the same of any bytes.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		"\x81\x85\x01\x02\x03\x04Hello\x82\x80\x00\x00\x00\x00",
		"\x01\x81\x00\x00\x00\x00a\x89\x81\x00\x00\x00\x00i\x00\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00b",
		"\x8a\x80\x00\x00\x00\x00\x88\x85\x00\x00\x00\x00\x03\xe8bye",
		"\x88\x80\x00\x00\x00\x00",
		"\x88\x82\x00\x00\x00\x00\x03\xed",
		"\x82\xfe\x00\x7e\x00\x00\x00\x00" + string(make([]byte, 126)),
		"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00x",
		"\x01\xfe\x01\x00\x00\x00\x00\x00" + string(make([]byte, 256)) + "\x80\xb0\x00\x00\x00\x00",
		"\x01\x80\x00\x00\x00\x00\x81\x80\x00\x00\x00\x00",
		"\x80\x80\x00\x00\x00\x00", "\xc1\x80\x00\x00\x00\x00", "\x83\x80\x00\x00\x00\x00", "\x81\x00", "\x09\x80\x00\x00\x00\x00",
	} {
		f.Add([]byte(seed))
	}
	e, err := NewEndpoint("", session.Shared(nil), Options{MessageLimit: fuzzLimit})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		p = append(bytes.Clone(p), make([]byte, 14)...) // it reads the whole header before it looks at it
		got, want := hear(e, p), hearGorilla(p)
		if want.Code == websocket.CloseNoStatusReceived && got.Code == 0 {
			want.Code = 0 // it takes a close frame of one byte for an empty one
		}
		if got.Code == 1014 {
			got.Code, got.Reason = 0, "" // which it does not know
		}
		if got.Padded { // which it does not look at
			n := len(got.Messages)
			got.Padded, want = false, heard{Messages: append([]string(nil), want.Messages[:min(n, len(want.Messages))]...)}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", p, got, want)
		}
	})
}

// deadlines is a connection that tells when it is given a deadline.
type deadlines struct {
	script
	set     func()
	written atomic.Int64
}

func (d *deadlines) Write(p []byte) (int, error) {
	d.written.Add(int64(len(p)))
	return len(p), nil
}

func (d *deadlines) SetReadDeadline(time.Time) error { d.set(); return nil }

// Whoever finds a socket closing may close its connection when the peer's close frame
// comes, so the socket's own is on its way by then.
func TestSocketIsClosingOnceItsCloseFrameIsWritten(t *testing.T) {
	e, err := NewEndpoint("", session.Shared(handler.Echo{}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown(t.Context())
	under := &deadlines{set: func() {}}
	var group netpoll.Group
	k := &socket{service: &e.service, codec: rfc6455{}, conn: group.Take(under, nil)}
	k.conn.Own(nobody{})
	timed := false
	under.set = func() { // for the peer's close frame
		timed = true
		if !k.conn.Pending() && under.written.Load() == 0 {
			t.Error("the peer may answer a close frame that is not written")
		}
	}
	k.writeLast(&memory.Pieces{Bytes: k.codec.appendClose(nil, 1000, "")})
	if !timed || !k.closing.Load() {
		t.Error("the socket is not closing")
	}
	k.conn.CloseFlushed()
}
