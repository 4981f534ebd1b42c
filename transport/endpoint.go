package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"switchback/session"
	"switchback/transport/netpoll"
)

// An Endpoint serves one SockJS service at a prefix. It is an http.Handler, and
// its methods may be called from any goroutine.
type Endpoint struct {
	prefix   string
	options  Options
	log      *slog.Logger
	registry *session.Registry
	poller   *netpoll.Poller
	flusher  flusher
	guard    *Guard
	cors     func(w http.ResponseWriter, r *http.Request)
	iframe   page
	routes   map[string]route // of a session, by the last part of the path
	statics  map[string]route // by the path
	stats    Stats

	subprotocols []string // of native WebSockets
}

// Stats are an endpoint's counters, which are its own to change.
type Stats struct {
	*session.Stats
	ForeignOrigins atomic.Int64 // requests refused for the origin of their page (403)
	TooLarge       atomic.Int64 // bodies and messages refused for MessageLimit, BodyLimit or BatchLimit (413, 1009)
	Broken         atomic.Int64 // bodies and messages that were no array of strings (500, 1007)
	Late           atomic.Int64 // bodies and messages given up at BodyTimeout, since they stopped or were too slow (408, 1008)
	Busy           atomic.Int64 // requests refused because too many wait for a session's handler (503)
	Handshakes     atomic.Int64 // WebSocket handshakes that failed (400)
	Unanswered     atomic.Int64 // WebSockets closed because their peer did not answer a ping
}

// NewEndpoint returns an endpoint for the URLs below prefix, such as "/echo";
// an empty prefix is the root. Opener gives each new session its handler. An
// error says which option is wrong and what it may be. [Endpoint.Register] puts the
// endpoint into a mux.
func NewEndpoint(prefix string, opener session.Opener, options Options) (*Endpoint, error) {
	if prefix != "" && (prefix[0] != '/' || strings.HasSuffix(prefix, "/")) {
		return nil, fmt.Errorf("transport: prefix %q: must be empty, or begin with / and not end with it", prefix)
	}
	o, err := options.Complete()
	if err != nil {
		return nil, err
	}
	o.Logger = o.Logger.With("endpoint", prefix)
	guard, err := NewGuard(o)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{
		prefix:  prefix,
		options: o,
		log:     o.Logger,
		poller:  netpoll.New(o.WriteTimeout),
		guard:   guard,
		iframe:  iframePage(o.ClientURL),

		subprotocols: subprotocolsOf(opener),
	}
	e.registry = session.NewRegistry(opener, session.Config{
		HeartbeatDelay:  o.HeartbeatDelay,
		DisconnectDelay: o.DisconnectDelay,
		InboxTimeout:    o.InboxTimeout,
		SessionLimit:    o.SessionLimit,
		AddressLimit:    o.AddressLimit,
		QueueLimit:      o.QueueLimit,
		InboxLimit:      o.InboxLimit,
		MemoryLimit:     o.MemoryLimit,
		Opened:          e.opened,
		Closed:          e.closed,
	})
	e.stats.Stats = e.registry.Stats()
	e.cors = newCORS()
	e.statics, e.routes = e.table()
	return e, nil
}

// Stats are the endpoint's counters.
func (e *Endpoint) Stats() *Stats { return &e.stats }

// Registry holds the endpoint's sessions: it lists them, finds one by its ID, and closes
// those that a function chooses.
func (e *Endpoint) Registry() *session.Registry { return e.registry }

// Listen listens at addr, a host and a port, as net.Listen does, for
// [Endpoint.Serve]. On Linux its connections are not of type *net.TCPConn, and have
// no Multipath TCP. They have TCP keep-alive, after a minute.
func Listen(addr string) (net.Listener, error) { return netpoll.Listen(addr) }

// Serve is s.Serve(l) for a server that has the endpoint among its handlers. But
// where l is of [Listen], a connection that waits for its first request costs no
// goroutine and hardly any memory, and opening a session costs less: a plain request
// whose path ends in websocket, xhr, xhr_send or xhr_streaming is served without
// http.Server, from the first one on a connection. So s.Shutdown does not wait for
// it, as the endpoint's does; SetKeepAlivesEnabled does not reach it; BaseContext is
// called a second time, and ConnContext for each such request. The server's timeouts
// and limits hold; with a WriteTimeout no request is served so. Of several listeners
// of a server only the first has such connections, and none where the server has a
// ConnState.
func (e *Endpoint) Serve(s *http.Server, l net.Listener) error { return e.poller.Serve(s, l) }

// Drain ends the sessions: it refuses new ones and /info with 503, tells handlers
// that are session.Drainers, closes every session with 1001, ends streams and polls,
// and closes WebSockets as RFC 6455 has it. What clients that poll have not fetched yet
// is served to them until the disconnect delay has passed, for which their server has
// to go on accepting connections. Drain returns when all of that is done. Shortly
// before the context's deadline it closes the sessions of busy handlers, too, and
// returns the context's error.
func (e *Endpoint) Drain(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok { // which leaves some of the time for the connections
		reserve := min(time.Until(deadline)/4, time.Second)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	return e.registry.Shutdown(ctx)
}

// Shutdown ends the endpoint: after [Endpoint.Drain] it closes the connections that
// wait for a request, and at the context's deadline those that are left, and returns
// the context's error then. http.Server's own Shutdown does not know of WebSockets and
// of parked connections, whose requests it does not wait for: call this, too, and
// Drain before either.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	return errors.Join(e.Drain(ctx), e.poller.Shutdown(ctx))
}

