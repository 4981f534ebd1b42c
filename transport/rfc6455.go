package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"

	"github.com/gorilla/websocket"

	"switchback/session"
	"switchback/transport/netpoll"
)

// rfc6455 is the framing of RFC 6455, as servers send it: not masked.
type rfc6455 struct{}

const final = 0x80 // RFC 6455, section 5.2: FIN

// appendHeader appends the header of a frame that is a whole message.
func appendHeader(dst []byte, opcode byte, size int) []byte {
	dst = append(dst, final|opcode)
	switch {
	case size <= 125:
		return append(dst, byte(size))
	case size <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(size))
}

func (rfc6455) appendText(dst []byte, text ...[]byte) []byte {
	size := 0
	for _, t := range text {
		size += len(t)
	}
	dst = appendHeader(dst, websocket.TextMessage, size)
	for _, t := range text {
		dst = append(dst, t...)
	}
	return dst
}

func (rfc6455) appendBinary(dst, data []byte) ([]byte, error) {
	return append(appendHeader(dst, websocket.BinaryMessage, len(data)), data...), nil
}

func (rfc6455) appendPing(dst []byte) []byte { return appendHeader(dst, websocket.PingMessage, 0) }

func (rfc6455) appendClose(dst []byte, code int, reason string) []byte {
	dst = appendHeader(dst, websocket.CloseMessage, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// An upgrader makes the handshake of RFC 6455, section 4.2.
type upgrader struct {
	websocket.Upgrader
	subprotocols []string
}

func newUpgrader(opener session.Opener, o Options) upgrader {
	u := upgrader{Upgrader: websocket.Upgrader{
		HandshakeTimeout: o.HandshakeTimeout,
		WriteBufferPool:  new(sync.Pool),                           // of which nothing is ever used: frames are written by codecs
		CheckOrigin:      func(*http.Request) bool { return true }, // has been checked
	}}
	if s, ok := opener.(session.Subprotocoler); ok {
		u.subprotocols = s.Subprotocols()
	}
	return u
}

func isUpgrade(r *http.Request) bool { return netpoll.ListHas(r.Header["Upgrade"], "websocket") }

// check returns what keeps a request from being a handshake, or nothing
// (sockjs-protocol, WebsocketHttpErrors).
func (u *upgrader) check(r *http.Request) string {
	switch {
	case !isUpgrade(r):
		return `Can "Upgrade" only to "WebSocket".`
	case !netpoll.ListHas(r.Header["Connection"], "upgrade"):
		return `"Connection" must be "Upgrade".`
	case r.ProtoMajor != 1 || !r.ProtoAtLeast(1, 1):
		return "WebSocket needs HTTP/1.1."
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return `"Sec-WebSocket-Version" must be "13".`
	}
	return ""
}

// subprotocol returns the first of the client's sub-protocols that the opener
// speaks.
func (u *upgrader) subprotocol(r *http.Request) string {
	for _, asked := range websocket.Subprotocols(r) {
		for _, spoken := range u.subprotocols {
			if strings.EqualFold(asked, spoken) {
				return strings.Clone(asked)
			}
		}
	}
	return ""
}

// upgradeRFC6455 makes k's connection of a request's.
func (k *socket) upgradeRFC6455(w http.ResponseWriter, r *http.Request, subprotocol string) error {
	h := make(http.Header)
	if subprotocol != "" {
		h.Set("Sec-WebSocket-Protocol", subprotocol)
	}
	if c := w.Header()["Set-Cookie"]; c != nil {
		h["Set-Cookie"] = c
	}
	j := &hijacker{ResponseWriter: w, socket: k}
	c, err := k.endpoint.upgrader.Upgrade(j, r, h)
	if err != nil {
		if k.conn != nil {
			j.link.GiveBack()
			k.conn.Close()
		}
		return err
	}
	answer := j.link.kept
	j.link.Tool = newGorilla(c, j.link)
	j.link.GiveBack()
	return k.start(answer)
}

// peerCloses answers the peer's close frame with its code (RFC 6455, section
// 5.5.1), unless ours was first.
func (k *socket) peerCloses(code int, reason string) error {
	k.peerEnd = &session.CloseError{Code: code, Reason: reason}
	if code == websocket.CloseNoStatusReceived {
		code = session.CodeNormal
	}
	return k.write(k.codec.appendClose(nil, code, ""), true)
}

// next reads a message: one that is here whole, in one frame, as it is, and any
// other with gorilla/websocket.
func (rfc6455) next(k *socket, body *bytes.Buffer) (binary bool, err error) {
	f, err := readHead(k)
	switch {
	case err != nil:
		return false, err
	case k.closing.Load():
		return false, f.skip(k)
	case f.opcode == websocket.PingMessage && f.sound():
		return false, f.pong(k)
	case f.opcode == websocket.PongMessage && f.sound():
		return false, f.skip(k)
	case f.size > k.limit() && f.opcode < websocket.CloseMessage:
		return false, tooBig
	case !f.final || k.buffer.Buffered() < f.header+f.size:
		k.hurry()
	case f.masked && (f.opcode == websocket.TextMessage || f.opcode == websocket.BinaryMessage):
		p, _ := k.buffer.Peek(f.header + f.size)
		body.Write(f.appendPayload(body.AvailableBuffer(), p))
		k.buffer.Discard(len(p))
		return f.opcode == websocket.BinaryMessage, nil
	}
	g := gorillaOf(k)
	g.SetReadLimit(int64(k.limit()))
	kind, r, err := g.NextReader()
	if err == nil {
		_, err = body.ReadFrom(r)
	}
	if err != nil {
		k.buffer.Tool = nil // gorilla keeps an error for ever
	}
	return kind == websocket.BinaryMessage, ended(err)
}

// A head is what the header of the peer's next frame says (RFC 6455, section
// 5.2).
type head struct {
	opcode int
	final  bool // and no reserved bit is set
	masked bool
	header int // its size
	size   int // of the payload
}

// sound tells a control frame that can be answered here. Whatever is wrong with
// a frame is left to gorilla.
func (f head) sound() bool { return f.final && f.masked && f.size <= 125 }

const (
	masked   = 0x80
	maskSize = 4
)

// readHead looks at the header of the next frame. Pings and pongs between
// messages must be known beforehand: gorilla would go on to wait for a message.
func readHead(k *socket) (f head, err error) {
	h, err := k.peek(2)
	if err != nil {
		return f, err
	}
	f = head{opcode: int(h[0] & 0x0f), final: h[0]&^0x0f == final, masked: h[1]&masked != 0, header: 2, size: int(h[1] &^ masked)}
	switch f.size {
	case 126:
		f.header = 4
		if h, err = k.peek(f.header); err == nil {
			f.size = int(binary.BigEndian.Uint16(h[2:]))
		}
	case 127:
		f.header = 10
		if h, err = k.peek(f.header); err == nil {
			f.size = int(min(binary.BigEndian.Uint64(h[2:]), math.MaxInt32))
		}
	}
	if f.masked {
		f.header += maskSize
	}
	return f, err
}

// appendPayload appends the payload of a masked frame (RFC 6455, section 5.3).
func (f head) appendPayload(dst, frame []byte) []byte {
	n := len(dst)
	dst = append(dst, frame[f.header:]...)
	mask, p := frame[f.header-maskSize:f.header], dst[n:]
	twice := uint64(binary.NativeEndian.Uint32(mask)) * (1<<32 + 1)
	for ; len(p) >= 8; p = p[8:] {
		binary.NativeEndian.PutUint64(p, binary.NativeEndian.Uint64(p)^twice)
	}
	for i := range p {
		p[i] ^= mask[i%maskSize]
	}
	return dst
}

// pong answers a ping (RFC 6455, section 5.5.3).
func (f head) pong(k *socket) error {
	p, err := k.peek(f.header + f.size)
	if err != nil {
		return err
	}
	answer := appendHeader(make([]byte, 0, 2+f.size), websocket.PongMessage, f.size)
	if err := k.write(f.appendPayload(answer, p), false); err != nil {
		return err
	}
	return f.skip(k)
}

// skip reads a frame that is not wanted. It returns io.EOF after a close frame,
// otherwise errNoMessage.
func (f head) skip(k *socket) error {
	if k.buffer.Buffered() < f.header+f.size {
		k.hurry()
	}
	n, err := k.buffer.Discard(f.header + f.size)
	if k.closing.Load() {
		k.skipped += n
	}
	switch {
	case err != nil:
		return unexpected(err)
	case k.skipped > lingerLimit:
		return errLinger
	case f.opcode == websocket.CloseMessage:
		return io.EOF
	}
	return errNoMessage
}

// ended tells a close frame of the peer from other ends.
func ended(err error) error {
	var closed *websocket.CloseError
	if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
		return io.EOF
	}
	return err
}
