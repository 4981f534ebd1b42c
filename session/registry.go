package session

import (
	"crypto/rand"
	"hash/maphash"
	"maps"
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
