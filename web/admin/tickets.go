package admin

import (
	"net/http"

	"switchback/session"
	"switchback/session/auth"
	"switchback/web/admin/client"
)

// exchange answers POST /api/tickets: with a ticket for whom a token names, or for whom
// the caller vouches.
func (s *Server) exchange(r *http.Request) (any, *client.Failure) {
	var body client.TicketRequest
	if err := read(r, &body); err != nil {
		return nil, failed(err)
	}
	id, wrong := s.identify(&body)
	if wrong != nil {
		return nil, failed(wrong)
	}
	ticket, expires, err := s.options.Tickets.Issue(id)
	if err != nil {
		return nil, failed(refusal(http.StatusServiceUnavailable, "tickets", "There are as many tickets as there may be; come back in a moment."))
	}
	return client.Ticket{Ticket: ticket, Query: auth.TicketQuery + "=" + ticket, Expires: expires}, nil
}

// identify returns who a ticket is for.
func (s *Server) identify(body *client.TicketRequest) (*session.Identity, *client.Error) {
	switch {
	case s.options.Tickets == nil:
		return nil, wrong("tickets", "There are no tickets here: no endpoint asks who opens a session. Add auth to the configuration.")
	case (body.Token == "") == (body.User == ""):
		return nil, wrong("token", "A ticket is for one of token, that of somebody, and user, a name.")
	case body.User != "":
		return &session.Identity{User: body.User, Claims: body.Claims}, nil
	case body.Claims != nil:
		return nil, wrong("claims", "claims go with user; those of a token are in it.")
	case s.options.Verifier == nil:
		return nil, wrong("token", "Tokens are not accepted here: auth.jwt of the configuration says whose are.")
	}
	id, err := s.options.Verifier.Verify(body.Token)
	if err != nil {
		return nil, wrong("token", "The token is not accepted: %v.", err)
	}
	return id, nil
}
