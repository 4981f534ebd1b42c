package netpoll

import (
	"errors"
	"net/http"
	"reflect"
)

// ErrServed is the answer where a request's connection cannot be taken: its
// response is to be written by the ResponseWriter.
var ErrServed = errors.New("netpoll: the connection cannot be taken")

// responseType is net/http's own ResponseWriter for HTTP/1.
const responseType = "*http.response"

// Hijack takes a request's connection, whose response the caller then writes
// itself. Finish gives it back to the request's http.Server, unless the client or
// a header of w wants the connection closed. Hijack returns ErrServed where that
// cannot be: for HTTP/1.0, HTTP/2 and TLS, for a ResponseWriter that is wrapped,
// and where the server's listener wraps its connections.
func (p *Poller) Hijack(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if e, ok := w.(*exchange); ok {
		u := p.reuseOf(server, r)
		if u == nil {
			return nil, ErrServed
		}
		if closes(e.header) {
			u = nil
		}
		return e.conn, e.hijack(p, u)
	}
	if !ok || !canPark || r.TLS != nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || reflect.TypeOf(w).String() != responseType {
		return nil, ErrServed
	}
	u := p.reuseOf(server, r)
	if u == nil || u.wraps() {
		return nil, ErrServed
	}
	c, err := p.takeFrom(w.(http.Hijacker))
	switch {
	case err != nil:
		return nil, err
	case c.fd < 0:
		if !isBare(c.under) {
			u.setWraps()
		}
		return c, nil // its response is its last
	}
	if !r.Close && !closes(w.Header()) {
		c.reuse = u
	}
	return c, nil
}

// Upgrade takes a request's connection for good, whatever its kind. It looks for it
// as http.ResponseController does.
func (p *Poller) Upgrade(w http.ResponseWriter) (*Conn, error) {
	for {
		switch t := w.(type) {
		case *exchange:
			return t.conn, t.hijack(p, nil)
		case http.Hijacker:
			return p.takeFrom(t)
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil, http.ErrNotSupported
		}
	}
}

// takeFrom takes a hijacked connection, with what has been read from it already.
func (p *Poller) takeFrom(h http.Hijacker) (*Conn, error) {
	c, rw, err := h.Hijack()
	if err != nil {
		return nil, err
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	return p.Take(c, early), nil
}

// Returns tells whether Finish will give the connection back, unless the server
// shuts down meanwhile.
func (c *Conn) Returns() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reuse != nil && !c.reuse.ended()
}

// setLast has Finish close the connection.
func (c *Conn) setLast() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reuse = nil
}
