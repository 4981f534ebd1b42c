package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"path"
	"time"
)

//go:embed page
var pageFiles embed.FS

// Handler serves the test page at /, the chat at /chat.html, the files that they
// need beside them, and sockjs-client at ClientPath. Everything else is 404.
func Handler() http.Handler { return newSite(embeddedClient()) }

// A site is a fixed set of files by their URL path. It is immutable.
type site struct {
	policy string
	files  map[string]*file
}

// newSite is the site with client as its sockjs-client, or with the CDN's when
// client is nil. It panics when the embedded files are not as it knows them.
func newSite(client []byte) *site {
	from := source(client)
	s := &site{policy: policy(from), files: map[string]*file{
		"/":          newFile("index.html", fill("index.html", from)),
		"/chat.html": newFile("chat.html", fill("chat.html", from)),
	}}
	if client != nil {
		s.files[localClientPath] = newFile(localClientPath, client)
	}
	for _, name := range []string{
		"page.js", "framelog.js", "roundtrips.js", "transport.js", "style.css",
		"chat.js", "connection.js", "messages.js", "room.js", "rooms.js", "chat.css",
		"base.css", "icon.svg",
	} {
		s.files["/"+name] = newFile(name, embedded(name))
	}
	return s
}

// ServeHTTP answers GET and HEAD for the files of the site.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.secure(w.Header())
	f := s.files[r.URL.Path]
	switch {
	case f == nil:
		http.NotFound(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	default:
		f.serve(w, r)
	}
}

// secure sets the headers that every answer has. The referrer policy is not
// no-referrer, which would make the origin of a form's POST "null": jsonp-polling
// sends by form, and an endpoint wants to see its own origin.
func (s *site) secure(h http.Header) {
	h.Set("Content-Security-Policy", s.policy)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
}

// A file is what one path answers. It is immutable.
type file struct {
	name string
	body []byte
	etag string
}

func newFile(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	return &file{name: name, body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// serve lets caches keep the file, and ask each time whether it is still the
// same: the paths do not change when a binary with other files is started.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", contentTypes[path.Ext(f.name)])
	h.Set("ETag", f.etag)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.body))
}

var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// policy is the Content-Security-Policy: the page's own files, and of other
// origins nothing but the client of the CDN. The transports need connect-src
// (websocket, xhr, eventsource), frame-src (htmlfile, the iframe page),
// script-src (jsonp) and form-action (jsonp_send). Not every browser takes
// 'self' to hold WebSocket URLs, hence ws: and wss:.
func policy(from clientSource) string {
	scripts := "'self'"
	if from.Integrity != "" {
		scripts += " " + from.Client
	}
	return "default-src 'none'; script-src " + scripts +
		"; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; frame-src 'self'" +
		"; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}

// transports are those that the pages offer, in the order in which sockjs-client
// tries them.
var transports = []string{
	"websocket", "xhr-streaming", "eventsource", "iframe-eventsource", "htmlfile",
	"iframe-htmlfile", "xhr-polling", "iframe-xhr-polling", "jsonp-polling",
}

// fill is a page with the places where its parts are.
func fill(name string, from clientSource) []byte {
	page := template.Must(template.New(name).Parse(string(embedded(name))))
	var b bytes.Buffer
	if err := page.Execute(&b, struct {
		clientSource
		Transports []string
	}{from, transports}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func embedded(name string) []byte {
	body, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err)
	}
	return body
}
