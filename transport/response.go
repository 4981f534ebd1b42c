package transport

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
	"unique"

	"switchback/session"
	"switchback/session/frame"
	"switchback/transport/netpoll"
)

// A carrier is what one HTTP transport differs in from the others.
type carrier struct {
	transport   string // as sockjs-client names it
	method      string
	contentType []string
	loaded      Request
	callback    bool // the request names a function that is given the frames
	poll        bool // the response ends with its first frame
	prelude     func(callback string) []byte
	wrap        func(dst, frame []byte, callback string) []byte
}

// carriers are the HTTP transports, by the last part of their URL.
var carriers = map[string]*carrier{
	"xhr":           xhrPolling,
	"xhr_streaming": xhrStreaming,
	"eventsource":   eventSource,
	"htmlfile":      htmlFile,
	"jsonp":         jsonpPolling,
}

// A response is the receiver that carries frames in one HTTP response. Where the
// connection can be taken from net/http, the response is parked: it has no
// goroutine, and whoever has a frame writes it. Otherwise the request's own
// goroutine writes, and alone waits for its client.
type response struct {
	pump
	endpoint *Endpoint
	carrier  *carrier
	callback string
	session  *session.Local
	size     int         // bytes of frames written
	done     bool        // the session has been detached: the response ends
	direct   atomic.Bool // a request is at work for the session: the first frame need not be scheduled

	limited bool                  // the connection has a write deadline
	w       http.ResponseWriter   // while the request's goroutine writes
	woken   chan struct{}         // holds one: that goroutine has something to write
	conn    *netpoll.Conn         // when parked
	head    unique.Handle[string] // of a parked poll: its status line and headers
}

// respond serves a receiving request.
func (e *Endpoint) respond(w http.ResponseWriter, r *http.Request, key string, c *carrier) {
	x := &response{endpoint: e, carrier: c, w: w}
	if c.callback {
		reason := ""
		if x.callback, reason = callback(r); reason != "" {
			refuse(w, http.StatusInternalServerError, reason)
			return
		}
	}
	if !c.poll && !flushes(w) {
		refuse(w, http.StatusNotImplemented, "Streams are not possible here.")
		return
	}
	if err := e.discardBody(w, r); err != nil {
		e.refuseBody(w, r, err)
		return
	}
	switch err := x.attachSoon(r, key); {
	case errors.Is(err, session.ErrAttached):
		x.headers()
		if x.begin() == nil {
			x.write(frame.AppendClose(nil, session.CodeAttached, "Another connection still open"))
		}
		endWrites(w, r)
	case err != nil:
		e.refusal(w, r, err)
	default:
		x.headers()
		x.carry(r)
	}
}

// headers sets the headers of the response that are its carrier's.
func (x *response) headers() {
	h := x.w.Header()
	h["Content-Type"] = x.carrier.contentType
	if !x.carrier.poll {
		h["X-Accel-Buffering"] = unbuffered
	}
}

// callback returns the name of the function that is given the frames. What it
// may hold is bounded, since it is part of a script.
func callback(r *http.Request) (name, reason string) {
	name, _ = formValue(r.URL.RawQuery, "c")
	if name == "" {
		return "", `"callback" parameter required`
	}
	if len(name) > 32 {
		return "", `invalid "callback" parameter`
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '.', c == '-':
		default:
			return "", `invalid "callback" parameter`
		}
	}
	return name, ""
}

// attachWait is how long a new receiver waits for one that may be about to go:
// that its client has left can be learned after the client's next request.
const attachWait = 64 * time.Millisecond

// attachSoon is attach, but for that wait.
func (x *response) attachSoon(r *http.Request, key string) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := x.attach(r, key)
		if !errors.Is(err, session.ErrAttached) || wait > attachWait {
			return err
		}
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			return err
		}
	}
}

// attach makes x the receiver of the session with this key, which it opens
// where it is not known.
func (x *response) attach(r *http.Request, key string) error {
	g := x.endpoint.registry
	for {
		s := g.Find(key)
		if s == nil {
			var err error
			x.session, err = g.Open(key, r, x.endpoint.guard.Peer(r, x.carrier.transport), session.SockJS, x)
			return err
		}
		x.session = s
		err := s.Attach(x)
		if !errors.Is(err, session.ErrClosed) {
			return err
		}
	}
}

