package session

import (
	"context"
	"crypto/rand"
	"hash/maphash"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"switchback/session/limit"
	"switchback/session/memory"
)

// A Config sets the times and limits of a registry's sessions. All must be
// set, but for AddressLimit, UserLimit and the rates, which are off at 0, and
// HeartbeatDelay, which is off below 0.
type Config struct {
	HeartbeatDelay  time.Duration // silence after which a heartbeat is due
	DisconnectDelay time.Duration // how long a session outlives its last receiver
	InboxTimeout    time.Duration // how long Receive waits for room
	SessionLimit    int           // sessions
	AddressLimit    int           // sessions of one Peer.Network
	UserLimit       int           // open sessions of one user, as Peer.User names it
	QueueLimit      int           // bytes of one session alone that its client has yet to take
	InboxLimit      int           // bytes of one session that wait for its handler

	MessageRate limit.Rate // messages of one session
	ByteRate    limit.Rate // bytes of its messages
	PublishRate limit.Rate // messages of all sessions of one user, and of each of nobody's

	// Counted tells of a new session whether what passes over it is counted apart, for
	// Local.Counts; nil: of none.
	Counted func() bool

	// Opened is called before OnOpen, and Closed after OnClose, with what OnClose was
	// given or with the *PanicError of OnClose: each once for a session, with no lock
	// held. They must not block, and may be nil.
	Opened func(s *Local)
	Closed func(s *Local, err error)
}

// A Registry holds the sessions of one endpoint. Its methods may be called from
// any goroutine.
type Registry struct {
	config     Config
	opener     Opener
	heartbeat  tick
	lateness   tick // after which a heartbeat is late
	disconnect tick
	wheel      *wheel
	samples    samples
	prefix     string // of the sessions' names: random, so that those of two processes differ
	seed       maphash.Seed
	calls      sync.WaitGroup // handlers that are called on goroutines of the registry's

	number   atomic.Uint64 // the last session's
	draining atomic.Bool
	stats    Stats
	traffic  traffic

	shards    [64]shard
	addresses struct {
		sync.Mutex
		sessions map[netip.Prefix]int
	}
	users *limit.Users
}

type shard struct {
	mu       sync.Mutex
	keys     map[string]*Local
	reserved map[string]struct{} // keys of sessions that are being admitted
	keyless  map[*Local]struct{}
}

// Stats are a registry's counters, which are its own to change. All but the first two
// only rise. Tags say so to package web/admin, which makes metrics of the fields.
type Stats struct {
	Sessions atomic.Int64 `metric:"gauge"`              // that live now, those included that have closed less than the disconnect delay ago
	Memory   atomic.Int64 `metric:"gauge" unit:"bytes"` // bytes in all queues and inboxes now, without the first 512 of each session
	Opened   atomic.Int64 // sessions opened
	Closed   Codes        // sessions closed, by close code
	Refused  atomic.Int64 // sessions refused for a limit, or while shutting down
	Slow     atomic.Int64 // sessions closed at QueueLimit: their clients did not read
	Stuck    atomic.Int64 // sessions closed at InboxTimeout: their handlers did not end
	Crowded  atomic.Int64 // sessions refused for UserLimit, which are among those Refused
	Fast     atomic.Int64 // sessions closed at MessageRate, ByteRate or PublishRate: their clients sent too much
	Full     atomic.Int64 // messages refused at the limit of package memory: from clients of busy handlers, and to clients
	Handler  Histogram    `unit:"seconds"` // how long handlers took for a message, of one a second
	Delivery Histogram    `unit:"seconds"` // from when a publication is given out until the socket of each client has taken it, of one a second

	HeartbeatsLate atomic.Int64 // heartbeats that left over a second after they were due, or not at all: the server is busy, or the client does not read

	SessionLimit atomic.Int64 // sessions refused for SessionLimit, as Refused counts, too
	AddressLimit atomic.Int64 // sessions refused for AddressLimit, as Refused counts, too
}

const prefixLength = 6

