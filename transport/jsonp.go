package transport

import (
	"net/http"

	"switchback/transport/internal/guard"
)

// jsonpPolling answers each request with a script that calls the callback with
// one frame. The comment before it keeps the answer from being taken for
// another format by its first bytes (sockjs-protocol, JsonPolling).
var jsonpPolling = &carrier{
	transport:   "jsonp-polling",
	method:      http.MethodGet,
	sender:      "jsonp_send",
	contentType: javascript,
	loaded:      guard.ByElement,
	callback:    true,
	poll:        true,
	before:      "/**/",
	calls:       true,
	transform:   scriptString,
	after:       "\");\r\n",
}