// Wake has the next frame written.
func (x *response) Wake() {
	switch {
	case !x.wake():
	case x.conn == nil:
		x.woken <- struct{}{}
	case x.direct.Load() && x.direct.CompareAndSwap(true, false):
		x.run()
	default:
		x.endpoint.flusher.schedule(x)
	}
}

// carry carries frames until the response ends or is parked.
func (x *response) carry(r *http.Request) {
	x.wake()
	if !x.park(r) {
		x.end(r, x.serve(r))
	}
}

// end ends a response that the request's goroutine has written.
func (x *response) end(r *http.Request, err error) {
	if err != nil {
		x.session.Detach(x, err)
	}
	if x.limited {
		endWrites(x.w, r)
	}
}

// serve carries frames on the request's goroutine.
func (x *response) serve(r *http.Request) error {
	if err := x.begin(); err != nil {
		return err
	}
	x.woken = make(chan struct{}, 1)
	for {
		var err error
		x.loop(func() {
			if err == nil {
				err = x.moveServed()
			}
		})
		if err != nil || x.done {
			return err
		}
		select {
		case <-x.woken:
		case <-r.Context().Done():
			return context.Cause(r.Context())
		}
	}
}

// begin writes the prelude of a stream.
func (x *response) begin() error {
	if x.carrier.poll {
		return nil
	}
	return x.put(x.carrier.prelude(x.callback))
}

// moveServed writes frames until there are none, or the response has to end.
func (x *response) moveServed() error {
	b := wires.Get().(*[]byte)
	defer freeWire(b)
	for more := true; more && !x.done; {
		f := x.next((*b)[:0])
		*b, more = f.Bytes, f.More
		if f.Kind == session.NoFrame {
			return nil
		}
		if err := x.write(*b); err != nil {
			return err
		}
	}
	x.taken()
	return nil
}

// next returns the next frame, in the memory of b. The receiver is detached before
// the last bytes of the response can be seen: a client polls again the moment it has
// them.
func (x *response) next(b []byte) session.Frame {
	f := x.session.Next(x, b)
	if f.Kind == session.NoFrame {
		return f
	}
	x.size += len(f.Bytes) + 1
	if f.Kind == session.CloseFrame || x.carrier.poll || x.size >= x.endpoint.options.ResponseLimit {
		x.done = true
		x.session.Detach(x, nil)
	}
	return f
}

// taken says that the client has taken what was written. After the last frame
// the session may have another receiver, which says so itself.
func (x *response) taken() {
	if !x.done {
		x.session.Taken()
	}
}

// write wraps a frame and writes it.
func (x *response) write(f []byte) error {
	b := wires.Get().(*[]byte)
	defer freeWire(b)
	*b = x.carrier.wrap(*b, f, x.callback)
	if x.carrier.poll {
		x.w.Header().Set("Content-Length", strconv.Itoa(len(*b)))
	}
	return x.put(*b)
}

// fits is what any socket's buffer takes at once when it is empty, as it is when
// a client asks for its next answer.
const fits = 8 << 10

// pieceSize is what a client must take within the write timeout.
const pieceSize = 64 << 10

// put writes bytes, each piece of which the client must take in time.
func (x *response) put(p []byte) error {
	rc := http.NewResponseController(x.w)
	x.limited = x.limited || !x.carrier.poll || len(p) > fits
	for len(p) > 0 {
		if x.limited {
			rc.SetWriteDeadline(time.Now().Add(x.endpoint.options.WriteTimeout))
		}
		n, err := x.w.Write(p[:min(len(p), pieceSize)])
		if err != nil {
			return err
		}
		p = p[n:]
	}
	if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// flushes tells whether http.ResponseController can flush w.
func flushes(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// endWrites takes the write deadline off a connection that other handlers will
// use, unless their server sets its own for each request.
func endWrites(w http.ResponseWriter, r *http.Request) {
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.WriteTimeout > 0 {
		return
	}
	http.NewResponseController(w).SetWriteDeadline(time.Time{})
}