// NewRegistry returns a registry of sessions that opener opens.
func NewRegistry(opener Opener, config Config) *Registry {
	g := &Registry{config: config, opener: opener, prefix: rand.Text()[:prefixLength] + "-", seed: maphash.MakeSeed()}
	step := config.DisconnectDelay / 16 // so nothing is late by more than that
	if config.HeartbeatDelay > 0 {
		step = min(step, config.HeartbeatDelay/16)
	}
	step = min(max(step, time.Millisecond), 250*time.Millisecond) // an idle machine is woken four times a second at most
	g.wheel = newWheel(step, g.second)
	g.disconnect = g.wheel.ticks(config.DisconnectDelay)
	g.lateness = g.wheel.ticks(time.Second)
	g.heartbeat = 1 << 40 // never
	if config.HeartbeatDelay > 0 {
		g.heartbeat = g.wheel.ticks(config.HeartbeatDelay)
	}
	for i := range g.shards {
		g.shards[i].keys = make(map[string]*Local)
		g.shards[i].reserved = make(map[string]struct{})
		g.shards[i].keyless = make(map[*Local]struct{})
	}
	g.samples.renew()
	g.addresses.sessions = make(map[netip.Prefix]int)
	g.users = limit.NewUsers(config.UserLimit, config.PublishRate)
	return g
}

// Stats are the registry's counters.
func (g *Registry) Stats() *Stats { return &g.stats }

func (g *Registry) name(number uint64) string {
	return g.prefix + strconv.FormatUint(number, 36)
}

// IsID tells whether a text has the form of a session's ID, of any process.
func IsID(text string) bool {
	prefix, number, ok := strings.Cut(text, "-")
	if !ok || len(prefix) != prefixLength || strings.Trim(prefix, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return false
	}
	n, err := strconv.ParseUint(number, 36, 64)
	return err == nil && strconv.FormatUint(n, 36) == number
}

