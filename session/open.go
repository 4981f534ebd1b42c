package session

import (
	"net/http"
	"strings"
)

// Open asks the opener for a new session's handler, attaches receiver and calls
// OnOpen. key is the URL's session id, by which Find finds the session; a session
// with an empty key lives and dies with its receiver. The error is the opener's, a
// *RefusedError if a limit refuses, or ErrAttached if another session with this key
// has been opened meanwhile, or is just being opened.
func (g *Registry) Open(key string, r *http.Request, peer Peer, framing *Framing, receiver Receiver) (*Local, error) {
	if err := g.admit(&peer); err != nil {
		g.stats.Refused.Add(1)
		return nil, err
	}
	s, err := g.create(key, r, peer, framing, receiver)
	if err != nil {
		return nil, err
	}
	g.stats.Opened.Add(1)
	if g.config.Opened != nil {
		g.config.Opened(s)
	}
	s.deliver(event{kind: openEvent})
	if g.draining.Load() { // Shutdown may have missed it
		s.drain()
	}
	s.run()
	return s, nil
}

// create makes an admitted session known.
func (g *Registry) create(key string, r *http.Request, peer Peer, framing *Framing, receiver Receiver) (s *Local, err error) {
	known := false
	defer func() {
		if !known { // for an error or a panic
			g.dismiss(&peer)
		}
	}()
	if a, ok := g.opener.(Authenticator); ok {
		if peer.Identity, err = a.Authenticate(r); err != nil {
			return nil, err
		}
	}
	handler, err := g.opener.Open(r)
	if err != nil {
		return nil, err
	}
	if h, ok := handler.(Identified); ok && h.Identity() != nil {
		peer.Identity = h.Identity()
	}
	s = &Local{
		registry: g, handler: handler, framing: framing, receiver: receiver, busy: true, opened: g.age(), transport: g.traffic.index(peer.Transport),
		conversation: conversation{key: strings.Clone(key), peer: peer, number: g.number.Add(1)},
	}
	if g.config.Counted != nil && g.config.Counted() {
		s.meter = &meter{counts: new(Counts)}
	}
	if peer.Identity != nil {
		s.expiry = seconds(peer.Identity.Expires)
	}
	if err = g.enter(s, r); err != nil {
		return nil, err
	}
	known = true
	return s, nil
}

// enter makes a session known, unless its key is. Its user's limit comes after the opener,
// which may end another session of the user's for it.
func (g *Registry) enter(s *Local, r *http.Request) error {
	if !g.reserve(s.key) {
		return ErrAttached
	}
	g.wheel.add() // before the opener can close the session
	known := false
	defer func() {
		if !known { // for an error or a panic
			g.wheel.remove(s)
		}
		g.release(s.key)
	}()
	if err := s.askAdmitter(r); err != nil {
		return err
	}
	if err := s.joinUser(); err != nil {
		s.tellAdmitter()
		return err
	}
	g.insert(s)
	known = true
	return nil
}

// Full tells whether Open would refuse any client just now.
func (g *Registry) Full() bool {
	return g.draining.Load() || g.stats.Sessions.Load() >= int64(g.config.SessionLimit)
}

// admit counts a session in, if limits allow it.
func (g *Registry) admit(peer *Peer) error {
	if g.draining.Load() {
		return &RefusedError{Status: http.StatusServiceUnavailable, Reason: "Server is going away"}
	}
	if g.stats.Sessions.Add(1) > int64(g.config.SessionLimit) {
		g.stats.Sessions.Add(-1)
		g.stats.SessionLimit.Add(1)
		return &RefusedError{Status: http.StatusServiceUnavailable, Reason: "Too many sessions"}
	}
	if g.config.AddressLimit == 0 {
		return nil
	}
	network := peer.Network()
	g.addresses.Lock()
	defer g.addresses.Unlock()
	n := g.addresses.sessions[network]
	if n >= g.config.AddressLimit {
		g.stats.Sessions.Add(-1)
		g.stats.AddressLimit.Add(1)
		return &RefusedError{Status: http.StatusServiceUnavailable, Reason: "Too many sessions from this address"}
	}
	g.addresses.sessions[network] = n + 1
	return nil
}

// dismiss counts a session out.
func (g *Registry) dismiss(peer *Peer) {
	g.stats.Sessions.Add(-1)
	if g.config.AddressLimit == 0 {
		return
	}
	network := peer.Network()
	g.addresses.Lock()
	defer g.addresses.Unlock()
	if g.addresses.sessions[network]--; g.addresses.sessions[network] == 0 {
		delete(g.addresses.sessions, network)
	}
}
