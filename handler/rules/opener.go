package rules

import (
	"net/http"
	"sync/atomic"

	"switchback/session"
)

// Stats are the counters of a Guard. They only rise.
type Stats struct {
	Openings atomic.Int64 // sessions that were refused (403)
	Messages atomic.Int64 // messages that were refused, each with its session (1008)
}

// A Guard is an Opener that asks a List: whether a client may open a session, which is to
// subscribe to the endpoint's path, and whether it may send messages. Who may not open one
// is refused with 403; who sends without being allowed to, with 1008.
type Guard struct {
	list  *List
	path  string
	next  session.Opener
	stats Stats
}

// Guard returns a Guard in front of next, for the endpoint at a path, which is what the
// rules see as the destination. It has to be the outermost Opener: who is asking is what
// next says, as a session.Authenticator or by a handler that is session.Identified.
func (l *List) Guard(path string, next session.Opener) *Guard {
	return &Guard{list: l, path: path, next: next}
}

// Stats are the counters, which are the Guard's to change.
func (g *Guard) Stats() *Stats { return &g.stats }

// Opener is the Guard as an endpoint has to have it: it is a session.Principaler, and a
// session.Admitter, if next is one, and has its sub-protocols.
func (g *Guard) Opener() session.Opener {
	p, principaler := g.next.(session.Principaler)
	a, admitter := g.next.(session.Admitter)
	switch {
	case principaler && admitter:
		return struct {
			*Guard
			session.Principaler
			session.Admitter
		}{g, p, a}
	case principaler:
		return struct {
			*Guard
			session.Principaler
		}{g, p}
	}
	return g
}

// Subprotocols are next's.
func (g *Guard) Subprotocols() []string {
	if s, ok := g.next.(session.Subprotocoler); ok {
		return s.Subprotocols()
	}
	return nil
}

// Open returns next's handler, for those who may have one.
func (g *Guard) Open(r *http.Request) (session.Handler, error) {
	var who *session.Identity
	if a, ok := g.next.(session.Authenticator); ok {
		id, err := a.Authenticate(r)
		if err != nil {
			return nil, err
		}
		who = id
	}
	h, err := g.next.Open(r)
	if err != nil {
		return nil, err
	}
	if i, ok := h.(session.Identified); ok && i.Identity() != nil {
		who = i.Identity()
	}
	if v := g.list.Check(who, Subscribe, g.path); !v.Allowed {
		g.stats.Openings.Add(1)
		return nil, &session.RefusedError{Status: http.StatusForbidden, Reason: "Access denied."}
	}
	guarded := &guarded{guard: g, next: h, who: who, send: g.list.Check(who, Send, g.path)}
	if b, ok := h.(session.BinaryHandler); ok {
		return &guardedBinary{guarded, b}, nil
	}
	return guarded, nil
}

// A guarded is a handler whose client may be allowed to listen only.
type guarded struct {
	guard *Guard
	next  session.Handler
	who   *session.Identity
	send  Verdict
}

// A guardedBinary is one that takes binary messages.
type guardedBinary struct {
	*guarded
	binary session.BinaryHandler
}

func (h *guarded) Identity() *session.Identity { return h.who }

func (h *guarded) OnOpen(s session.Session) error { return h.next.OnOpen(s) }

func (h *guarded) OnMessage(s session.Session, text []byte) error {
	if err := h.permit(); err != nil {
		return err
	}
	return h.next.OnMessage(s, text)
}

func (h *guardedBinary) OnBinary(s session.Session, data []byte) error {
	if err := h.permit(); err != nil {
		return err
	}
	return h.binary.OnBinary(s, data)
}

func (h *guarded) OnClose(s session.Session, err error) { h.next.OnClose(s, err) }

func (h *guarded) OnDrain(s session.Session) {
	if d, ok := h.next.(session.Drainer); ok {
		d.OnDrain(s)
	}
}

// permit is the end of a session whose client may not send.
func (h *guarded) permit() error {
	if h.send.Allowed {
		return nil
	}
	h.guard.stats.Messages.Add(1)
	return &session.CloseError{Code: session.CodePolicy, Reason: "Access denied: you may not send here", Err: h.send.Err(Send, h.guard.path)}
}
