package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"switchback/session"
	"switchback/session/limit"
	"switchback/transport/internal/guard"
	"switchback/transport/internal/http1"
)

// An Endpoint serves one SockJS service at a prefix. It is an http.Handler, and
// its methods may be called from any goroutine.
type Endpoint struct {
	service
	cors   func(w http.ResponseWriter, r *http.Request)
	iframe page
	routes map[string]*route // by their path in the URL table

	subprotocols []string // of native WebSockets
}

// A service is what those who serve an endpoint's clients need of it.
type service struct {
	options  Options
	log      *slog.Logger
	registry *session.Registry
	taker    *http1.Taker // of connections
	guard    *guard.Guard
	flusher  flusher
	attempts *attempts
	prefix   string
	stats    Stats
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
	who, err := guard.New(guard.Options{
		AllowedOrigins: o.AllowedOrigins, TrustedProxies: o.TrustedProxies, Forwarded: o.Forwarded, Hosts: o.Hosts, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	e := &Endpoint{
		service: service{options: o, log: o.Logger, taker: http1.NewTaker(servesAtOnce), guard: who, attempts: newAttempts(), prefix: prefix},
		cors:    newCORS(),
		iframe:  iframePage(o.ClientURL),
		routes:  routesFor(o.DisabledTransports),

		subprotocols: subprotocolsOf(opener),
	}
	e.registry = session.NewRegistry(opener, session.Config{
		HeartbeatDelay:  o.HeartbeatDelay,
		DisconnectDelay: o.DisconnectDelay,
		InboxTimeout:    o.InboxTimeout,
		SessionLimit:    o.SessionLimit,
		AddressLimit:    o.AddressLimit,
		UserLimit:       o.UserLimit,
		MessageRate:     limit.Rate{PerSecond: o.MessageRate, Burst: o.MessageBurst},
		ByteRate:        limit.Rate{PerSecond: o.ByteRate, Burst: o.ByteBurst},
		PublishRate:     limit.Rate{PerSecond: o.PublishRate, Burst: o.PublishBurst},
		QueueLimit:      o.QueueLimit,
		InboxLimit:      o.InboxLimit,
		Counted:         func() bool { return e.log.Enabled(context.Background(), slog.LevelDebug) },
		Opened:          e.opened,
		Closed:          e.closed,
	})
	e.stats.Stats = e.registry.Stats()
	return e, nil
}

// Stats are the endpoint's counters.
func (e *Endpoint) Stats() *Stats { return &e.stats }

// Traffic is what has passed over each of the endpoint's transports that had sessions.
func (e *Endpoint) Traffic() []session.Traffic { return e.registry.Traffic() }

// Sessions returns the sessions that live now, in no order: also those that have closed
// less than the disconnect delay ago.
func (e *Endpoint) Sessions() []session.Session {
	var all []session.Session
	for _, s := range e.registry.Sessions() {
		all = append(all, s)
	}
	return all
}

// Session returns the session whose ID this is, or nil. It looks at all sessions.
func (e *Endpoint) Session(id string) session.Session {
	if s := e.registry.FindID(id); s != nil {
		return s
	}
	return nil
}

// CloseIf closes the open sessions for which match is true, as their Close does, and
// returns how many. match is called with no lock held. The error is session.ErrCode.
func (e *Endpoint) CloseIf(match func(session.Session) bool, code int, reason string) (int, error) {
	return e.registry.CloseIf(func(s *session.Local) bool { return match(s) }, code, reason)
}

// Shutdown ends the endpoint: it refuses new sessions and /info with 503, tells
// handlers that are session.Drainers, closes every session with 1001, ends streams and
// polls, and closes WebSockets as RFC 6455 has it. What clients that poll have not
// fetched yet is served to them until the disconnect delay has passed, for which their
// server has to go on accepting connections. Shutdown returns when all of that is done.
// Shortly before the context's deadline it closes the sessions of busy handlers, too,
// at the deadline the connections that are left, and returns the context's error.
//
// A [Server] calls it. For an endpoint in any other http.Server call it before the
// server's own, which does not know of WebSockets and of parked responses.
func (e *Endpoint) Shutdown(ctx context.Context) error {
	return errors.Join(e.drain(ctx), e.taker.Shutdown(ctx))
}

// drain ends the sessions, and leaves some of the time for the connections.
func (e *Endpoint) drain(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		reserve := min(time.Until(deadline)/4, time.Second)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	return e.registry.Shutdown(ctx)
}

// bearer is how a client may say who it is (RFC 9110, section 11.6.1).
var bearer = []string{"Bearer"}

// refusal answers a client that may not have a session.
func (e *Endpoint) refusal(w http.ResponseWriter, r *http.Request, err error) {
	var refused *session.RefusedError
	if !errors.As(err, &refused) {
		e.log.Error("opening a session failed", "error", err)
		refuse(w, http.StatusInternalServerError, "Internal error.")
		return
	}
	if refused.Status == http.StatusUnauthorized {
		w.Header()["Www-Authenticate"] = bearer
	}
	e.log.Warn("session refused", "status", refused.Status, "reason", refused.Reason, "address", e.guard.Caller(r).IP())
	refuse(w, refused.Status, refused.Reason)
}

// opened tells of a session's beginning.
func (e *Endpoint) opened(s *session.Local) {
	e.tell(slog.LevelDebug, "session opened", s)
	if e.options.Opened != nil {
		e.options.Opened(s)
	}
}

// closed tells of a session's end.
func (e *Endpoint) closed(s *session.Local, err error) {
	if e.options.Closed != nil {
		defer e.options.Closed(s, err)
	}
	var panicked *session.PanicError
	switch {
	case errors.As(err, &panicked):
		e.tell(slog.LevelError, "handler panicked", s, append(ending(s, err), "stack", string(panicked.Stack))...)
	case errors.Is(err, session.ErrSlow), errors.Is(err, session.ErrStuck), errors.Is(err, session.ErrFast):
		e.tell(slog.LevelWarn, "session closed", s, ending(s, err)...)
	default:
		e.tell(slog.LevelDebug, "session closed", s, ending(s, err)...)
	}
}