// Find returns the session with this key, or nil.
func (g *Registry) Find(key string) *Local {
	h := g.shardOf(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keys[key]
}

func (g *Registry) shardOf(key string) *shard {
	return &g.shards[maphash.String(g.seed, key)%uint64(len(g.shards))]
}

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

// shardFor is the shard of a session: that of its key, or any.
func (g *Registry) shardFor(s *Local) *shard {
	if s.key != "" {
		return g.shardOf(s.key)
	}
	return &g.shards[s.number%uint64(len(g.shards))]
}

// reserve keeps a key for a session that is being admitted. It is false where another has
// the key, or is being admitted with it.
func (g *Registry) reserve(key string) bool {
	if key == "" {
		return true
	}
	h := g.shardOf(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, reserved := h.reserved[key]; reserved || h.keys[key] != nil {
		return false
	}
	h.reserved[key] = struct{}{}
	return true
}

// release ends what reserve began.
func (g *Registry) release(key string) {
	if key == "" {
		return
	}
	h := g.shardOf(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.reserved, key)
}

// insert makes a session known whose key is reserved.
func (g *Registry) insert(s *Local) {
	s.lastSent = g.wheel.now()
	s.tally().opened.Add(1)
	h := g.shardFor(s)
	h.mu.Lock()
	if s.key == "" {
		h.keyless[s] = struct{}{}
	} else {
		h.keys[s.key] = s
	}
	h.mu.Unlock()
	s.mu.Lock()
	s.unlock(effects{schedule: true})
}

// remove forgets a session.
func (g *Registry) remove(s *Local) {
	h := g.shardFor(s)
	h.mu.Lock()
	if s.key == "" {
		delete(h.keyless, s)
	} else {
		delete(h.keys, s.key)
	}
	h.mu.Unlock()
	g.wheel.remove(s)
	s.tally().gone.Add(1)
	g.dismiss(&s.peer)
	s.tellAdmitter()
}

// Sessions returns the sessions that live now, in no order: also those that have
// closed less than the disconnect delay ago.
func (g *Registry) Sessions() []*Local {
	var all []*Local
	for i := range g.shards {
		h := &g.shards[i]
		h.mu.Lock()
		all = slices.AppendSeq(all, maps.Values(h.keys))
		all = slices.AppendSeq(all, maps.Keys(h.keyless))
		h.mu.Unlock()
	}
	return all
}

// FindID returns the session whose ID this is, or nil. It looks at all sessions.
func (g *Registry) FindID(id string) *Local {
	all := g.Sessions()
	i := slices.IndexFunc(all, func(s *Local) bool { return s.ID() == id })
	if i < 0 {
		return nil
	}
	return all[i]
}

// CloseIf closes the open sessions for which match is true, as Local.Close does, and
// returns how many. match is called with no lock held, for the sessions that live when
// CloseIf is called. The error is ErrCode.
func (g *Registry) CloseIf(match func(s *Local) bool, code int, reason string) (closed int, err error) {
	if !ValidCode(code) {
		return 0, ErrCode
	}
	for _, s := range g.Sessions() {
		if match(s) && s.Close(code, reason) == nil {
			closed++
		}
	}
	return closed, nil
}

// second is called about once a second while there are sessions.
func (g *Registry) second() {
	g.samples.renew()
	if memory.Pressed() {
		g.shed()
	}
}

// shed closes the session in whose queue publishers wait for most that nobody else holds,
// where that is more than memory.Alone. It is one at a time, since its part of what it
// held with others is theirs then.
func (g *Registry) shed() {
	var slowest *Local
	most := memory.Alone
	for _, s := range g.Sessions() {
		s.mu.Lock()
		if n := s.queue.alone(); n > most {
			slowest, most = s, n
		}
		s.mu.Unlock()
	}
	if slowest != nil && slowest.lockOpen() == nil {
		slowest.unlock(slowest.tooSlow())
	}
}

// Shutdown refuses new sessions, tells handlers that are Drainers, closes every
// session with 1001, and returns when all receivers have taken the close frame and
// all handlers have returned. A session with something queued and no receiver is
// waited for until its client has fetched that and the close frame, or the
// disconnect delay has passed.
//
// If the context is done first, Shutdown closes the sessions whose handlers are busy,
// too, and returns the context's error.
//
// The timing wheel is stopped: no heartbeat and no disconnect delay comes afterwards.
func (g *Registry) Shutdown(ctx context.Context) error {
	g.draining.Store(true)
	defer g.wheel.stop()
	for _, s := range g.Sessions() {
		s.drain()
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if !slices.ContainsFunc(g.Sessions(), (*Local).active) {
			break
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			for _, s := range g.Sessions() {
				s.close(Ending(goingAway))
				s.abandon()
			}
			return ctx.Err()
		case <-t.C:
		}
	}
	returned := make(chan struct{})
	go func() { // ends with the last handler
		g.calls.Wait()
		close(returned)
	}()
	select {
	case <-returned:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var goingAway = &CloseError{Code: CodeGoingAway, Reason: "Server is going away"}

// drain has the handler told of the shutdown, behind all that waits for it; then the
// session closes.
func (s *Local) drain() {
	if s.lockOpen() != nil {
		return
	}
	s.push(event{kind: drainEvent})
	s.unlock(effects{run: s.claim()})
}

// awaitsFetch tells whether the client of a closing session may still come for what is
// queued, or for the close frame behind it. s.mu is held.
func (s *Local) awaitsFetch() bool {
	return s.state == closing && s.key != "" && s.sent&sentClose == 0 && (s.queue.len() > 0 || s.sent&sentQueued != 0)
}

// abandon ends a session for whose client nobody waits any more.
func (s *Local) abandon() {
	s.mu.Lock()
	var e effects
	if s.state == closing && s.receiver == nil {
		s.setClosed(&e)
	}
	s.unlock(e)
}

// active tells whether Shutdown has to wait for a session.
func (s *Local) active() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == open || s.receiver != nil || !s.onCloseCalled || s.busy || s.awaitsFetch()
}
