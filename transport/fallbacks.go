package transport

import (
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"switchback/session"
)

// A Fallback is how often clients have gone from one transport to the next before a
// session began for them: something between them and the server does not let the first
// one through. It is a guess. A SockJS object asks for each of its transports under the
// same server segment of the URL and with another session id: what comes from the same
// address, by the same browser and with the same segment, shortly after and over another
// transport, is taken for the same object. One that never reaches the server is not seen.
type Fallback struct {
	From, To string // transports
	Refused  bool   // the server refused the first; otherwise it opened a session, and the client has not seen that
	Count    int64
}

const (
	// fallbackTime is how long after an attempt the next one is a fallback: sockjs-client
	// gives a transport 5 seconds, or several round trips.
	fallbackTime = 30 * time.Second

	// maxAttempts is how many attempts are kept: about 200 KiB.
	maxAttempts = 4096
)

// An attempt is a client's to open a session.
type attempt struct {
	transport string
	refused   bool
	at        time.Time
}

// attempts are the latest, and what has been guessed of them.
type attempts struct {
	seed maphash.Seed

	mu     sync.Mutex // guards the rest
	latest map[uint64]attempt
	order  []uint64 // keys of latest, of which the one at next is the oldest once there are maxAttempts
	next   int
	counts map[Fallback]int64 // by all but the count
}

func newAttempts() *attempts {
	return &attempts{seed: maphash.MakeSeed(), latest: make(map[uint64]attempt), counts: make(map[Fallback]int64)}
}

// note keeps an attempt, and counts it where it is a fallback.
func (a *attempts) note(r *http.Request, prefix string, peer *session.Peer, refused bool) {
	below := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, prefix), "/")
	server, _, _ := strings.Cut(below, "/")
	key := maphash.Comparable(a.seed, [3]string{peer.Address, peer.UserAgent, server})
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	before, known := a.latest[key]
	if known && before.transport != peer.Transport && now.Sub(before.at) < fallbackTime {
		a.counts[Fallback{From: before.transport, To: peer.Transport, Refused: before.refused}]++
	}
	a.latest[key] = attempt{peer.Transport, refused, now}
	switch {
	case known:
	case len(a.order) < maxAttempts:
		a.order = append(a.order, key)
	default:
		delete(a.latest, a.order[a.next])
		a.order[a.next] = key
		a.next = (a.next + 1) % maxAttempts
	}
}

// Fallbacks are those that are guessed so far, in the order of their transports.
func (e *Endpoint) Fallbacks() []Fallback {
	a := e.attempts
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Fallback
	for f, n := range a.counts {
		f.Count = n
		all = append(all, f)
	}
	slices.SortFunc(all, func(f, g Fallback) int {
		return strings.Compare(fmt.Sprintf("%s %s %t", f.From, f.To, f.Refused), fmt.Sprintf("%s %s %t", g.From, g.To, g.Refused))
	})
	return all
}
