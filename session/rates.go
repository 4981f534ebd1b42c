package session

import (
	"net/http"

	"switchback/session/limit"
)

// A meter is what a session has where its client's messages are limited or counted apart.
type meter struct {
	messages, bytes limit.Bucket
	user            *limit.User // nil: no limit
	counts          *Counts     // guarded by the session's mu; nil: they are not counted apart
}

// limitsUsers tells whether sessions have rates.
func (c *Config) limitsUsers() bool {
	return c.UserLimit > 0 || c.MessageRate.PerSecond > 0 || c.ByteRate.PerSecond > 0 || c.PublishRate.PerSecond > 0
}

// joinUser counts a session in with its user until it begins to close, if limits allow it.
// One that its opener has ended already does not count.
func (s *Local) joinUser() error {
	g := s.registry
	if !g.config.limitsUsers() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open {
		return nil
	}
	user := g.users.Join(s.peer.User())
	if user == nil {
		g.stats.Refused.Add(1)
		g.stats.Crowded.Add(1)
		return &RefusedError{Status: http.StatusServiceUnavailable, Reason: "Too many sessions of this user"}
	}
	if s.meter == nil {
		s.meter = new(meter)
	}
	s.meter.user = user
	return nil
}

// leaveUser counts a session out. s.mu is held.
func (s *Local) leaveUser() {
	if s.meter != nil && s.meter.user != nil {
		s.registry.users.Leave(s.meter.user)
	}
}

// tooFast returns the end of a session whose client sends more than it may, or nil.
func (s *Local) tooFast(data [][]byte) *CloseError {
	if s.meter == nil || s.meter.user == nil {
		return nil
	}
	g, size := s.registry, 0
	for _, d := range data {
		size += len(d)
	}
	reason := ""
	switch {
	case !s.meter.messages.Take(g.config.MessageRate, len(data)):
		reason = "Too many messages a second"
	case !s.meter.bytes.Take(g.config.ByteRate, size):
		reason = "Too many bytes a second"
	case !g.users.Take(s.meter.user, len(data)):
		reason = "Too many messages a second from all sessions of this user"
	default:
		return nil
	}
	return &CloseError{Code: CodePolicy, Reason: reason, Err: ErrFast}
}
