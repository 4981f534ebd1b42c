package transport

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"switchback/transport/internal/guard"
	"switchback/transport/internal/http1"
)

// A route is a row of the URL table.
type route struct {
	method     string
	path       string // below the prefix
	kind       routeKind
	loaded     guard.Request
	transports []string // that need it; none: it is always there
	serve      func(e *Endpoint, w http.ResponseWriter, r *http.Request, key string)
}

type routeKind uint8

const (
	static    routeKind = iota // answers HEAD, too
	shared                     // static, for pages of other origins
	carrying                   // of a session
	upgrading                  // to WebSocket
)

// sessionPath begins the paths of sessions: /<server>/<session>/<name>.
const sessionPath = "/*/*/"

// urls is the URL table: these, and a row for each of httpTransports.
var urls = append([]route{
	{"GET", "", static, guard.ByScript, nil, (*Endpoint).greet},
	{"GET", "/", static, guard.ByScript, nil, (*Endpoint).greet},
	{"GET", "/info", shared, guard.ByScript, nil, (*Endpoint).info},
	{"GET", iframePath, static, guard.ByElement, nil, (*Endpoint).iframePage},
	{"GET", "/websocket", upgrading, guard.ByScript, []string{"websocket"}, (*Endpoint).rawWebSocket},
	{"GET", sessionPath + "websocket", upgrading, guard.ByScript, []string{"websocket"}, (*Endpoint).websocket},
	{"POST", sessionPath + "xhr_send", carrying, guard.ByScript, sendingBy("xhr_send"), (*Endpoint).xhrSend},
	{"POST", sessionPath + "jsonp_send", carrying, guard.ByScript, sendingBy("jsonp_send"), (*Endpoint).jsonpSend},
}, receiving()...)

// httpTransports are the transports that receive in HTTP responses, with the last part
// of their path.
var httpTransports = []struct {
	name    string
	carrier *carrier
}{
	{"xhr", xhrPolling},
	{"xhr_streaming", xhrStreaming},
	{"eventsource", eventSource},
	{"htmlfile", htmlFile},
	{"jsonp", jsonpPolling},
}

// receiving are the rows of the HTTP transports.
func receiving() (rows []route) {
	for _, t := range httpTransports {
		serve := func(e *Endpoint, w http.ResponseWriter, r *http.Request, key string) { e.respond(w, r, key, t.carrier) }
		rows = append(rows, route{t.carrier.method, sessionPath + t.name, carrying, t.carrier.loaded, []string{t.carrier.transport}, serve})
	}
	return rows
}

// sendingBy are the HTTP transports whose messages come by a sender.
func sendingBy(sender string) (transports []string) {
	for _, t := range httpTransports {
		if t.carrier.sender == sender {
			transports = append(transports, t.carrier.transport)
		}
	}
	return transports
}

// iframePath stands for all that isIframe tells.
const iframePath = "/iframe*.html"

// routesFor are the rows that an endpoint has, by their path.
func routesFor(disabled []string) map[string]*route {
	enabled := func(transport string) bool { return !slices.Contains(disabled, transport) }
	routes := make(map[string]*route)
	for i, rt := range urls {
		if rt.transports == nil || slices.ContainsFunc(rt.transports, enabled) {
			routes[rt.path] = &urls[i]
		}
	}
	return routes
}

// atOnce are the methods of requests for sessions, by the last part of their path.
var atOnce = func() map[string]string {
	methods := make(map[string]string)
	for _, rt := range urls {
		if rt.kind == carrying || rt.kind == upgrading {
			methods[rt.path[strings.LastIndexByte(rt.path, '/')+1:]] = rt.method
		}
	}
	return methods
}()

// servesAtOnce tells the requests that clients make over and over, which are served on
// the spot, where that can be.
func servesAtOnce(method, path string) bool {
	return atOnce[path[strings.LastIndexByte(path, '/')+1:]] == method
}

// ServeHTTP serves a request for a URL below the prefix; any other gets 404.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := e.path(r)
	if !ok {
		notFound(w)
		return
	}
	rt, key, ok := e.find(path)
	if !ok {
		notFound(w)
		return
	}
	base := path == "" || path == "/"
	if base && r.Method == http.MethodGet && isUpgrade(r) {
		if !e.options.RawWebSocket || !e.serves("websocket") {
			e.refuseUpgrade(w, r)
			return
		}
		rt = e.routes["/websocket"]
	}
	if !rt.takes(r.Method) {
		w.Header().Set("Allow", rt.allow())
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if (!base || rt.kind == upgrading) && !e.guard.Allowed(r, rt.loaded) {
		e.stats.ForeignOrigins.Add(1)
		refuse(w, http.StatusForbidden, "Origin is not allowed.")
		return
	}
	e.answer(w, r, rt, key)
}

// answer sets the headers that all answers of a route have, and serves it.
func (e *Endpoint) answer(w http.ResponseWriter, r *http.Request, rt *route, key string) {
	var h http.Header
	if rt.kind == carrying {
		h = http1.Header(w)
	} else {
		h = w.Header()
	}
	h["X-Content-Type-Options"] = nosniff
	if rt.kind == shared || rt.kind == carrying {
		if r.Method == http.MethodOptions {
			e.preflight(w, r, rt)
			return
		}
		e.cors(w, r)
		h["Cache-Control"] = uncached
	}
	if key != "" && e.options.CookieNeeded {
		setCookie(w, r)
	}
	rt.serve(e, w, r, key)
}

// takes tells whether the route answers a method.
func (rt *route) takes(method string) bool {
	switch method {
	case rt.method:
		return true
	case http.MethodHead:
		return rt.kind == static || rt.kind == shared
	case http.MethodOptions:
		return rt.kind == shared || rt.kind == carrying
	}
	return false
}

func (rt *route) allow() string {
	switch rt.kind {
	case static:
		return rt.method + ", HEAD"
	case upgrading:
		return rt.method
	}
	return "OPTIONS, " + rt.method
}

// path returns the request's path below the prefix, in its one form: decoded
// once. Paths that could be read in two ways are refused.
func (e *Endpoint) path(r *http.Request) (string, bool) {
	path, ok := strings.CutPrefix(r.URL.Path, e.prefix)
	if !ok || path != "" && path[0] != '/' {
		return "", false
	}
	if strings.Contains(r.URL.RawPath, "%2f") || strings.Contains(r.URL.RawPath, "%2F") {
		return "", false
	}
	return path, utf8.ValidString(path) && strings.IndexFunc(path, control) < 0
}

func control(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// maxKey is the longest session id, in bytes.
const maxKey = 128

// find returns the route for a path, and the session id where it is a
// session's, of which neither server nor session is empty or holds a dot
// (sockjs-protocol, SessionURLs).
func (e *Endpoint) find(path string) (rt *route, key string, ok bool) {
	if path == "" || path[0] == '/' && strings.IndexByte(path[1:], '/') < 0 {
		switch {
		case isIframe(path):
			path = iframePath
		case path == iframePath:
			return nil, "", false
		}
		rt, ok = e.routes[path]
		return rt, "", ok
	}
	server, rest, ok := strings.Cut(path[1:], "/")
	if !ok {
		return nil, "", false
	}
	key, name, ok := strings.Cut(rest, "/")
	if !ok || server == "" || key == "" || len(key) > maxKey || strings.Contains(server, ".") || strings.Contains(key, ".") {
		return nil, "", false
	}
	rt, ok = e.routes[sessionPath+name]
	return rt, key, ok
}

func (e *Endpoint) serves(transport string) bool {
	return !slices.Contains(e.options.DisabledTransports, transport)
}
