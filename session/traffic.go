package session

import (
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
)

// Traffic is what has passed over one transport of a registry, as it was when it was
// asked for.
type Traffic struct {
	Transport     string // Peer.Transport
	Sessions      int64  `metric:"gauge"` // that live now
	Opened        int64  // sessions opened
	Received      int64  // messages from clients
	ReceivedBytes int64  `unit:"bytes"` // bytes of messages from clients
	Sent          int64  // messages queued for clients
	SentBytes     int64  `unit:"bytes"` // bytes of messages queued for clients, encoded
	Heartbeats    int64  // heartbeats sent
}

// Counts are what has passed over one session: messages from the client, messages queued for
// it, and their bytes as in Traffic.
type Counts struct{ Received, ReceivedBytes, Sent, SentBytes int64 }

// Counts returns what has passed so far. It is false where the registry does not count it:
// see Config.
func (s *Local) Counts() (Counts, bool) {
	if s.meter == nil || s.meter.counts == nil {
		return Counts{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.meter.counts, true
}

// countReceived counts messages of the client. s.mu is held.
func (s *Local) countReceived(messages [][]byte) {
	size := 0
	for _, m := range messages {
		size += len(m)
	}
	t := s.tally()
	t.received.Add(int64(len(messages)))
	t.receivedBy.Add(int64(size))
	if s.meter != nil && s.meter.counts != nil {
		s.meter.counts.Received += int64(len(messages))
		s.meter.counts.ReceivedBytes += int64(size)
	}
}

// countSent counts a message of so many bytes, encoded. s.mu is held.
func (s *Local) countSent(size int) {
	t := s.tally()
	t.sent.Add(1)
	t.sentBy.Add(int64(size))
	if s.meter != nil && s.meter.counts != nil {
		s.meter.counts.Sent++
		s.meter.counts.SentBytes += int64(size)
	}
}

// A tally is the counters of the sessions that share one of a transport's tallies. All
// cores count each message: on one counter they would wait for one another, and a
// counter in each session would be memory of each. A tally has a line of the cache for
// itself.
type tally struct {
	opened, gone         atomic.Int64
	received, receivedBy atomic.Int64
	sent, sentBy         atomic.Int64
	heartbeats           atomic.Int64
	_                    [8]byte
}

// tallies are the counters of one transport. The tallies come first: so each begins a line.
type tallies struct {
	all       [64]tally
	transport string
}

// maxTransports is how many transports are counted apart; the last is all others.
const maxTransports = 16

// A traffic is the counters of a registry's transports. A session knows the index of
// its own, which is set before there is a session that has it.
type traffic struct {
	mu    sync.Mutex // guards the rest, but for what sessions read
	known int
	list  [maxTransports]*tallies
}

// index is where the counters of a transport are.
func (t *traffic) index(transport string) uint8 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.known {
		if t.list[i].transport == transport || i == maxTransports-1 {
			return uint8(i)
		}
	}
	t.list[t.known] = &tallies{transport: transport}
	t.known++
	return uint8(t.known - 1)
}

// tally is the counters that the session has a share in.
func (s *Local) tally() *tally {
	all := &s.registry.traffic.list[s.transport].all
	return &all[s.number%uint64(len(all))]
}

// Traffic returns what has passed over each transport that there were sessions of. To
// ask costs the same whatever their number.
func (g *Registry) Traffic() []Traffic {
	g.traffic.mu.Lock()
	list := g.traffic.list[:g.traffic.known]
	g.traffic.mu.Unlock()
	sums := make([]Traffic, 0, len(list))
	for _, t := range list {
		sum := Traffic{Transport: t.transport}
		for i := range t.all {
			y := &t.all[i]
			sum.Sessions -= y.gone.Load() // before opened, so that it is not below zero
			opened := y.opened.Load()
			sum.Sessions += opened
			sum.Opened += opened
			sum.Received += y.received.Load()
			sum.ReceivedBytes += y.receivedBy.Load()
			sum.Sent += y.sent.Load()
			sum.SentBytes += y.sentBy.Load()
			sum.Heartbeats += y.heartbeats.Load()
		}
		sums = append(sums, sum)
	}
	return sums
}

// Codes count sessions by the code that they were closed with. Clients choose codes,
// too: those that no standard names are counted together, so that there are few.
type Codes struct {
	named   [16]atomic.Int64 // 1000 to 1015
	library atomic.Int64     // 3000 to 3999
	private atomic.Int64     // 4000 to 4999
	other   atomic.Int64
}

func (c *Codes) add(code int) {
	switch {
	case code >= 1000 && code < 1000+len(c.named):
		c.named[code-1000].Add(1)
	case code >= 3000 && code < 4000:
		c.library.Add(1)
	case code >= 4000 && code < 5000:
		c.private.Add(1)
	default:
		c.other.Add(1)
	}
}

// All yields each code and how many sessions were closed with it: 1000 to 1015, 3xxx,
// 4xxx (RFC 6455, section 7.4.2) and other.
func (c *Codes) All() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for i := range c.named {
			if !yield(fmt.Sprint(1000+i), c.named[i].Load()) {
				return
			}
		}
		_ = yield("3xxx", c.library.Load()) && yield("4xxx", c.private.Load()) && yield("other", c.other.Load())
	}
}
