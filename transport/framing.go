package transport

import (
	"switchback/session"
	"switchback/session/frame"
)

// Framings of sessions over WebSocket. Such a session is carried by nothing
// else, so what it queues can be what its wire takes.
var framings = map[[2]bool]session.Framing{ // by hixie, native
	{false, false}: sockJSFraming{session.SockJS, rfc6455{}},
	{false, true}:  nativeFraming{rfc6455{}},
	{true, false}:  sockJSFraming{session.SockJS, hixie76{}},
	{true, true}:   nativeFraming{hixie76{}},
}

func framingOf(hixie, native bool) session.Framing { return framings[[2]bool{hixie, native}] }

// sockJSFraming puts each SockJS frame into a WebSocket message.
type sockJSFraming struct {
	session.Framing
	codec codec
}

func (f sockJSFraming) AppendOpen(dst []byte) []byte {
	return f.codec.appendText(dst, []byte(frame.Open))
}

func (f sockJSFraming) AppendHeartbeat(dst []byte) []byte {
	return f.codec.appendText(dst, heartbeatText...)
}

// heartbeatText is the text of a heartbeat, in a slice that is not made for each.
var heartbeatText = [][]byte{[]byte(frame.Heartbeat)}

// AppendClose appends c[...] and the WebSocket close frame.
func (f sockJSFraming) AppendClose(dst []byte, code int, reason string) []byte {
	dst = f.codec.appendText(dst, frame.AppendClose(nil, code, reason))
	return f.codec.appendClose(dst, code, reason)
}

func (f sockJSFraming) AppendQueue(dst, queue []byte) []byte {
	return f.codec.appendText(dst, []byte("a["), queue, []byte("]"))
}

// nativeFraming puts each message into a WebSocket message: no o, h, a, c.
type nativeFraming struct{ codec codec }

func (f nativeFraming) AppendOpen(dst []byte) []byte      { return dst }
func (f nativeFraming) AppendHeartbeat(dst []byte) []byte { return f.codec.appendPing(dst) }

func (f nativeFraming) AppendClose(dst []byte, code int, reason string) []byte {
	return f.codec.appendClose(dst, code, reason)
}

// AppendText appends a message of valid UTF-8, as RFC 6455 has it.
func (f nativeFraming) AppendText(dst, text []byte) []byte {
	return f.codec.appendText(dst, frame.ValidText(text))
}

func (f nativeFraming) AppendBinary(dst, data []byte) ([]byte, error) {
	return f.codec.appendBinary(dst, data)
}

func (f nativeFraming) Separator() string { return "" }

func (f nativeFraming) AppendQueue(dst, queue []byte) []byte { return append(dst, queue...) }
