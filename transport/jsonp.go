package transport

import (
	"net/http"

	"switchback/session/frame"
)

// jsonpPolling answers each request with a script that calls the callback with
// one frame. The comment before it keeps the answer from being taken for
// another format by its first bytes (sockjs-protocol, JsonPolling).
var jsonpPolling = &carrier{
	transport:   "jsonp-polling",
	method:      http.MethodGet,
	contentType: javascript,
	loaded:      ByElement,
	callback:    true,
	poll:        true,
	wrap: func(dst, f []byte, callback string) []byte {
		dst = append(dst, "/**/"...)
		dst = append(dst, callback...)
		dst = append(dst, '(')
		dst = frame.AppendScript(dst, f)
		return append(dst, ");\r\n"...)
	},
}
