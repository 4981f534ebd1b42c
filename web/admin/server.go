package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"switchback/handler"
	"switchback/handler/chat"
	"switchback/handler/engine"
	"switchback/handler/history"
	"switchback/handler/rules"
	"switchback/handler/stomp"
	"switchback/session/auth"
	"switchback/session/option"
	"switchback/transport"
	"switchback/web/admin/client"
)

// Options are what a Server tells of and acts upon. The zero value has metrics of the
// process, and health.
type Options struct {
	// Token is what profiles and the API ask for. Without one they are refused with 403.
	Token string

	// Endpoints are the endpoints by their paths, as metrics and the API name them.
	Endpoints map[string]*transport.Endpoint

	// Hub and Topics are those of handler.Broadcasts: who publishes to a destination
	// that is one of Topics publishes to that topic of the Hub.
	Hub    *handler.Hub
	Topics []string

	// Broker has all other destinations. The default is none.
	Broker *stomp.Broker

	// Engine is what carries the Hub's publications to other nodes, of which the API tells.
	// Who is to be disconnected is told to their admin listeners by the Hub. The default is
	// none.
	Engine *engine.Engine

	// History is what keeps publications, which the API reads and trims. The default is
	// none.
	History *history.Log

	// Chats are those of endpoints, by their paths, whose counters are metrics. The default
	// is none.
	Chats map[string]*chat.Chat

	// Guards are those that ask rules in front of endpoints, by their paths, whose counters
	// are metrics. The default is none.
	Guards map[string]*rules.Guard

	// TLS are the counters of a transport.Server, which are metrics. The default is none.
	TLS *transport.TLSStats

	// Tickets are those that endpoints accept, which the API exchanges tokens for that
	// Verifier accepts. The default is none.
	Tickets  *auth.Tickets
	Verifier *auth.Verifier

	// Registry is what /metrics serves. New registers its metrics there, those of the
	// Go runtime and of the process included. The default is one of the Server's own.
	Registry *prometheus.Registry

	// BodyLimit is the size of a request's body in bytes (413). The default is 1 MiB.
	BodyLimit int `default:"1MiB" unit:"bytes"`

	// BatchLimit is the number of publications of a batch (400). The default is 1,000.
	BatchLimit int `default:"1000"`

	// PageLimit is the number of sessions or topics that a page has at most (400). The
	// default is 1,000.
	PageLimit int `default:"1000"`

	// Logger gets what happens: warn for requests without the token, info for those that
	// close sessions. Never the token, nor what is published. The default is
	// slog.Default() as New finds it.
	Logger *slog.Logger
}

// A Server is the handler of an admin listener, and the listener. Its methods may be
// called from any goroutine.
type Server struct {
	options  Options
	log      *slog.Logger
	token    [sha256.Size]byte
	topics   map[string]bool
	routes   map[string]*route
	requests *prometheus.CounterVec
	draining atomic.Bool
	http     *http.Server
}

// A route is what one path answers.
type route struct {
	method string
	open   bool // needs no token
	serve  http.HandlerFunc
}

// New returns a Server. An error says which option is wrong and what it may be.
func New(o Options) (*Server, error) {
	option.SetDefaults(&o)
	if name, _ := option.Negative(o); name != "" {
		return nil, fmt.Errorf("admin: %s: must not be negative", name)
	}
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Registry = cmp.Or(o.Registry, prometheus.NewRegistry())
	s := &Server{options: o, log: o.Logger, token: sha256.Sum256([]byte(o.Token)), topics: make(map[string]bool)}
	if len(o.Topics) > 0 && o.Hub == nil {
		return nil, errors.New("admin: Topics: need Hub, too")
	}
	if o.Engine != nil && o.Hub == nil {
		return nil, errors.New("admin: Engine: needs the Hub that it is of, too")
	}
	for _, topic := range o.Topics {
		if o.Broker != nil && o.Broker.Sends(topic) {
			return nil, fmt.Errorf("admin: %q is the topic of a broadcast and a destination of STOMP: choose another path for the one, or another prefix for the other", topic)
		}
		s.topics[topic] = true
	}
	if err := s.register(); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if err := s.listen(); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	s.routes = s.allRoutes()
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

func (s *Server) allRoutes() map[string]*route {
	metrics := promhttp.HandlerFor(s.options.Registry, promhttp.HandlerOpts{})
	all := map[string]*route{
		"/metrics": {http.MethodGet, true, metrics.ServeHTTP},
		"/healthz": {http.MethodGet, true, func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") }},
		"/readyz":  {http.MethodGet, true, s.ready},
		profiles:   {http.MethodGet, false, serveProfile},
	}
	for _, call := range calls {
		all[call.path] = &route{call.method, false, s.answering(call)}
	}
	return all
}

// Listen listens at addr, a host and a port. Without a token that must be a loopback
// address.
func (s *Server) Listen(addr string) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	if s.options.Token == "" && !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("admin: %s can be reached from other machines, and there is no token; %s, or listen on 127.0.0.1", addr, setToken)
	}
	return net.ListenTCP("tcp", resolved)
}

