package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// emptyPause comes before the next poll when an answer held no frame at all: a
// server that gives such answers must not be asked as fast as it can answer.
const emptyPause = 100 * time.Millisecond

// An httpTransport receives with streams or polls, which differ in nothing but
// when the server ends the answer, and sends with xhr_send.
type httpTransport struct {
	sender
	o       *Options
	method  string
	pollURL string // of the receiving requests
	sendURL string // of xhr_send
	frames  frameReader

	// ctx is the one of all requests. Its cause is the end of the session,
	// when sending has found that.
	ctx    context.Context
	cancel context.CancelCauseFunc

	// Owned by next.
	body  io.ReadCloser // of the answer that is being read, or nil
	empty bool          // no frame has come in the last answer
}

// A frameReader reads the frames of one answer after the other.
type frameReader interface {
	// start turns to a new answer, or refuses it.
	start(res *http.Response) error

	// next returns the next frame, which is valid, and may be changed, until
	// the next call. An answer that ends between two frames ends with io.EOF.
	next() ([]byte, error)
}

func openHTTP(d *dialer, method, receive string, frames frameReader) *httpTransport {
	session := d.sessionURL()
	t := &httpTransport{
		o:       &d.o,
		method:  method,
		pollURL: session.JoinPath(receive).String(),
		sendURL: session.JoinPath("xhr_send").String(),
		frames:  frames,
	}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	t.sender.init(t.post, d.o.QueueLimit)
	return t
}

// next polls again, at once and at the same URL, when an answer with status 200
// has ended. Any other end is the end of the session (sockjs-client,
// XhrReceiver and Polling).
func (t *httpTransport) next() (kind, []byte, error) {
	for {
		if t.body == nil {
			if err := t.poll(); err != nil {
				return 0, nil, t.lost(err)
			}
		}
		p, err := t.frames.next()
		if err == nil {
			t.empty = false
			return frameKind, p, nil
		}
		t.body.Close()
		t.body = nil
		if err != io.EOF {
			return 0, nil, t.lost(err)
		}
	}
}

// poll makes the request that receives, and waits for the head of its answer.
func (t *httpTransport) poll() error {
	if t.empty {
		if err := t.pause(); err != nil {
			return err
		}
	}
	req, err := t.o.request(t.ctx, t.method, t.pollURL, nil)
	if err != nil {
		return err
	}
	res, err := t.o.do(req)
	if err != nil {
		return err
	}
	if err := t.frames.start(res); err != nil {
		res.Body.Close()
		return err
	}
	t.body, t.empty = res.Body, true
	return nil
}

func (t *httpTransport) pause() error {
	timer := time.NewTimer(emptyPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
}

// lost is the end of a session by what has ended its receiving. When sending
// was first to find the end, it is that.
func (t *httpTransport) lost(err error) *CloseError {
	var e *CloseError
	if errors.As(context.Cause(t.ctx), &e) {
		return e
	}
	return closeError(err)
}

// flush waits until all that was queued is sent, or CloseTimeout has passed.
func (t *httpTransport) flush() {
	timer := time.AfterFunc(t.o.CloseTimeout, t.abort)
	defer timer.Stop()
	t.sender.flush()
}

func (t *httpTransport) close(int, string) { t.abort() }

func (t *httpTransport) abort() { t.cancel(nil) }
