package transport

import (
	"bytes"
	"net/http"
)

// xhrPolling answers each request with one frame (sockjs-protocol, XhrPolling).
var xhrPolling = &carrier{
	transport:   "xhr-polling",
	method:      http.MethodPost,
	sender:      "xhr_send",
	contentType: javascript,
	poll:        true,
	after:       "\n",
}

// xhrStreaming ends each frame with a new line. The prelude fills the buffer
// that some browsers fill before they show anything (sockjs-protocol,
// XhrStreaming).
var xhrStreaming = &carrier{
	transport:   "xhr-streaming",
	method:      http.MethodPost,
	sender:      "xhr_send",
	contentType: javascript,
	prelude:     func(string) []byte { return xhrPrelude },
	after:       "\n",
}

var xhrPrelude = append(bytes.Repeat([]byte{'h'}, 2048), '\n')
