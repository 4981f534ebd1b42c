package transport

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"switchback/session"
	"switchback/session/memory"
)

// A served is a response that its request's goroutine writes, which alone waits for
// its client.
type served struct {
	*response
	w       http.ResponseWriter
	request *http.Request
	woken   chan struct{} // holds one: there is something to write
	limited bool          // the connection has a write deadline
}

// serve carries frames until the response ends. The caller has the pump.
func (x *response) serve(w http.ResponseWriter, r *http.Request) {
	x.served = &served{response: x, w: w, request: r, woken: make(chan struct{}, 1)}
	if err := x.served.carry(); err != nil {
		x.session.Detach(x, err)
	}
	x.served.end()
}

// carry writes frames until the response or its request ends.
func (v *served) carry() error {
	if err := v.begin(); err != nil {
		return err
	}
	for {
		var err error
		v.loop(func() {
			if err == nil {
				err = v.move()
			}
		})
		if err != nil || v.done {
			return err
		}
		select {
		case <-v.woken:
		case <-v.request.Context().Done():
			return context.Cause(v.request.Context())
		}
	}
}

// begin writes the prelude of a stream.
func (v *served) begin() error {
	if v.carrier.poll {
		return nil
	}
	return v.put(&memory.Pieces{Bytes: v.carrier.prelude(v.callback)})
}

// move writes frames until there are none, or the response has to end.
func (v *served) move() error {
	b := wires.Get().(*memory.Pieces)
	defer freeWire(b)
	for more := true; more && !v.done; {
		f := v.next(b)
		more = f.More
		if f.Kind == session.NoFrame {
			return nil
		}
		if err := v.write(b); err != nil {
			return err
		}
	}
	v.taken()
	return nil
}

// write wraps a frame, which is used up, and writes it.
func (v *served) write(frame *memory.Pieces) error {
	b := wires.Get().(*memory.Pieces)
	defer freeWire(b)
	v.carrier.wrap(b, frame, v.callback)
	if v.carrier.poll {
		v.w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	}
	return v.put(b)
}

// errHoards is why a session closes for which alone much is held while publishers wait.
var errHoards = &session.CloseError{Code: session.CodeTryLater, Reason: "Client is too slow", Err: session.ErrSlow}

// fits is what any socket's buffer takes at once when it is empty, as it is when
// a client asks for its next answer.
const fits = 8 << 10

// pieceSize is what a client must take within the write timeout.
const pieceSize = 64 << 10

// put writes bytes, each piece of which the client must take in time. While it does
// they are counted as held.
func (v *served) put(p *memory.Pieces) error {
	rc := http.NewResponseController(v.w)
	if p.Len() > fits {
		own := p.Own()
		memory.Add(own)
		defer memory.Add(-own)
	}
	v.limited = v.limited || !v.carrier.poll || p.Len() > fits
	for piece := range p.Chunks(pieceSize) {
		if memory.Pressed() && p.Alone() > memory.Alone {
			return errHoards
		}
		if v.limited {
			rc.SetWriteDeadline(time.Now().Add(v.service.options.WriteTimeout))
		}
		if _, err := v.w.Write(piece); err != nil {
			return err
		}
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

// end takes the write deadline off a connection that other handlers will use, unless
// their server sets its own for each request.
func (v *served) end() {
	if s, ok := v.request.Context().Value(http.ServerContextKey).(*http.Server); !v.limited || ok && s.WriteTimeout > 0 {
		return
	}
	http.NewResponseController(v.w).SetWriteDeadline(time.Time{})
}
