package transport

import (
	"net/http"

	"switchback/session/memory"
)

// eventSource sends each frame as an event. Frames hold no line breaks, so
// none can end its event early (sockjs-protocol, EventSource). A % goes out as
// its JSON escape: the client decodes what it gets as if it were part of a URL.
var eventSource = &carrier{
	transport:   "eventsource",
	method:      http.MethodGet,
	sender:      "xhr_send",
	contentType: []string{"text/event-stream"},
	prelude:     func(string) []byte { return []byte("\r\n") },
	before:      "data: ",
	transform:   &memory.Transform{Append: appendPercents},
	after:       "\r\n\r\n",
}

func appendPercents(dst, frame []byte) []byte {
	for _, c := range frame {
		if c == '%' {
			dst = append(dst, `\u0025`...)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
