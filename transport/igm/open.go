package igm

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/gorilla/websocket"
	"github.com/igm/sockjs-go/v3/sockjs"

	"switchback/session"
)

const (
	rawWebSocket = "raw-websocket" // session.Peer.Transport
	maxKey       = 128             // bytes of a session id
)

// A route is what a request asks for, as far as igm needs help with it.
type route struct {
	transport string // of the receiver that it brings, or empty
	key       string // the URL's session id, or empty for a WebSocket
	sends     bool   // it brings messages
}

// routes are the receivers that are served, by the last part of their URL.
type routes map[string]receiver

type receiver struct{ method, transport string }

// newRoutes returns the receivers of the transports that are not disabled.
func newRoutes(disabled []string) routes {
	all := routes{
		"websocket":     {http.MethodGet, "websocket"},
		"xhr_streaming": {http.MethodPost, "xhr-streaming"},
		"xhr":           {http.MethodPost, "xhr-polling"},
		"eventsource":   {http.MethodGet, "eventsource"},
		"htmlfile":      {http.MethodGet, "htmlfile"},
		"jsonp":         {http.MethodGet, "jsonp-polling"},
	}
	for name, r := range all {
		if slices.Contains(disabled, r.transport) {
			delete(all, name)
		}
	}
	return all
}

// sessionURL is a URL of a session below the prefix, as igm understands it.
var sessionURL = regexp.MustCompile(`^/[^/.]+/([^/.]+)/([a-z_]+)$`)

// find returns the route of a request. Requests that igm refuses by itself
// have none.
func (t routes) find(r *http.Request, path string) route {
	key, name, raw := "", "websocket", path == "/websocket"
	if m := sessionURL.FindStringSubmatch(path); m != nil {
		key, name = m[1], m[2]
	} else if !raw {
		return route{}
	}
	receiver, ok := t[name]
	switch {
	case !ok:
		return route{key: key, sends: r.Method == http.MethodPost && (name == "xhr_send" || name == "jsonp_send")}
	case r.Method != receiver.method, name == "websocket" && !websocket.IsWebSocketUpgrade(r):
		return route{key: key}
	case raw:
		return route{transport: rawWebSocket}
	case name == "websocket":
		return route{transport: receiver.transport}
	}
	return route{transport: receiver.transport, key: key}
}

// adapterKey is the key of a request's adapter in its context.
type adapterKey struct{}

// receive leaves a request for a receiver to igm, with the session that it is
// for or that it opens.
func (e *Endpoint) receive(w http.ResponseWriter, r *http.Request, path string, t route) {
	a := e.registry.find(t.key)
	if a == nil {
		var err error
		if a, err = e.open(r, t); err != nil {
			e.refuse(w, err)
			return
		}
		defer e.registry.expire(a)
	}
	if t.key == "" && e.subprotocols != nil {
		r = offering(r, a.peer.Subprotocol)
	}
	e.pass(w, r.WithContext(context.WithValue(r.Context(), adapterKey{}, a)), path)
}

// open asks the opener for a new session, so that it can be refused before igm
// opens it.
func (e *Endpoint) open(r *http.Request, t route) (a *adapter, err error) {
	peer := e.guard.Peer(r, t.transport)
	if t.transport == rawWebSocket {
		peer.Subprotocol = e.subprotocol(r)
	}
	if err := e.registry.admit(&peer); err != nil {
		return nil, err
	}
	defer func() {
		if a == nil {
			e.registry.dismiss(&peer)
		}
	}()
	handler, err := e.opener.Open(r)
	if err != nil {
		return nil, err
	}
	if h, ok := handler.(session.Identified); ok && h.Identity() != nil {
		peer.Identity = h.Identity()
	}
	a = &adapter{
		key: t.key, peer: peer, handler: handler,
		messageLimit: e.options.MessageLimit, draining: e.registry.draining,
	}
	a.ctx, a.cancel = context.WithCancelCause(context.Background())
	return e.registry.add(a), nil
}

// subprotocol returns the first sub-protocol of the client's list that the
// opener speaks, or nothing.
func (e *Endpoint) subprotocol(r *http.Request) string {
	for _, p := range websocket.Subprotocols(r) {
		if slices.Contains(e.subprotocols, p) {
			return p
		}
	}
	return ""
}

// offering returns a request that offers one sub-protocol, or none. igm's
// upgrader would take the first of the opener's list, and for a SockJS
// WebSocket, too.
func offering(r *http.Request, subprotocol string) *http.Request {
	const header = "Sec-Websocket-Protocol"
	r = r.Clone(r.Context())
	r.Header.Del(header)
	if subprotocol != "" {
		r.Header.Set(header, subprotocol)
	}
	return r
}

// serveSession is called by igm on a goroutine of the session's own.
func (e *Endpoint) serveSession(engine sockjs.Session) {
	a := engine.Request().Context().Value(adapterKey{}).(*adapter)
	if end := e.registry.claim(a, engine); end != nil {
		_ = engine.Close(uint32(end.Code), end.Reason)
		return
	}
	defer e.registry.end()
	defer e.registry.forget(a)
	log := e.options.Logger.With("session", a.name, "transport", a.peer.Transport, "address", a.peer.Address)
	log.Debug("session opened")
	opened := time.Now()
	end := a.run()
	logEnd(log.With("age", time.Since(opened)), end)
}

// logEnd logs the end of a session: what went wrong here above debug.
func logEnd(log *slog.Logger, end error) {
	var panicked *session.PanicError
	var closed *session.CloseError
	switch {
	case errors.As(end, &panicked):
		log.Error("handler panicked", "error", panicked, "stack", string(panicked.Stack))
	case !errors.As(end, &closed):
		log.Debug("session closed", "error", end)
	case closed.Code == session.CodeTooBig, closed.Code == session.CodeTryLater:
		log.Warn("session closed", "code", closed.Code, "reason", closed.Reason, "error", closed.Err)
	default:
		log.Debug("session closed", "code", closed.Code, "reason", closed.Reason, "error", closed.Err)
	}
}
