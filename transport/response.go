package transport

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"switchback/session"
	"switchback/session/frame"
)

// A carrier is what one HTTP transport differs in from the others.
type carrier struct {
	transport   string // as sockjs-client names it
	method      string
	contentType []string
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

// A response is the receiver that carries frames in one HTTP response. The
// request's own goroutine writes them: it alone waits for its client.
type response struct {
	endpoint *Endpoint
	carrier  *carrier
	callback string
	session  *session.Local
	woken    chan struct{} // holds one: Next has something
	size     int           // bytes of frames written
	done     bool          // the session has been detached
}

// respond serves a receiving request.
func (e *Endpoint) respond(w http.ResponseWriter, r *http.Request, key string, c *carrier) {
	x := &response{endpoint: e, carrier: c, woken: make(chan struct{}, 1)}
	if c.callback {
		reason := ""
		if x.callback, reason = callback(r); reason != "" {
			refuse(w, http.StatusInternalServerError, reason)
			return
		}
	}
	if err := e.discardBody(w, r); err != nil {
		e.refuseBody(w, err)
		return
	}
	switch err := x.attachSoon(r, key); {
	case errors.Is(err, session.ErrAttached):
		if x.begin(w) == nil {
			x.write(w, frame.AppendClose(nil, session.CodeAttached, "Another connection still open"))
		}
		endWrites(w, r)
	case err != nil:
		e.refusal(w, r, err)
	default:
		x.serve(w, r.Context())
		endWrites(w, r)
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
			s, err := g.Open(key, r, x.endpoint.guard.Peer(r, x.carrier.transport), session.SockJS, x)
			if err == nil {
				x.session = s
				x.endpoint.opened(s)
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

func (e *Endpoint) opened(s *session.Local) {
	if e.log.Core().Enabled(zap.DebugLevel) {
		e.log.Debug("session opened", zap.String("session", s.ID()), zap.String("transport", s.Peer().Transport), zap.String("address", s.Peer().Address))
	}
}

// Wake lets the request's goroutine go on.
func (x *response) Wake() {
	select {
	case x.woken <- struct{}{}:
	default:
	}
}

// serve carries frames until the response ends, or the client goes away: that
// closes the session.
func (x *response) serve(w http.ResponseWriter, ctx context.Context) {
	err := x.begin(w)
	for err == nil && !x.done {
		if err = x.move(w); err != nil || x.done {
			break
		}
		select {
		case <-x.woken:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		x.session.Detach(x, err)
	}
}

// begin writes the headers, and the prelude of a stream.
func (x *response) begin(w http.ResponseWriter) error {
	h := w.Header()
	h["Content-Type"] = x.carrier.contentType
	if x.carrier.poll {
		return nil
	}
	h["X-Accel-Buffering"] = unbuffered
	return x.put(w, x.carrier.prelude(x.callback))
}

// move writes frames until there are none, or the response has to end. The
// receiver is detached before the last bytes can be seen: a client polls again
// the moment it has them.
func (x *response) move(w http.ResponseWriter) error {
	b := wires.Get().(*[]byte)
	defer freeWire(b)
	for !x.done {
		f, err := x.session.Next(x, (*b)[:0])
		*b = f
		if len(f) == 0 {
			return nil
		}
		x.size += len(f) + 1
		if err != nil || x.carrier.poll || x.size >= x.endpoint.options.ResponseLimit {
			x.done = true
			x.session.Detach(x, nil)
		}
		if err := x.write(w, f); err != nil {
			return err
		}
	}
	return nil
}

// write wraps a frame and writes it.
func (x *response) write(w http.ResponseWriter, f []byte) error {
	b := wires.Get().(*[]byte)
	defer freeWire(b)
	*b = x.carrier.wrap(*b, f, x.callback)
	if x.carrier.poll {
		w.Header().Set("Content-Length", strconv.Itoa(len(*b)))
	}
	return x.put(w, *b)
}

// put writes bytes, which the client must take within the write timeout.
func (x *response) put(w http.ResponseWriter, p []byte) error {
	rc := http.NewResponseController(w)
	rc.SetWriteDeadline(time.Now().Add(x.endpoint.options.WriteTimeout))
	if _, err := w.Write(p); err != nil {
		return err
	}
	return rc.Flush()
}

// endWrites takes the write deadline off a connection that other handlers will
// use, unless their server sets its own for each request.
func endWrites(w http.ResponseWriter, r *http.Request) {
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.WriteTimeout > 0 {
		return
	}
	http.NewResponseController(w).SetWriteDeadline(time.Time{})
}