// Serve serves l until Shutdown, and returns http.ErrServerClosed then.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Drain has /readyz say that the server is going away. It is to be called before the
// endpoints refuse anybody.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown ends Serve when the requests that are being served are answered; when ctx is
// done before, it cuts them and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.unlisten()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	return err
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		say(w, http.StatusServiceUnavailable, "draining")
		return
	}
	say(w, http.StatusOK, "ok")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// ServeHTTP answers a request. It has 30 seconds to come, and its answer a minute, or
// the time of a profile more, where w has deadlines.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(30 * time.Second))
	control.SetWriteDeadline(time.Now().Add(time.Minute))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	path := r.URL.Path
	if strings.HasPrefix(path, profiles) {
		path = profiles
	}
	route, known := s.routes[path]
	if !known {
		path = "other"
	}
	counted := &status{ResponseWriter: w, code: http.StatusOK}
	defer func() { s.requests.WithLabelValues(path, strconv.Itoa(counted.code)).Inc() }()
	var refused *client.Error
	if !known || !route.open {
		refused = s.admit(r)
	} else if rebound(r) {
		refused = refusal(http.StatusForbidden, "host", "This listener is asked by a name that can be anybody's; ask by its address, or as localhost.")
	}
	switch {
	case refused != nil:
		s.fail(counted, refused)
	case !known:
		s.fail(counted, refusal(http.StatusNotFound, "not_found", "There is nothing at this path; /api/openapi.json says what there is."))
	case r.Method != route.method && !(r.Method == http.MethodHead && route.method == http.MethodGet):
		counted.Header().Set("Allow", route.method)
		s.fail(counted, refusal(http.StatusMethodNotAllowed, "method", "This path takes "+route.method+"."))
	default:
		route.serve(counted, r)
	}
}

// setToken says how.
const setToken = "set admin.token_file or SWITCHBACK_ADMIN_TOKEN (in Go admin.Options.Token)"

// admit refuses who does not have the token. The comparison takes a time that tells
// nothing of it.
func (s *Server) admit(r *http.Request) *client.Error {
	if s.options.Token == "" {
		return refusal(http.StatusForbidden, "no_token", "The server has no token, which this asks for: "+setToken+".")
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(given[:], s.token[:]) == 0 || !strings.EqualFold(scheme, "Bearer") {
		s.log.Warn("admin: a request without the token is refused", "address", r.RemoteAddr, "token", token != "")
		return refusal(http.StatusUnauthorized, "unauthorized", "The header Authorization must be Bearer and the token of this listener.")
	}
	return nil
}

// rebound tells whether a request came to a loopback address by a name that may be a foreign
// page's, whose owner had it stand for that address (DNS rebinding).
func rebound(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host != "" && net.ParseIP(host) == nil && host != "localhost" && !strings.HasSuffix(host, ".localhost")
}

// A status is a ResponseWriter that notes the status.
type status struct {
	http.ResponseWriter
	code    int
	decided bool
}

func (w *status) WriteHeader(code int) {
	if !w.decided {
		w.code, w.decided = code, true
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *status) Write(b []byte) (int, error) {
	w.decided = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *status) Unwrap() http.ResponseWriter { return w.ResponseWriter }
