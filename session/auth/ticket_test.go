package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchback/session"
	"switchback/session/memory"
)

// A place is sessions behind tickets, in virtual time.
type place struct {
	*testing.T
	tickets  *Tickets
	registry *session.Registry
}

func inPlace(t *testing.T, o TicketOptions, f func(p *place)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tickets, err := NewTickets(o)
		if err != nil {
			t.Fatal(err)
		}
		p := &place{t, tickets, session.NewRegistry(Opener(session.Shared(session.Nop{}), Access{Tickets: tickets}), session.Config{
			HeartbeatDelay: -1, DisconnectDelay: 5 * time.Second, InboxTimeout: time.Second,
			SessionLimit: 1000, QueueLimit: 1 << 20, InboxLimit: 1 << 20, UserLimit: 2,
		})}
		f(p)
		defer p.registry.Shutdown(t.Context())
		for _, s := range p.registry.Sessions() {
			s.Close(1000, "")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		tickets.mu.Lock()
		tickets.sweep()
		tickets.mu.Unlock()
		if n := tickets.Stats().Out.Load(); n != 0 || len(tickets.sessions) != 0 || len(tickets.recent) != 0 {
			t.Errorf("%d tickets are left, %d sessions", n, len(tickets.sessions))
		}
	})
}

func (p *place) issue(user string) string {
	p.Helper()
	text, _, err := p.tickets.Issue(&session.Identity{User: user})
	if err != nil {
		p.Fatal(err)
	}
	return text
}

// A receiver takes what there is, and is gone with the close frame.
type receiver struct {
	mu      sync.Mutex
	session *session.Local
}

func (r *receiver) Wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var p memory.Pieces
	for r.session != nil {
		switch r.session.Next(r, &p).Kind {
		case session.NoFrame:
			return
		case session.CloseFrame:
			go r.session.Detach(r, nil) // ends at once
			return
		}
	}
}

// asks is a request with a ticket.
func asks(ticket string) *http.Request {
	return &http.Request{URL: &url.URL{Path: "/echo/0/k/xhr", RawQuery: url.Values{"t": {"1"}, "ticket": {ticket}}.Encode()}}
}

// open opens a session with a ticket; key is its id.
func (p *place) open(key, ticket string) (*session.Local, *receiver, error) {
	r := new(receiver)
	s, err := p.registry.Open(key, asks(ticket), session.Peer{}, session.SockJS, r)
	r.mu.Lock()
	r.session = s
	r.mu.Unlock()
	if err == nil {
		r.Wake()
	}
	return s, r, err
}

// gone has a session's client go.
func gone(s *session.Local, r *receiver) {
	s.Detach(r, errors.New("gone"))
	time.Sleep(6 * time.Second)
	synctest.Wait()
}

const (
	unknownTicket = "Ticket is not known, or has expired; get another"
	usedTicket    = "Ticket is used already; get another"
)

func (p *place) refuses(key, ticket string, status int, want string) {
	p.Helper()
	s, _, err := p.open(key, ticket)
	if got, sentence := reason(err); got != status || sentence != want {
		p.Errorf("got %v, %v", s, err)
	}
}

func TestTicketOpensASession(t *testing.T) {
	inPlace(t, TicketOptions{}, func(p *place) {
		ticket, expires, err := p.tickets.Issue(&session.Identity{User: "kim", Claims: claims{"a": 1}})
		if err != nil || len(ticket) != 26 || !expires.Equal(time.Now().Add(30*time.Second)) {
			t.Fatal(ticket, expires, err)
		}
		time.Sleep(30*time.Second - 1)
		s, _, err := p.open("k", ticket)
		if err != nil || s.Peer().User() != "kim" || s.Peer().Identity.Claims["a"] != 1 {
			t.Fatal(err)
		}
		p.refuses("l", "", 401, "Who is asking? Bring a ticket in the query parameter ticket")
		p.refuses("l", "x", 401, unknownTicket)
		p.refuses("l", ticket[:25], 401, unknownTicket)
	})
}

