package igm

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/igm/sockjs-go/v3/sockjs"

	"switchback/session"
	"switchback/transport"
)

// A registry knows the sessions of an endpoint for as long as igm does, from
// before igm opens them. So the Opener and the limits can refuse a client with
// an HTTP status, and Shutdown can find everybody.
//
// A session is added by the request that opens it and claimed by its goroutine,
// which igm starts. It is forgotten when igm has forgotten it, or when igm has
// not started a goroutine within the disconnect delay.
type registry struct {
	options  transport.Options
	prefix   string          // of the sessions' names
	draining context.Context // done when Shutdown has begun
	drain    context.CancelFunc
	idle     chan struct{} // closed when nothing is active any more

	mu        sync.Mutex // guards the rest
	number    uint64     // the last session's
	active    int        // requests and sessions' goroutines
	admitted  int        // sessions
	addresses map[netip.Prefix]int
	keys      map[string]*adapter
	all       map[*adapter]struct{}
}

func newRegistry(o transport.Options) *registry {
	g := &registry{
		options:   o,
		prefix:    rand.Text()[:6] + "-",
		idle:      make(chan struct{}),
		addresses: make(map[netip.Prefix]int),
		keys:      make(map[string]*adapter),
		all:       make(map[*adapter]struct{}),
	}
	g.draining, g.drain = context.WithCancel(context.Background())
	return g
}

// find returns the session with this key, if igm knows it still.
func (g *registry) find(key string) *adapter {
	g.mu.Lock()
	a := g.keys[key]
	claimed := a != nil && a.claimed
	g.mu.Unlock()
	if !claimed || !a.over() {
		return a
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keys[key] == a {
		delete(g.keys, key)
	}
	return nil
}

// over tells whether igm has forgotten the session. It may wait for a write,
// and is called without a lock.
func (a *adapter) over() bool { return a.engine.GetSessionState() == sockjs.SessionClosed }

// admit counts a session in, if limits allow it.
func (g *registry) admit(peer *session.Peer) error {
	network := peer.Network()
	g.mu.Lock()
	defer g.mu.Unlock()
	reason := ""
	switch limit := g.options.AddressLimit; {
	case g.draining.Err() != nil:
		reason = "Server is going away"
	case g.admitted >= g.options.SessionLimit:
		reason = "Too many sessions"
	case limit != 0 && g.addresses[network] >= limit:
		reason = "Too many sessions from this address"
	default:
		g.admitted++
		g.addresses[network]++
		return nil
	}
	return &session.RefusedError{Status: http.StatusServiceUnavailable, Reason: reason}
}

// dismiss counts a session out.
func (g *registry) dismiss(peer *session.Peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dismissLocked(peer)
}

// dismissLocked is dismiss. g.mu is held.
func (g *registry) dismissLocked(peer *session.Peer) {
	g.admitted--
	network := peer.Network()
	if g.addresses[network]--; g.addresses[network] == 0 {
		delete(g.addresses, network)
	}
}

// add makes an admitted session known, unless another request has added one
// with the same key meanwhile: then it returns that one.
func (g *registry) add(a *adapter) *adapter {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.key != "" {
		if other := g.keys[a.key]; other != nil {
			g.dismissLocked(&a.peer)
			return other
		}
		g.keys[a.key] = a
	}
	g.number++
	a.name = g.prefix + strconv.FormatUint(g.number, 36)
	g.all[a] = struct{}{}
	return a
}

// claim joins a session to igm's, once, and counts its goroutine as active. It
// returns the end of an igm session that may not be.
func (g *registry) claim(a *adapter, engine sockjs.Session) *session.CloseError {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, known := g.all[a]
	switch {
	case g.draining.Err() != nil:
		return goingAway()
	case !known || a.claimed:
		return &session.CloseError{Code: session.CodeInterrupted, Reason: "Connection interrupted"}
	}
	a.claimed, a.engine = true, engine
	g.active++
	return nil
}

// expire forgets a session whose request has ended, if igm starts no goroutine
// for it within the disconnect delay.
func (g *registry) expire(a *adapter) {
	g.mu.Lock()
	claimed := a.claimed
	g.mu.Unlock()
	if !claimed {
		time.AfterFunc(g.options.DisconnectDelay, func() { g.removeUnclaimed(a) })
	}
}

func (g *registry) removeUnclaimed(a *adapter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !a.claimed {
		g.removeLocked(a)
	}
}

// forget forgets a session whose handler has ended, as soon as igm has. Those
// with a key tell each receiver of their end until the disconnect delay has
// passed; the others are gone with their connection.
func (g *registry) forget(a *adapter) {
	if a.key != "" && !a.over() {
		time.AfterFunc(g.options.DisconnectDelay, func() { g.forget(a) })
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removeLocked(a)
}

// removeLocked forgets a session, once. g.mu is held.
func (g *registry) removeLocked(a *adapter) {
	if _, known := g.all[a]; !known {
		return
	}
	delete(g.all, a)
	if g.keys[a.key] == a {
		delete(g.keys, a.key)
	}
	g.dismissLocked(&a.peer)
}

// begin counts a request as active.
func (g *registry) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active++
}

// end ends what begin or claim began.
func (g *registry) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active--
	g.settle()
}

// stop lets no session begin any more and has each end itself when its handler
// is not busy. It returns idle.
func (g *registry) stop() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drain()
	g.settle()
	return g.idle
}

// settle closes idle when it is time. g.mu is held.
func (g *registry) settle() {
	if g.active > 0 || g.draining.Err() == nil {
		return
	}
	select {
	case <-g.idle:
	default:
		close(g.idle)
	}
}

// claimed returns the sessions that have begun.
func (g *registry) claimed() []*adapter {
	g.mu.Lock()
	defer g.mu.Unlock()
	var claimed []*adapter
	for a := range g.all {
		if a.claimed {
			claimed = append(claimed, a)
		}
	}
	return claimed
}
