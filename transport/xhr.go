package transport

import (
	"bytes"
	"net/http"
)

// xhrPolling answers each request with one frame (sockjs-protocol, XhrPolling).
var xhrPolling = &carrier{
	transport:   "xhr-polling",
	method:      http.MethodPost,
	contentType: javascript,
	poll:        true,
	wrap:        appendLine,
}

// xhrStreaming ends each frame with a new line. The prelude fills the buffer
// that some browsers fill before they show anything (sockjs-protocol,
// XhrStreaming).
var xhrStreaming = &carrier{
	transport:   "xhr-streaming",
	method:      http.MethodPost,
	contentType: javascript,
	prelude:     func(string) []byte { return xhrPrelude },
	wrap:        appendLine,
}

var xhrPrelude = append(bytes.Repeat([]byte{'h'}, 2048), '\n')

func appendLine(dst, frame []byte, _ string) []byte {
	return append(append(dst, frame...), '\n')
}