func TestTicketsLifeIsShort(t *testing.T) {
	inPlace(t, TicketOptions{Life: 10 * time.Second}, func(p *place) {
		ticket := p.issue("kim")
		time.Sleep(10 * time.Second)
		p.refuses("k", ticket, 401, unknownTicket)
		if s := p.tickets.Stats(); s.Out.Load() != 0 || s.Unknown.Load() != 1 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// The client tries transports one after the other, each with a session of its own.
func TestTicketMovesUntilSomethingIsReceived(t *testing.T) {
	inPlace(t, TicketOptions{}, func(p *place) {
		ticket := p.issue("kim")
		first, _, err := p.open("", ticket) // a WebSocket that gets nothing through
		if err != nil {
			t.Fatal(err)
		}
		second, _, err := p.open("k", ticket)
		if err != nil || !first.Closing() || second.Closing() {
			t.Fatal(err, first.Closing())
		}
		third, _, err := p.open("l", ticket)
		if err != nil || !second.Closing() || third.Closing() {
			t.Fatal(err)
		}
		if err := third.Receive(context.Background(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		p.refuses("m", ticket, 403, usedTicket)
		if third.Closing() {
			t.Error("who replays a ticket ends its session")
		}
		if s := p.tickets.Stats(); s.Opened.Load() != 3 || s.Moved.Load() != 2 || s.Replayed.Load() != 1 || s.Out.Load() != 1 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// What has become of the session before decides, too, when it is gone.
func TestTicketOfASessionThatIsGone(t *testing.T) {
	for _, received := range []bool{false, true} {
		inPlace(t, TicketOptions{}, func(p *place) {
			ticket := p.issue("kim")
			s, r, err := p.open("k", ticket)
			if err != nil {
				t.Fatal(err)
			}
			if received {
				s.Receive(context.Background(), []byte("x"))
			}
			gone(s, r)
			if p.registry.Find("k") != nil {
				t.Fatal("it is not gone")
			}
			if received {
				p.refuses("l", ticket, 403, usedTicket)
				return
			}
			if _, _, err := p.open("l", ticket); err != nil {
				t.Error(err)
			}
		})
	}
}

// Further requests of a session are its user's for as long as it lives, and while its
// client may come for the close frame.
func TestUsedTicketSaysWhoseARequestIsWhileItsSessionLives(t *testing.T) {
	inPlace(t, TicketOptions{}, func(p *place) {
		ticket, fresh, other := p.issue("kim"), p.issue("kim"), p.issue("lee")
		s, r, err := p.open("k", ticket)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]bool{ticket: true, fresh: true, other: false, "": false, "x": false} {
			if got := s.Belongs(asks(text)); got != want {
				t.Errorf("%q: %v", text, got)
			}
		}
		time.Sleep(time.Hour)
		for text, want := range map[string]bool{ticket: true, fresh: false, other: false} {
			if got := s.Belongs(asks(text)); got != want {
				t.Errorf("an hour later: %q: %v", text, got)
			}
		}
		p.refuses("l", ticket, 401, unknownTicket) // its life is over, whatever the session has received
		s.Detach(r, nil)                           // between two polls
		s.Close(1000, "")
		if !s.Belongs(asks(ticket)) {
			t.Error("the close frame is not for its client")
		}
		gone(s, r)
		if s.Belongs(asks(ticket)) || p.tickets.Stats().Out.Load() != 0 {
			t.Error("is known for longer than its session")
		}
	})
}

// A session that does not come about leaves the ticket as it was.
func TestTicketOfASessionThatWasRefused(t *testing.T) {
	inPlace(t, TicketOptions{}, func(p *place) {
		a, b := p.issue("kim"), p.issue("kim")
		first, _, err := p.open("k", a)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.open("k", b); !errors.Is(err, session.ErrAttached) {
			t.Fatal(err)
		}
		if first.Closing() {
			t.Error("another ticket ends the session")
		}
		if _, _, err := p.open("l", b); err != nil {
			t.Error(err)
		}
	})
}

// The session that a ticket ends makes room for the one that it opens.
func TestTicketMovesAtTheLimitOfUsers(t *testing.T) {
	inPlace(t, TicketOptions{}, func(p *place) { // which has two sessions for each user
		a, b, c := p.issue("kim"), p.issue("kim"), p.issue("kim")
		for i, ticket := range []string{a, b, a, b, a} {
			if _, _, err := p.open(string('k'+rune(i)), ticket); err != nil {
				t.Fatal(i, err)
			}
		}
		p.refuses("c", c, 503, "Too many sessions of this user")
		s, r, err := p.open("", a)
		if err != nil {
			t.Fatal(err)
		}
		gone(s, r)
		if _, _, err := p.open("c", c); err != nil {
			t.Errorf("a ticket that was refused: %v", err)
		}
	})
}

// Whoever repeats a session's first request while it is answered does it no harm.
func TestTicketOfARequestThatIsRepeatedAtOnce(t *testing.T) {
	for range 50 {
		inPlace(t, TicketOptions{}, func(p *place) {
			ticket := p.issue("kim")
			var all sync.WaitGroup
			var opened atomic.Int32
			for range 4 {
				all.Go(func() {
					_, _, err := p.open("k", ticket)
					if err == nil {
						opened.Add(1)
					} else if !errors.Is(err, session.ErrAttached) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			s := p.registry.Find("k")
			if opened.Load() != 1 || s.Closing() {
				t.Fatalf("%d are opened, which is closing: %v", opened.Load(), s.Closing())
			}
			s.Receive(context.Background(), []byte("x"))
			p.refuses("l", ticket, 403, usedTicket)
		})
	}
}

func TestTicketLimit(t *testing.T) {
	inPlace(t, TicketOptions{Limit: 3}, func(p *place) {
		for range 3 {
			p.issue("kim")
		}
		if text, _, err := p.tickets.Issue(&session.Identity{User: "kim"}); !errors.Is(err, ErrTickets) || text != "" {
			t.Errorf("got %q, %v", text, err)
		}
		if n := p.tickets.Stats().Full.Load(); n != 1 {
			t.Errorf("%d are counted", n)
		}
		time.Sleep(30 * time.Second)
		p.issue("kim")
	})
}

func TestWrongOptionsOfTicketsAreNamed(t *testing.T) {
	for _, o := range []TicketOptions{{Life: -1}, {Limit: -1}} {
		if _, err := NewTickets(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
