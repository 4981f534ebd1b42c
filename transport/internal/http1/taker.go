package http1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"reflect"

	"switchback/session/memory"
	"switchback/transport/internal/netpoll"
)

// ErrServed is the answer where a request's connection cannot be taken: its
// response is to be written by the ResponseWriter.
var ErrServed = errors.New("http1: the connection cannot be taken")

// A Taker takes connections of requests, of whichever http.Servers serve them. Its
// methods may be called from any goroutine.
type Taker struct {
	serves func(method, path string) bool
	group  netpoll.Group
	down   bool // guarded by servers
}

// NewTaker returns a Taker. On connections that it gives back, requests are served on
// the spot where serves says so.
func NewTaker(serves func(method, path string) bool) *Taker { return &Taker{serves: serves} }

// A Response is one whose connection has been taken.
type Response struct {
	Conn   *netpoll.Conn
	server *Server // that the connection goes back to, or nil
}

// Finish writes the last bytes of the response and gives the connection back to the
// http.Server that it came from: it waits, parked, for that server's next request. It
// is closed where it cannot go back.
func (r Response) Finish(p *memory.Pieces) {
	if r.server == nil {
		r.Conn.WriteThen(p, closeConn)
		return
	}
	r.Conn.WriteThen(p, r.server.back)
}

func closeConn(c *netpoll.Conn) { c.Close() }

// responseType is net/http's own ResponseWriter for HTTP/1.
const responseType = "*http.response"

// Hijack takes a request's connection, whose response the caller then writes itself:
// first the head, of the status and the headers of w, which Hijack appends to dst, but
// for the headers of each message and the empty line. Finish gives the connection back
// to the request's http.Server, unless the client or a header of w wants it closed.
// Hijack returns ErrServed where that cannot be: for HTTP/1.0, HTTP/2 and TLS of which
// Serve does not know, for a ResponseWriter that is wrapped, where the server's listener
// wraps its connections, and after Shutdown.
func (t *Taker) Hijack(dst []byte, w http.ResponseWriter, r *http.Request, status int) (Response, []byte, error) {
	x, err := t.hijack(w, r)
	if err != nil {
		return x, dst, err
	}
	if x.server != nil && (x.server.retired.Load() || closes(w.Header())) {
		x.server = nil
	}
	head := appendHead(dst, status, w.Header(), x.server != nil)
	if e, ok := w.(*exchange); ok {
		e.returnHeader()
	}
	return x, head, nil
}

func (t *Taker) hijack(w http.ResponseWriter, r *http.Request) (Response, error) {
	if e, ok := w.(*exchange); ok {
		if !t.uses(e.server) {
			return Response{}, ErrServed
		}
		return Response{e.ctx.conn, e.server}, e.hijack(&t.group)
	}
	s, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || !netpoll.CanPark || r.ProtoMajor != 1 || r.ProtoMinor != 1 || reflect.TypeOf(w).String() != responseType {
		return Response{}, ErrServed
	}
	u := t.serverOf(s, r)
	if u == nil || u.wrapped.Load() {
		return Response{}, ErrServed
	}
	c, err := t.takeFrom(w.(http.Hijacker))
	if err != nil {
		return Response{}, err
	}
	if !c.Parks() {
		if c.Wrapped() && r.TLS == nil {
			u.wrapped.Store(true)
		}
		return Response{c, nil}, nil
	}
	if r.Close {
		u = nil
	}
	return Response{c, u}, nil
}

// Upgrade takes a request's connection for good, whatever its kind. It looks for it
// as http.ResponseController does.
func (t *Taker) Upgrade(w http.ResponseWriter) (*netpoll.Conn, error) {
	for {
		switch h := w.(type) {
		case *exchange:
			return h.ctx.conn, h.hijack(&t.group)
		case http.Hijacker:
			return t.takeFrom(h)
		case interface{ Unwrap() http.ResponseWriter }:
			w = h.Unwrap()
		default:
			return nil, http.ErrNotSupported
		}
	}
}

// takeFrom takes a hijacked connection, with what has been read from it already.
func (t *Taker) takeFrom(h http.Hijacker) (*netpoll.Conn, error) {
	c, rw, err := h.Hijack()
	if err != nil {
		return nil, err
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	return t.group.Take(c, early), nil
}

// serverOf returns the Server of an http.Server that has served a request, which t
// uses from now on. It is nil after Shutdown, and for TLS that is not spoken here.
func (t *Taker) serverOf(s *http.Server, r *http.Request) *Server {
	servers.Lock()
	defer servers.Unlock()
	if t.down {
		return nil
	}
	known := servers.of[s]
	if r.TLS != nil && (known == nil || known.securer == nil) {
		return nil
	}
	u := find(s, t.serves)
	if known == nil {
		addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		u.adopt(addr)
	}
	u.takers[t] = struct{}{}
	return u
}

// uses notes that t uses a Server. It is false after Shutdown. Only an adopted Server
// ends with those that use it.
func (t *Taker) uses(u *Server) bool {
	if u.adopted == nil {
		return true
	}
	servers.Lock()
	defer servers.Unlock()
	if !t.down {
		u.takers[t] = struct{}{}
	}
	return !t.down
}

// Shutdown refuses further connections, and returns when those that were taken have
// been closed or given back. Connections that wait for a request are their
// http.Server's, and closed by its Shutdown; but where the http.Server serves itself,
// the last Taker closes them, and waits for the requests that are served on the spot.
// When the context is done first, Shutdown closes what is left, and returns the
// context's error.
func (t *Taker) Shutdown(ctx context.Context) error {
	orphans := t.leave()
	for _, u := range orphans {
		u.adopted.Close()
	}
	err := t.group.Shutdown(ctx)
	for _, u := range orphans {
		if u.retired.Load() {
			err = errors.Join(err, u.shutdown(ctx))
		}
	}
	return err
}

// leave returns the adopted Servers that nobody uses after t.
func (t *Taker) leave() (orphans []*Server) {
	servers.Lock()
	defer servers.Unlock()
	t.down = true
	for _, u := range servers.of {
		if _, used := u.takers[t]; used {
			delete(u.takers, t)
			if len(u.takers) == 0 && u.adopted != nil {
				orphans = append(orphans, u)
			}
		}
	}
	return orphans
}
