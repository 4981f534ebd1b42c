package session

import (
	"net/http"
	"time"
)

// An Identity is who has opened a session, as somebody vouches for it. It is not changed
// once a session has it.
type Identity struct {
	User    string
	Claims  map[string]any // what else is vouched for
	Expires time.Time      // when it ends, and the session with it; zero: never
}

// An Authenticator is an Opener that knows who is asking. Authenticate is called once for
// each session, before Open, with the request that asks for it: what it returns becomes the
// session's Peer.Identity. It is nil for nobody. An error is as Open's.
type Authenticator interface {
	Authenticate(r *http.Request) (*Identity, error)
}

// An Identified is a Handler that its Opener has made for somebody: where Identity is not
// nil, it becomes the session's Peer.Identity before OnOpen.
type Identified interface {
	Identity() *Identity
}

// A Principaler is an Opener whose sessions are their users' alone. Principal is called
// for each further request of a session, and returns the name of the user who makes it,
// empty for nobody. Where that is not the user who has opened the session, or with an
// error, there is no such session for the request. A token that has expired meanwhile
// still says whose the request is.
type Principaler interface {
	Principal(r *http.Request) (string, error)
}

// User is the name of the user who has opened the session; empty for nobody.
func (p *Peer) User() string {
	if p.Identity == nil {
		return ""
	}
	return p.Identity.User
}

// Belongs tells whether a further request may be one of the session's: see Principaler.
func (s *Local) Belongs(r *http.Request) bool {
	p, ok := s.registry.opener.(Principaler)
	if !ok {
		return true
	}
	user, err := p.Principal(r)
	return err == nil && user == s.peer.User()
}
