package session

import (
	"net/http"

	"switchback/session/limit"
)

// rates are how fast a session's client sends, and its user.
type rates struct {
	messages, bytes limit.Bucket
	user            *limit.User
}

// limitsUsers tells whether sessions have rates.
func (c *Config) limitsUsers() bool {
	return c.UserLimit > 0 || c.MessageRate.PerSecond > 0 || c.ByteRate.PerSecond > 0 || c.PublishRate.PerSecond > 0
}

// admitUser counts a session in with its user, if limits allow it. It returns nil where
// there are none.
func (g *Registry) admitUser(peer *Peer) (*rates, error) {
	if !g.config.limitsUsers() {
		return nil, nil
	}
	user := g.users.Join(peer.User())
	if user == nil {
		g.stats.Refused.Add(1)
		g.stats.Crowded.Add(1)
		return nil, &RefusedError{Status: http.StatusServiceUnavailable, Reason: "Too many sessions of this user"}
	}
	return &rates{user: user}, nil
}

// tooFast returns the end of a session whose client sends more than it may, or nil.
func (s *Local) tooFast(data [][]byte) *CloseError {
	if s.rates == nil {
		return nil
	}
	g, size := s.registry, 0
	for _, d := range data {
		size += len(d)
	}
	reason := ""
	switch {
	case !s.rates.messages.Take(g.config.MessageRate, len(data)):
		reason = "Too many messages a second"
	case !s.rates.bytes.Take(g.config.ByteRate, size):
		reason = "Too many bytes a second"
	case !g.users.Take(s.rates.user, len(data)):
		reason = "Too many messages a second from all sessions of this user"
	default:
		return nil
	}
	return &CloseError{Code: CodePolicy, Reason: reason, Err: ErrFast}
}
