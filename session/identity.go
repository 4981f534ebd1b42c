package session

import (
	"math"
	"net/http"
	"time"
)

// An Identity is who has opened a session, as somebody vouches for it. It is not changed
// once a session has it.
type Identity struct {
	User    string         // the name by which the user is known everywhere; empty: nobody
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

// An Admitter is an Opener that has the last word on a new session, and knows whether it
// lives. Admit is called after Open and before anybody can find the session, with the
// request that asks for it; an error is as Open's. Forget is called once for each session
// that was admitted, when no request can find it any more. Both are called with no lock
// held, and Admit does nothing to s.
type Admitter interface {
	Admit(r *http.Request, s *Local) error
	Forget(s *Local)
}

// An Expirer is a Session whose end can be moved: ExpireAt has it end at t, to the second,
// instead of with its Peer.Identity. A zero t is never. All sessions of a Registry are.
type Expirer interface {
	ExpireAt(t time.Time)
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

// askAdmitter has the opener decide over a new session, and tellAdmitter tells it of the end.
func (s *Local) askAdmitter(r *http.Request) error {
	if a, ok := s.registry.opener.(Admitter); ok {
		return a.Admit(r, s)
	}
	return nil
}

func (s *Local) tellAdmitter() {
	if a, ok := s.registry.opener.(Admitter); ok {
		a.Forget(s)
	}
}

// Received tells whether the client has sent a message that was taken.
func (s *Local) Received() bool { return s.received.Load() }

// ExpireAt has the session end at t: see Expirer.
func (s *Local) ExpireAt(t time.Time) {
	s.mu.Lock()
	s.expiry = seconds(t)
	s.unlock(effects{schedule: s.state == open})
}

// seconds is a time as a session keeps it: in Unix time, rounded up. 0 is never.
func seconds(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	up := t.Add(time.Second - 1).Unix()
	if up > math.MaxUint32 {
		return 0
	}
	return uint32(max(up, 1))
}

// expires is when the session ends by itself. s.mu is held.
func (s *Local) expires() tick {
	if s.expiry == 0 {
		return math.MaxInt64
	}
	return s.registry.wheel.at(time.Unix(int64(s.expiry), 0))
}
