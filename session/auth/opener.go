package auth

import (
	"net/http"
	"strings"

	"switchback/session"
)

// TicketQuery is the query parameter of a ticket.
const TicketQuery = "ticket"

// Access is what opens a session. A request's ticket goes before its tokens, of which the
// first counts: of the header Authorization (with Bearer), Header, Query, and Cookie.
type Access struct {
	Verifier *Verifier // of tokens; nil: there are none
	Tickets  *Tickets  // nil: there are none

	// Header, Query and Cookie name where else a token may be. The default is nowhere. A
	// query is part of URLs, which proxies log; a cookie comes with the requests of every
	// page, so that AllowedOrigins alone decide which pages may use it.
	Header string
	Query  string
	Cookie string

	// Optional lets in who brings neither ticket nor token, as nobody. One that is brought
	// has to be good in any case. The default is that one is required.
	Optional bool
}

// Opener returns an Opener of inner's sessions for those who have access: others are
// refused with 401, with 403 who comes with a ticket that was used. Each session is its
// user's alone (see session.Principaler): a token that has expired meanwhile, or the
// ticket of the session, still says whose a request is. What inner says of whose a session
// is goes before.
//
// /info and the pages for iframes are no sessions, and need neither.
func Opener(inner session.Opener, a Access) session.Opener {
	o := &opener{Opener: inner, access: a}
	if s, ok := inner.(session.Subprotocoler); ok {
		return speaking{o, s}
	}
	return o
}

type opener struct {
	session.Opener
	access Access
}

// speaking is an opener whose inner one speaks sub-protocols.
type speaking struct {
	*opener
	session.Subprotocoler
}

var (
	_ session.Authenticator = (*opener)(nil)
	_ session.Principaler   = (*opener)(nil)
	_ session.Admitter      = (*opener)(nil)
)

// Authenticate returns who asks for a session.
func (o *opener) Authenticate(r *http.Request) (*session.Identity, error) {
	if inner, ok := o.Opener.(session.Authenticator); ok {
		if id, err := inner.Authenticate(r); id != nil || err != nil {
			return id, err
		}
	}
	a := &o.access
	if ticket := a.ticket(r); ticket != "" {
		return a.Tickets.identity(ticket)
	}
	if token := a.token(r); token != "" {
		return a.Verifier.Verify(token)
	}
	if a.Optional {
		return nil, nil
	}
	return nil, refused("Who is asking? " + a.wanted())
}

// Principal returns whose a further request is.
func (o *opener) Principal(r *http.Request) (string, error) {
	if inner, ok := o.Opener.(session.Principaler); ok {
		if user, err := inner.Principal(r); user != "" || err != nil {
			return user, err
		}
	}
	if ticket := o.access.ticket(r); ticket != "" {
		return o.access.Tickets.user(ticket)
	}
	if token := o.access.token(r); token != "" {
		return o.access.Verifier.User(token)
	}
	return "", nil
}

// Admit uses the request's ticket up for the session.
func (o *opener) Admit(r *http.Request, s *session.Local) error {
	if inner, ok := o.Opener.(session.Admitter); ok {
		if err := inner.Admit(r, s); err != nil {
			return err
		}
	}
	ticket := o.access.ticket(r)
	if ticket == "" {
		return nil
	}
	err := o.access.Tickets.admit(ticket, s)
	if inner, ok := o.Opener.(session.Admitter); ok && err != nil {
		inner.Forget(s)
	}
	return err
}

// Forget frees the session's ticket.
func (o *opener) Forget(s *session.Local) {
	if o.access.Tickets != nil {
		o.access.Tickets.forget(s)
	}
	if inner, ok := o.Opener.(session.Admitter); ok {
		inner.Forget(s)
	}
}

// ticket returns the ticket of a request, or nothing.
func (a *Access) ticket(r *http.Request) string {
	if a.Tickets == nil || r.URL.RawQuery == "" {
		return ""
	}
	return r.URL.Query().Get(TicketQuery)
}

// token returns the token of a request, or nothing.
func (a *Access) token(r *http.Request) string {
	if a.Verifier == nil {
		return ""
	}
	if token, ok := cutBearer(r.Header.Get("Authorization")); ok {
		return token
	}
	if a.Header != "" {
		if token := r.Header.Get(a.Header); token != "" {
			return token
		}
	}
	if a.Query != "" && r.URL.RawQuery != "" {
		if token := r.URL.Query().Get(a.Query); token != "" {
			return token
		}
	}
	if a.Cookie != "" {
		if c, err := r.Cookie(a.Cookie); err == nil {
			return c.Value
		}
	}
	return ""
}

// wanted says what a request may bring.
func (a *Access) wanted() string {
	var ways []string
	if a.Verifier != nil {
		ways = append(ways, "a token in the header Authorization, after Bearer")
		for _, w := range []struct{ kind, name string }{{"header ", a.Header}, {"query parameter ", a.Query}, {"cookie ", a.Cookie}} {
			if w.name != "" {
				ways = append(ways, "in the "+w.kind+w.name)
			}
		}
	}
	if a.Tickets != nil {
		ways = append(ways, "a ticket in the query parameter "+TicketQuery)
	}
	return "Bring " + strings.Join(ways, ", or ")
}
