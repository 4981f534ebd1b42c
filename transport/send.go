package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"switchback/session"
	"switchback/session/frame"
	"switchback/session/memory"
	"switchback/transport/internal/http1"
)

// xhrSend takes messages for a session (sockjs-protocol, XhrPolling).
func (e *Endpoint) xhrSend(w http.ResponseWriter, r *http.Request, key string) {
	e.send(w, r, key, func(body []byte) []byte { return body }, func() {
		w.Header()["Content-Type"] = plainText
		e.answerSend(w, r)
	})
}

// smallBody is what fits into a netpoll.Buffer with its request's headers.
const smallBody = 2 << 10

// answerSend answers a request whose messages are taken. Its connection is
// parked until the next one, where it can be: a client keeps one for what it
// sends, and net/http would keep a goroutine and two buffers for it. A client of
// large messages would be read by net/http again.
func (e *Endpoint) answerSend(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength >= 0 && r.ContentLength <= smallBody {
		b := wires.Get().(*memory.Pieces)
		defer freeWire(b)
		if taken, head, err := e.taker.Hijack(b.Bytes, w, r, http.StatusNoContent); err == nil {
			taken.Conn.SetWriteTimeout(e.options.WriteTimeout)
			b.Bytes = append(http1.AppendDate(head), "\r\n"...)
			taken.Finish(b)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// jsonpSend takes messages for a session, as a form's field d or as they are
// (sockjs-protocol, JsonPolling).
func (e *Endpoint) jsonpSend(w http.ResponseWriter, r *http.Request, key string) {
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	payload := func(body []byte) []byte {
		if !form {
			return body
		}
		return []byte(formValue(string(body), "d"))
	}
	e.send(w, r, key, payload, func() {
		w.Header()["Content-Type"] = plainText
		w.Write([]byte("ok"))
	})
}

// formValue returns the first value of a name in an encoded form, without
// decoding the rest of it; or nothing where there is none that can be decoded.
func formValue(form, name string) string {
	for pair := range strings.SplitSeq(form, "&") {
		if value, found := strings.CutPrefix(pair, name+"="); found {
			value, _ = url.QueryUnescape(value)
			return value
		}
	}
	return ""
}

// send reads a body, has the session receive its messages, all or none, and
// then answers. An unknown session is told so before the body is read.
func (e *Endpoint) send(w http.ResponseWriter, r *http.Request, key string, payload func([]byte) []byte, answer func()) {
	s := e.registry.Find(key)
	if s == nil || s.Closing() || !s.Belongs(r) {
		unread(w, r)
		notFound(w)
		return
	}
	b := newBody()
	defer b.free()
	if err := e.readBody(w, r, b); err != nil {
		e.refuseBody(w, r, err)
		return
	}
	messages, err := frame.Decode(payload(b.bytes), e.options.BatchLimit)
	if err == nil {
		err = e.checkSizes(messages)
	}
	if err == nil {
		err = b.messages(len(messages))
	}
	if err != nil {
		e.refuseBody(w, r, err)
		return
	}
	switch err := e.receive(r.Context(), s, messages); {
	case errors.Is(err, session.ErrClosed):
		notFound(w)
	case errors.Is(err, session.ErrBusy):
		e.stats.Busy.Add(1)
		refuse(w, http.StatusServiceUnavailable, "Too many messages wait.")
	case err != nil: // the client has gone
	default:
		answer()
	}
}

// receive brings messages to a session. The first frame that the handler then
// sends to a parked response is written by this goroutine.
func (e *Endpoint) receive(ctx context.Context, s *session.Local, messages [][]byte) error {
	if x, ok := s.Receiver().(*response); ok {
		x.direct.Store(true)
		defer x.direct.Store(false)
	}
	return s.Receive(ctx, messages...)
}

var errTooLarge = errors.New("transport: message is too large")

func (v *service) checkSizes(messages [][]byte) error {
	for _, m := range messages {
		if len(m) > v.options.MessageLimit {
			return errTooLarge
		}
	}
	return nil
}

// readBody reads a body of at most BodyLimit bytes, at its pace.
func (e *Endpoint) readBody(w http.ResponseWriter, r *http.Request, b *body) error {
	limit := int64(e.options.BodyLimit)
	if r.ContentLength > limit {
		hangUp(w, r) // rather than read what is coming
		return errTooLarge
	}
	body, err := e.paced(w, r, limit)
	if err != nil {
		return err
	}
	defer body.end()
	return b.readFrom(body, r.ContentLength)
}

// refuseBody answers a body that is not taken.
func (e *Endpoint) refuseBody(w http.ResponseWriter, r *http.Request, err error) {
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over), errors.Is(err, errTooLarge), errors.Is(err, frame.ErrMany):
		e.stats.TooLarge.Add(1)
		refuse(w, http.StatusRequestEntityTooLarge, "Payload is too large.")
	case errors.Is(err, frame.ErrEmpty):
		e.stats.Broken.Add(1)
		refuse(w, http.StatusInternalServerError, "Payload expected.")
	case errors.Is(err, frame.ErrStrings):
		e.stats.Broken.Add(1)
		refuse(w, http.StatusInternalServerError, "Payload must be an array of strings.")
	case errors.Is(err, frame.ErrSyntax):
		e.stats.Broken.Add(1)
		refuse(w, http.StatusInternalServerError, "Broken JSON encoding.")
	case errors.Is(err, outOfMemory):
		e.stats.Full.Add(1)
		hangUp(w, r) // rather than read what is coming
		refuse(w, http.StatusServiceUnavailable, "Server is out of memory.")
	default: // a body that did not come whole, or in time
		e.stats.Late.Add(1)
		hangUp(w, r)
		refuse(w, http.StatusRequestTimeout, "Body is incomplete.")
	}
}

// discardLimit is what is read of a body that nobody wants, before the
// connection is given up instead.
const discardLimit = 4 << 10

// discardBody reads the body of a request that should have none: only then
// does net/http watch whether the client goes away.
func (e *Endpoint) discardBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	body, err := e.paced(w, r, discardLimit)
	if err != nil {
		return err
	}
	defer body.end()
	_, err = io.Copy(io.Discard, body)
	return err
}