// A route is what serves one path.
type route struct {
	method string
	kind   routeKind
	loaded Request
	serve  func(w http.ResponseWriter, r *http.Request, key string)
}

type routeKind uint8

const (
	static    routeKind = iota // answers HEAD, too
	shared                     // static, for pages of other origins
	carrying                   // of a session
	upgrading                  // to WebSocket
)

// table lists the rows of the URL table that are not disabled.
func (e *Endpoint) table() (statics, routes map[string]route) {
	statics = map[string]route{
		"":      {method: http.MethodGet, kind: static, serve: e.greet},
		"/":     {method: http.MethodGet, kind: static, serve: e.greet},
		"/info": {method: http.MethodGet, kind: shared, serve: e.info},
	}
	routes = make(map[string]route)
	for name, c := range carriers {
		if e.serves(c.transport) {
			serve := func(w http.ResponseWriter, r *http.Request, key string) { e.respond(w, r, key, c) }
			routes[name] = route{method: c.method, kind: carrying, loaded: c.loaded, serve: serve}
		}
	}
	if e.serves("xhr-streaming") || e.serves("xhr-polling") || e.serves("eventsource") || e.serves("htmlfile") {
		routes["xhr_send"] = route{method: http.MethodPost, kind: carrying, serve: e.xhrSend}
	}
	if e.serves("jsonp-polling") {
		routes["jsonp_send"] = route{method: http.MethodPost, kind: carrying, serve: e.jsonpSend}
	}
	if e.serves("websocket") {
		routes["websocket"] = route{method: http.MethodGet, kind: upgrading, serve: e.websocket}
		statics["/websocket"] = route{method: http.MethodGet, kind: upgrading, serve: e.rawWebSocket}
	}
	return statics, routes
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
	if (path == "" || path == "/") && r.Method == http.MethodGet && isUpgrade(r) {
		if !e.options.RawWebSocket || !e.serves("websocket") {
			e.refuseUpgrade(w, r)
			return
		}
		rt = e.statics["/websocket"]
	}
	if !rt.takes(r.Method) {
		w.Header().Set("Allow", rt.allow())
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if (path != "" && path != "/" || rt.kind == upgrading) && !e.guard.Allowed(r, rt.loaded) {
		e.stats.ForeignOrigins.Add(1)
		refuse(w, http.StatusForbidden, "Origin is not allowed.")
		return
	}
	e.answer(w, r, rt, key)
}

// headers are for answers on connections that are taken, which need them no longer.
var headers = sync.Pool{New: func() any { return make(http.Header) }}

// answer sets the headers that all answers of a route have, and serves it.
func (e *Endpoint) answer(w http.ResponseWriter, r *http.Request, rt route, key string) {
	if rt.kind == carrying {
		h := headers.Get().(http.Header)
		if netpoll.LendHeader(w, h) {
			defer func() {
				if netpoll.TakeHeader(w) {
					clear(h)
					headers.Put(h)
				}
			}()
		} else {
			headers.Put(h)
		}
	}
	h := w.Header()
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
	rt.serve(w, r, key)
}

// takes tells whether the route answers a method.
func (rt route) takes(method string) bool {
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

func (rt route) allow() string {
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
// session's: /<server>/<session>/<transport>, of which neither server nor
// session is empty or holds a dot (sockjs-protocol, SessionURLs).
func (e *Endpoint) find(path string) (rt route, key string, ok bool) {
	if rt, ok = e.statics[path]; ok {
		return rt, "", true
	}
	if isIframe(path) {
		return route{method: http.MethodGet, kind: static, loaded: ByElement, serve: e.iframePage}, "", true
	}
	server, rest, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok {
		return route{}, "", false
	}
	key, name, ok := strings.Cut(rest, "/")
	if !ok || server == "" || key == "" || len(key) > maxKey || strings.Contains(server, ".") || strings.Contains(key, ".") {
		return route{}, "", false
	}
	rt, ok = e.routes[name]
	return rt, key, ok
}

func (e *Endpoint) serves(transport string) bool {
	for _, d := range e.options.DisabledTransports {
		if d == transport {
			return false
		}
	}
	return true
}

// refusal answers a client that may not have a session.
func (e *Endpoint) refusal(w http.ResponseWriter, r *http.Request, err error) {
	var refused *session.RefusedError
	if !errors.As(err, &refused) {
		e.log.Error("opening a session failed", "error", err)
		refuse(w, http.StatusInternalServerError, "Internal error.")
		return
	}
	e.log.Warn("session refused", "status", refused.Status, "reason", refused.Reason, "address", e.guard.proxies.caller(r).ip())
	refuse(w, refused.Status, refused.Reason)
}

// opened logs a session's beginning.
func (e *Endpoint) opened(s *session.Local) { e.tell(slog.LevelDebug, "session opened", s) }

// closed logs a session's end.
func (e *Endpoint) closed(s *session.Local, err error) {
	var panicked *session.PanicError
	switch {
	case errors.As(err, &panicked):
		e.tell(slog.LevelError, "handler panicked", s, "error", err, "stack", string(panicked.Stack))
	case errors.Is(err, session.ErrSlow), errors.Is(err, session.ErrStuck):
		e.tell(slog.LevelWarn, "session closed", s, "error", err)
	default:
		e.tell(slog.LevelDebug, "session closed", s, "error", err)
	}
}
