package client

import (
	"context"
	"io"
	"net/http"
	"sync"

	"switchback/session/frame"
)

// textLimit is the number of texts in one request, which servers limit.
const textLimit = 4096

// A sender sends texts in order, one request at a time; what is queued
// meanwhile leaves in the next (sockjs-client, BufferedSender). It has a
// goroutine while it has something to send.
type sender struct {
	post  func(body []byte) error
	limit int // QueueLimit

	mu      sync.Mutex
	changed sync.Cond
	queue   []byte // ["a","b" of what waits, without the closing bracket
	texts   int    // in queue
	busy    bool   // run is running
	err     error  // of post: nothing more is sent
}

func (s *sender) init(post func(body []byte) error, limit int) {
	s.post, s.limit = post, limit
	s.changed.L = &s.mu
}

// send queues a text. It waits while the queue is full.
func (s *sender) send(text []byte) error {
	b := borrow()
	defer giveBack(b)
	*b = frame.AppendQuoted(*b, text)
	return s.add(*b)
}

func (s *sender) add(quoted []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && s.full(len(quoted)) {
		s.changed.Wait()
	}
	if s.err != nil {
		return s.err
	}
	s.queue = append(append(s.queue, separator(s.texts)), quoted...)
	s.texts++
	if !s.busy {
		s.busy = true
		go s.run() // until the queue is empty, or a post fails
	}
	return nil
}

func separator(texts int) byte {
	if texts == 0 {
		return '['
	}
	return ','
}

func (s *sender) full(size int) bool {
	return s.texts > 0 && (s.texts == textLimit || len(s.queue)+size > s.limit)
}

func (s *sender) run() {
	for body := s.take(); body != nil; body = s.take() {
		if err := s.post(body); err != nil {
			s.fail(err)
		}
	}
}

// take returns what is queued, as the body of a request, or nil when run has
// nothing more to do.
func (s *sender) take() (body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	if s.texts == 0 || s.err != nil {
		s.busy = false
		return nil
	}
	body = append(s.queue, ']')
	s.queue, s.texts = nil, 0
	return body
}

func (s *sender) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// flush waits until all that was queued is sent, or cannot be.
func (s *sender) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy {
		s.changed.Wait()
	}
}

// post makes one xhr_send request. One that fails ends the session, and is not
// made again: nobody knows what the server has taken of it.
func (t *httpTransport) post(body []byte) error {
	err := t.xhrSend(body)
	if err == nil {
		return nil
	}
	e := t.lost(&CloseError{Code: codeAbnormal, Reason: "Sending error", Err: err})
	t.cancel(e)
	return e
}

func (t *httpTransport) xhrSend(body []byte) error {
	ctx, cancel := context.WithTimeout(t.ctx, t.o.SendTimeout)
	defer cancel()
	req, err := t.o.request(ctx, http.MethodPost, t.sendURL, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain")
	res, err := t.o.do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return statusError(res.StatusCode)
	}
	io.CopyN(io.Discard, res.Body, 512) // so that the connection can be used again
	return nil
}
