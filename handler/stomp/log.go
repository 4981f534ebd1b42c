package stomp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"unicode/utf8"

	"switchback/handler/stomp/frame"
	"switchback/session"
)

// logLimit is how many bytes of what a client has sent go into the log at once.
const logLimit = 256

// clip cuts what a client has sent for the log.
func clip(s string) string {
	if len(s) <= logLimit {
		return s
	}
	n := logLimit
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// A clipped is an error that may quote a client, for the log.
type clipped struct{ error }

func (e clipped) Error() string { return clip(e.error.Error()) }
func (e clipped) Unwrap() error { return e.error }

// logged is the error as the log has it: of frames that cannot be decoded it quotes
// nothing, and says once why.
func (e *Error) logged() error {
	if errors.Is(e.Err, frame.ErrSyntax) || errors.Is(e.Err, frame.ErrLimit) {
		return e.Err
	}
	return clipped{e}
}

// logRefusal logs why a client is refused, and of one with a wrong password who
// it says it is.
func (c *conn) logRefusal(e *Error, f *frame.Frame) {
	log := c.broker.log.With("session", c.client.ID, "user", clip(c.client.User()), "address", c.client.Peer.Address)
	if f != nil && errors.Is(e, ErrPassword) {
		log = log.With("login", clip(f.Headers.Value("login")))
	}
	log.Warn("stomp: client is refused", "error", e.logged())
}

// logFailure logs that a function of the application has failed for a request. That
// its client has gone meanwhile is no failure.
func (c *conn) logFailure(r *Request, err error) {
	log := c.broker.log.With("session", c.client.ID, "destination", clip(r.Destination))
	switch panicked := panicOf(err); {
	case panicked != nil:
		logPanic(log, "stomp: function panicked", panicked)
	case c.session.Context().Err() != nil && errors.Is(err, context.Canceled):
		log.Debug("stomp: function has ended with its client")
	default:
		log.Warn("stomp: function failed", "error", clipped{err})
	}
}

// panicOf returns the panic that an error is, or nil.
func panicOf(err error) *session.PanicError {
	panicked, _ := errors.AsType[*session.PanicError](err)
	return panicked
}

func logPanic(log *slog.Logger, message string, p *session.PanicError) {
	log.Error(message, "error", clipped{p}, "stack", string(p.Stack))
}

// hookPanicked, deferred before session.Recovered, logs a panic of a hook, and
// leaves an error that nobody logs again.
func (c *conn) hookPanicked(err *error) {
	if panicked := panicOf(*err); panicked != nil {
		logPanic(c.broker.log.With("session", c.client.ID), "stomp: hook panicked", panicked)
		*err = fmt.Errorf("stomp: hook panicked: %v", panicked.Value)
	}
}

// noted are the destinations of which the log has told that frames for them are
// dropped: as many as a log can do with, whatever clients think up.
type noted struct {
	mu    sync.Mutex // guards names
	names map[string]struct{}
}

// maxNoted is how many those are.
const maxNoted = 100

// first tells whether a name is new, and notes it.
func (n *noted) first(name string) bool {
	name = clip(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.names[name]; known || len(n.names) >= maxNoted {
		return false
	}
	if n.names == nil {
		n.names = make(map[string]struct{})
	}
	n.names[strings.Clone(name)] = struct{}{}
	return true
}

// logDropped logs a frame without effect: the first for a destination so that it
// is seen.
func (c *conn) logDropped(f *frame.Frame, reason string) {
	name, ok := f.Headers.Lookup("destination")
	if !ok {
		name = string(f.Command)
	}
	level := slog.LevelDebug
	if c.broker.dropped.first(name) {
		level = slog.LevelInfo
	}
	c.broker.log.Log(context.Background(), level, "stomp: frame is dropped",
		"session", c.client.ID, "command", f.Command, "reason", clip(reason))
}
