package transport

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// greet answers at the base URL (sockjs-protocol, BaseUrlGreeting).
func (e *Endpoint) greet(w http.ResponseWriter, _ *http.Request, _ string) {
	w.Header()["Content-Type"] = plainText
	w.Write([]byte("Welcome to SockJS!\n"))
}

// info answers what the client asks first (sockjs-protocol, InfoTest).
func (e *Endpoint) info(w http.ResponseWriter, _ *http.Request, _ string) {
	if e.registry.Full() { // so that clients go elsewhere, or wait
		refuse(w, http.StatusServiceUnavailable, "Server is full or going away.")
		return
	}
	var entropy [4]byte
	rand.Read(entropy[:])
	b := append(make([]byte, 0, 96), `{"websocket":`...)
	b = strconv.AppendBool(b, e.serves("websocket"))
	b = append(b, `,"origins":["*:*"],"cookie_needed":`...)
	b = strconv.AppendBool(b, e.options.CookieNeeded)
	b = append(b, `,"entropy":`...)
	b = strconv.AppendUint(b, uint64(binary.BigEndian.Uint32(entropy[:])), 10)
	b = append(b, '}')
	w.Header()["Content-Type"] = []string{"application/json; charset=UTF-8"}
	w.Write(b)
}

// A page is a document and its ETag.
type page struct {
	body []byte
	etag string
}

// iframePage is the page that loads the client into an iframe of the server's
// origin. Its body is fixed but for the client's URL (sockjs-protocol,
// IframePage).
func iframePage(clientURL string) page {
	body := []byte(`<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="` + html.EscapeString(clientURL) + `"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
`)
	sum := sha256.Sum256(body)
	return page{body, `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// isIframe tells the paths /iframe[0-9-.a-z_]*.html.
func isIframe(path string) bool {
	version, ok := strings.CutPrefix(path, "/iframe")
	if !ok {
		return false
	}
	version, ok = strings.CutSuffix(version, ".html")
	return ok && strings.Trim(version, "0123456789-.abcdefghijklmnopqrstuvwxyz_") == ""
}

func (e *Endpoint) iframePage(w http.ResponseWriter, r *http.Request, _ string) {
	h := w.Header()
	h["Cache-Control"] = cachedYear
	h.Set("Expires", time.Now().Add(year).UTC().Format(http.TimeFormat))
	h.Set("Etag", e.iframe.etag)
	if matches(r.Header.Get("If-None-Match"), e.iframe.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["Content-Type"] = []string{"text/html; charset=UTF-8"}
	w.Write(e.iframe.body)
}

// matches compares an If-None-Match header with an ETag, weakly (RFC 9110,
// section 13.1.2).
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}
