package transport

import (
	"switchback/session"
	"switchback/session/frame"
)

// A wireKind is one of the forms that a session has over WebSocket. Such a session is
// carried by nothing else, so what it queues can be what its wire takes.
type wireKind struct {
	codec  codec
	native bool // without SockJS frames
}

var framings = func() map[wireKind]*session.Framing {
	all := make(map[wireKind]*session.Framing)
	for _, c := range []codec{rfc6455{}, hixie76{}} {
		all[wireKind{c, false}] = sockJSFraming(c)
		all[wireKind{c, true}] = nativeFraming(c)
	}
	return all
}()

// sockJSFraming puts each SockJS frame into a WebSocket message.
func sockJSFraming(c codec) *session.Framing {
	message := func(dst []byte, text string) []byte {
		return append(append(c.appendBegin(dst, len(text), false), text...), c.end()...)
	}
	return &session.Framing{
		Encoding:  session.JSON,
		Open:      string(message(nil, frame.Open)),
		Heartbeat: string(message(nil, frame.Heartbeat)),
		AppendClose: func(dst []byte, code int, reason string) []byte {
			dst = message(dst, string(frame.AppendClose(nil, code, reason)))
			return c.appendClose(dst, code, reason)
		},
		AppendQueueBegin: func(dst []byte, size int) []byte {
			return append(c.appendBegin(dst, size+len("a[]"), false), "a["...)
		},
		QueueEnd: "]" + c.end(),
	}
}

// nativeFraming puts each message into a WebSocket message: no o, h, a, c. Texts are
// valid UTF-8, as RFC 6455 has it.
func nativeFraming(c codec) *session.Framing {
	return &session.Framing{
		Encoding: &session.Encoding{
			Binary:      c.binary(),
			AppendBegin: c.appendBegin,
			AppendPart:  func(dst, text []byte) []byte { return append(dst, frame.ValidText(text)...) },
			Size:        func(text []byte) int { return len(frame.ValidText(text)) },
			Sized:       true,
			End:         c.end(),
		},
		Heartbeat:        c.ping(),
		AppendClose:      c.appendClose,
		AppendQueueBegin: func(dst []byte, _ int) []byte { return dst },
	}
}
