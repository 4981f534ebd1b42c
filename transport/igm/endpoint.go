package igm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/igm/sockjs-go/v3/sockjs"

	"switchback/session"
	"switchback/transport"
	"switchback/transport/internal/guard"
)

// An Endpoint is one service at a prefix, carried by igm/sockjs-go. It serves
// requests whose path begins with the prefix.
type Endpoint struct {
	prefix       string
	opener       session.Opener
	subprotocols []string // of native WebSocket
	options      transport.Options
	guard        *guard.Guard
	routes       routes
	registry     *registry
	engine       *sockjs.Handler
}

// NewEndpoint mounts o at prefix, such as "/echo"; an empty prefix is the root.
// It refuses options that igm cannot honour with an error that names them, and an o that
// asks who opens a session, or whose a request is: igm would let in everybody.
func NewEndpoint(prefix string, o session.Opener, opts transport.Options) (*Endpoint, error) {
	if prefix != "" && (prefix[0] != '/' || strings.HasSuffix(prefix, "/")) {
		return nil, fmt.Errorf("igm: prefix %q: must be empty, or begin with / and not end with it", prefix)
	}
	_, asks := o.(session.Authenticator)
	_, admits := o.(session.Admitter)
	if asks || admits {
		return nil, errors.New("igm: this implementation does not ask who opens a session")
	}
	opts, err := complete(opts)
	if err != nil {
		return nil, err
	}
	opts.Logger = opts.Logger.With("endpoint", prefix)
	who, err := guard.New(guard.Options{
		AllowedOrigins: opts.AllowedOrigins, TrustedProxies: opts.TrustedProxies, Forwarded: opts.Forwarded, Hosts: opts.Hosts, Logger: opts.Logger,
	})
	if err != nil {
		return nil, err
	}
	e := &Endpoint{
		prefix: prefix, opener: o, options: opts, guard: who,
		routes: newRoutes(opts.DisabledTransports), registry: newRegistry(opts),
	}
	if s, ok := o.(session.Subprotocoler); ok {
		e.subprotocols = s.Subprotocols()
	}
	e.engine = sockjs.NewHandler("", engineOptions(opts, e.subprotocols), e.serveSession)
	return e, nil
}

// ServeHTTP serves a request below the prefix.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, e.prefix)
	if !ok {
		http.NotFound(w, r)
		return
	}
	e.registry.begin()
	defer e.registry.end()
	w.Header().Add("Vary", "Origin")
	if !e.guard.Allowed(r, requestOf(path)) {
		e.refuse(w, &session.RefusedError{Status: http.StatusForbidden, Reason: "Origin is not allowed."})
		return
	}
	if (path == "" || path == "/") && websocket.IsWebSocketUpgrade(r) {
		if !e.options.RawWebSocket {
			e.refuse(w, &session.RefusedError{Status: http.StatusBadRequest, Reason: "Native WebSocket is at " + e.prefix + "/websocket; on this URL it is off, see the option RawWebSocket (raw_websocket)."})
			return
		}
		path = "/websocket"
	}
	switch route := e.routes.find(r, path); {
	case len(route.key) > maxKey:
		http.NotFound(w, r)
	case route.transport != "":
		e.receive(w, r, path, route)
	case route.sends:
		e.send(w, r, path)
	default:
		e.pass(w, r, path)
	}
}

// requestOf tells how a page asks for a path.
func requestOf(path string) guard.Request {
	loaded := strings.HasPrefix(path, "/iframe") || strings.HasSuffix(path, "/jsonp") || strings.HasSuffix(path, "/htmlfile")
	return guard.Request(loaded)
}

// Shutdown refuses new sessions, tells handlers that are Drainers and closes
// every session with 1001. It returns when all handlers and requests have
// ended; when ctx is done before, it closes the sessions whose handlers are
// busy and returns the context's error.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	select {
	case <-e.registry.stop():
		return nil
	case <-ctx.Done():
	}
	for _, a := range e.registry.claimed() {
		go a.close(goingAway()) // ends within WriteTimeout
	}
	return ctx.Err()
}

// pass leaves a request to igm.
func (e *Endpoint) pass(w http.ResponseWriter, r *http.Request, path string) {
	url := *r.URL
	url.Path, url.RawPath = path, ""
	below := r.WithContext(r.Context())
	below.URL = &url
	response := newResponse(w, e.options.WriteTimeout)
	defer response.finish()
	e.engine.ServeHTTP(response, below)
}

// send leaves a request with messages to igm, when its body is complete.
func (e *Endpoint) send(w http.ResponseWriter, r *http.Request, path string) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(e.options.BodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(e.options.BodyLimit)))
	if err != nil {
		w.Header().Set("Connection", "close")
		e.refuse(w, bodyError(err))
		return
	}
	_ = control.SetReadDeadline(time.Time{})
	whole := r.WithContext(r.Context())
	whole.Body = io.NopCloser(bytes.NewReader(body))
	e.pass(w, whole, path)
}

func bodyError(err error) *session.RefusedError {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return &session.RefusedError{Status: http.StatusRequestEntityTooLarge, Reason: "Body is too big."}
	}
	return &session.RefusedError{Status: http.StatusRequestTimeout, Reason: "Body is incomplete."}
}

// refuse answers a request with what a *RefusedError says, or with 500.
func (e *Endpoint) refuse(w http.ResponseWriter, err error) {
	refused := &session.RefusedError{Status: http.StatusInternalServerError, Reason: "Internal error."}
	errors.As(err, &refused)
	e.options.Logger.Warn("request refused", "status", refused.Status, "error", err)
	http.Error(w, refused.Reason, refused.Status)
}
