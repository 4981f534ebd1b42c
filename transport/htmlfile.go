package transport

import (
	"bytes"
	"net/http"

	"switchback/session/frame"
	"switchback/session/memory"
	"switchback/transport/internal/guard"
)

// htmlFile sends a page that never ends: each frame is a script that hands it
// to the parent's callback (sockjs-protocol, HtmlFile).
var htmlFile = &carrier{
	transport:   "htmlfile",
	method:      http.MethodGet,
	sender:      "xhr_send",
	contentType: []string{"text/html; charset=UTF-8"},
	loaded:      guard.ByElement,
	callback:    true,
	prelude:     htmlPage,
	before:      "<script>\np(\"",
	transform:   scriptString,
	after:       "\");\n</script>\r\n",
}

// scriptString is for frames that are strings of a script.
var scriptString = &memory.Transform{Append: frame.AppendScript}

// htmlPage is the beginning of the page, filled up beyond the 1,024 bytes that
// browsers wait for.
func htmlPage(callback string) []byte {
	page := `<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.` + callback + `;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>
`
	return append([]byte(page), bytes.Repeat([]byte{' '}, max(1, 1026-len(page)))...)
}
