package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"switchback/session"
	"switchback/session/option"
)

// ErrTickets is returned by Issue where TicketOptions.Limit are out.
var ErrTickets = errors.New("auth: too many tickets")

// TicketOptions are the settings of Tickets. A zero value stands for its default.
type TicketOptions struct {
	// Life is how long a ticket opens a session. The default is 30 seconds.
	Life time.Duration `default:"30s"`

	// Limit is the number of tickets that may be out: those of the last Life. The default
	// is 100,000.
	Limit int `default:"100000"`
}

// TicketStats are counters of tickets, which are the Tickets' own to change. All but the
// first only rise.
type TicketStats struct {
	Out      atomic.Int64 `metric:"gauge"` // tickets of the last Life, and those whose sessions live
	Issued   atomic.Int64 // tickets issued
	Opened   atomic.Int64 // sessions opened with one
	Moved    atomic.Int64 // of these, those that have ended an earlier session of the same ticket
	Replayed atomic.Int64 // refused, since their session has received something already
	Unknown  atomic.Int64 // refused, since there is no such ticket, or its Life is over
	Full     atomic.Int64 // not issued at Limit
}

// Tickets are short-lived secrets, each for one session of somebody who is known, for pages
// that can set no headers: a ticket goes into the query of the page's SockJS URL, whose
// client repeats it with every request. Their methods may be called from any goroutine.
//
// sockjs-client opens a new session for each transport that it tries, with the same query.
// So a ticket opens another session as long as nothing was received from the last one,
// which ends then; afterwards it is refused. Within its Life, that is; but as long as its
// session lives a ticket tells whose the session's requests are.
type Tickets struct {
	options TicketOptions
	stats   TicketStats

	mu       sync.Mutex // guards the rest, and all tickets
	tickets  map[[sha256.Size]byte]*ticket
	sessions map[*session.Local]*ticket
	recent   []*ticket // of the last Life, in order
}

// A ticket is what is known of one; of its text, the hash alone is kept.
type ticket struct {
	hash     [sha256.Size]byte
	identity *session.Identity
	expires  time.Time
	over     bool           // its Life is
	spent    bool           // its session has received something, and is gone
	session  *session.Local // nil while there is none
}

// NewTickets returns Tickets. An error is an *OptionError.
func NewTickets(o TicketOptions) (*Tickets, error) {
	option.SetDefaults(&o)
	if err := notNegative(o); err != nil {
		return nil, err
	}
	return &Tickets{
		options:  o,
		tickets:  make(map[[sha256.Size]byte]*ticket),
		sessions: make(map[*session.Local]*ticket),
	}, nil
}

// Stats are the counters of the tickets.
func (t *Tickets) Stats() *TicketStats { return &t.stats }

// Issue returns a ticket for somebody, of 26 letters and digits, and when its Life is over.
// id is not changed afterwards. The error is ErrTickets.
func (t *Tickets) Issue(id *session.Identity) (text string, expires time.Time, err error) {
	text = rand.Text()
	k := &ticket{hash: sha256.Sum256([]byte(text)), identity: id, expires: time.Now().Add(t.options.Life)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep()
	if len(t.recent) >= t.options.Limit {
		t.stats.Full.Add(1)
		return "", time.Time{}, ErrTickets
	}
	t.tickets[k.hash] = k
	t.recent = append(t.recent, k)
	t.stats.Issued.Add(1)
	t.count()
	return text, k.expires, nil
}

// sweep ends the Life of tickets whose time has come. t.mu is held.
func (t *Tickets) sweep() {
	now := time.Now()
	for len(t.recent) > 0 && !now.Before(t.recent[0].expires) {
		k := t.recent[0]
		t.recent[0] = nil
		t.recent = t.recent[1:]
		k.over = true
		t.drop(k)
	}
	if len(t.recent) == 0 {
		t.recent = nil
	}
	t.count()
}

// drop forgets a ticket that is good for nothing any more. t.mu is held.
func (t *Tickets) drop(k *ticket) {
	if k.over && k.session == nil {
		delete(t.tickets, k.hash)
	}
}

// count brings the counter of tickets up to date. t.mu is held.
func (t *Tickets) count() { t.stats.Out.Store(int64(len(t.tickets))) }

// identity returns who may open a session with a ticket.
func (t *Tickets) identity(text string) (*session.Identity, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep()
	if k := t.tickets[sha256.Sum256([]byte(text))]; k != nil && !k.over {
		return k.identity, nil
	}
	t.stats.Unknown.Add(1)
	return nil, refused("Ticket is not known, or has expired; get another")
}

// user returns whose a ticket is, for as long as it or its session lives.
func (t *Tickets) user(text string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep()
	if k := t.tickets[sha256.Sum256([]byte(text))]; k != nil {
		return k.identity.User, nil
	}
	return "", refused("Ticket is not known, or has expired")
}

// admit makes s the session of a ticket, and ends the one before.
func (t *Tickets) admit(text string, s *session.Local) error {
	before, err := t.move(text, s)
	if before != nil {
		before.Close(session.CodePolicy, "Ticket is used by another session")
	}
	return err
}

func (t *Tickets) move(text string, s *session.Local) (before *session.Local, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.tickets[sha256.Sum256([]byte(text))]
	switch {
	case k == nil:
		t.stats.Unknown.Add(1)
		return nil, refused("Ticket has expired; get another")
	case k.spent, k.session != nil && k.session.Received():
		t.stats.Replayed.Add(1)
		return nil, &session.RefusedError{Status: http.StatusForbidden, Reason: "Ticket is used already; get another"}
	}
	if before = k.session; before != nil {
		delete(t.sessions, before)
		t.stats.Moved.Add(1)
	}
	k.session, t.sessions[s] = s, k
	t.stats.Opened.Add(1)
	return before, nil
}

// forget ends what a ticket has to do with its session.
func (t *Tickets) forget(s *session.Local) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.sessions[s]
	if k == nil {
		return
	}
	delete(t.sessions, s)
	k.session, k.spent = nil, s.Received()
	t.drop(k)
	t.count()
}
