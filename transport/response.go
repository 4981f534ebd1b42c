package transport

import (
	"errors"
	"net/http"
	"time"

	"switchback/session"
	"switchback/session/frame"
	"switchback/session/memory"
	"switchback/transport/internal/guard"
)

// A carrier is what one HTTP transport differs in from the others.
type carrier struct {
	transport   string // as sockjs-client names it
	method      string
	sender      string // the last part of the path by which messages come
	contentType []string
	loaded      guard.Request
	callback    bool // the request names a function that is given the frames
	poll        bool // the response ends with its first frame
	prelude     func(callback string) []byte

	// What stands around each frame, and what is made of its bytes; nil: they stay.
	before, after string
	calls         bool // the callback and its parenthesis follow before
	transform     *memory.Transform
}

// wrap appends a frame in the carrier's form, and uses it up.
func (c *carrier) wrap(dst, frame *memory.Pieces, callback string) {
	dst.Bytes = append(dst.Bytes, c.before...)
	if c.calls {
		dst.Bytes = append(append(dst.Bytes, callback...), `("`...)
	}
	if c.transform == nil {
		dst.Move(frame)
	} else {
		dst.AppendTransformed(frame, c.transform)
		frame.Reset()
	}
	dst.Bytes = append(dst.Bytes, c.after...)
}

// A response is the receiver that carries frames in one HTTP response. It is parked
// where its connection can be taken from net/http, and served otherwise.
type response struct {
	pump
	done     bool // the session has been detached: the response ends
	service  *service
	carrier  *carrier
	callback string
	session  *session.Local
	size     int // bytes of frames written

	parked parked
	served *served // nil: it is parked
}

// respond serves a receiving request.
func (e *Endpoint) respond(w http.ResponseWriter, r *http.Request, key string, c *carrier) {
	x := &response{service: &e.service, carrier: c}
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
		c.setHeaders(w)
		v := &served{response: x, w: w, request: r}
		if v.begin() == nil {
			v.write(&memory.Pieces{Bytes: frame.AppendClose(nil, session.CodeAttached, "Another connection still open")})
		}
		v.end()
	case err != nil:
		e.refusal(w, r, err)
	default:
		c.setHeaders(w)
		x.wake()
		if !x.park(w, r) {
			x.serve(w, r)
		}
	}
}

// setHeaders sets the headers of a response that are its carrier's.
func (c *carrier) setHeaders(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = c.contentType
	if !c.poll {
		h["X-Accel-Buffering"] = unbuffered
	}
}

// callback returns the name of the function that is given the frames. What it
// may hold is bounded, since it is part of a script.
func callback(r *http.Request) (name, reason string) {
	name = formValue(r.URL.RawQuery, "c")
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

// errForeign is the answer to a request for another user's session.
var errForeign = &session.RefusedError{Status: http.StatusNotFound, Reason: "Not found."}

// attach makes x the receiver of the session with this key, which it opens
// where it is not known.
func (x *response) attach(r *http.Request, key string) error {
	g := x.service.registry
	for {
		s := g.Find(key)
		if s != nil && !s.Belongs(r) {
			return errForeign
		}
		if s == nil {
			var err error
			peer := x.service.guard.Peer(r, x.carrier.transport)
			x.session, err = g.Open(key, r, peer, session.SockJS, x)
			if !errors.Is(err, session.ErrAttached) { // which is no attempt of its own
				x.service.attempts.note(r, x.service.prefix, &peer, err != nil)
			}
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
	case x.served != nil:
		x.served.woken <- struct{}{}
	default:
		x.arrange(x, &x.service.flusher)
	}
}

// next appends the next frame to p. The receiver is detached before the last bytes of
// the response can be seen: a client polls again the moment it has them.
func (x *response) next(p *memory.Pieces) session.Frame {
	before := p.Len()
	f := x.session.Next(x, p)
	if f.Kind == session.NoFrame {
		return f
	}
	x.size += p.Len() - before + 1
	if f.Kind == session.CloseFrame || x.carrier.poll || x.size >= x.service.options.ResponseLimit {
		x.done = true
		x.session.Detach(x, nil)
	}
	return f
}

// taken says that the client has taken what was written. After the last frame
// the session may have another receiver, which says itself what that has taken.
func (x *response) taken() {
	if x.done {
		x.session.Written()
	} else {
		x.session.Taken()
	}
}
