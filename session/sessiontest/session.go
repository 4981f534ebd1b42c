// Package sessiontest helps to test handlers without a server, as net/http/httptest
// does.
//
// A [Session] keeps what it is sent. The test has the part of the server: it calls
// OnOpen, OnMessage and OnClose itself, one after the other, and looks at what they
// return and at what the Session has.
//
// A handler that waits or has timers is tested in virtual time, in a bubble of
// testing/synctest: a Session that is made in the bubble belongs to it, has no timer
// and starts no goroutine. The sessions of a session.Registry that is made there belong
// to it, too: their heartbeats and delays take no time.
//
// Unlike a session of the server's, a Session is never slow: nothing is left unread. It
// keeps text that is not UTF-8 as it is.
package sessiontest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"switchback/session"
)

// A Session is a session.Session whose client takes everything at once, and says
// nothing. Its methods may be called from any goroutine.
type Session struct {
	id     string
	peer   session.Peer
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu       sync.Mutex // guards the rest
	end      *session.CloseError
	texts    []string
	binaries []string
}

var _ session.Session = (*Session)(nil)

// number is the last session's.
var number atomic.Uint64

// New returns an open session of a client, with an ID of its own. It takes binary
// messages if peer.Binary is true.
func New(peer session.Peer) *Session {
	s := &Session{id: "test-" + strconv.FormatUint(number.Add(1), 10), peer: peer}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

func (s *Session) ID() string               { return s.id }
func (s *Session) Peer() *session.Peer      { return &s.peer }
func (s *Session) Context() context.Context { return s.ctx }

// Queued is 0.
func (s *Session) Queued() int { return 0 }

// Send keeps text as it is, for Texts.
func (s *Session) Send(text []byte) error { return s.keep(&s.texts, text) }

// SendPrepared keeps the message, for Texts or Binaries.
func (s *Session) SendPrepared(m *session.Prepared) error {
	if m.Binary() {
		return s.SendBinary(m.Text())
	}
	return s.keep(&s.texts, m.Text())
}

// SendBinary keeps data, for Binaries.
func (s *Session) SendBinary(data []byte) error {
	if !s.peer.Binary && s.End() == nil {
		return session.ErrText
	}
	return s.keep(&s.binaries, data)
}

func (s *Session) keep(list *[]string, message []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return session.ErrClosed
	}
	*list = append(*list, string(message))
	return nil
}

// Close ends the session. It does not call OnClose, which is for the test to do.
func (s *Session) Close(code int, reason string) error {
	if !session.ValidCode(code) {
		return session.ErrCode
	}
	return s.close(session.Ending(&session.CloseError{Code: code, Reason: reason}))
}

// Leave ends the session as the server does when its client has gone, and returns the
// end, for OnClose.
func (s *Session) Leave() *session.CloseError {
	s.close(&session.CloseError{Code: session.CodeAbnormal, Reason: "Client went away", Err: session.ErrGone})
	return s.End()
}

// Fail ends the session as the server does when a method of its handler has returned
// err, and returns the end, for OnClose.
func (s *Session) Fail(err error) *session.CloseError {
	s.close(session.Ending(err))
	return s.End()
}

func (s *Session) close(end *session.CloseError) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return session.ErrClosed
	}
	s.end = end
	s.cancel(end)
	return nil
}

// End is why the session has ended, or nil while it is open.
func (s *Session) End() *session.CloseError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// Texts are the texts that have been sent so far, in order.
func (s *Session) Texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.texts)
}

// Binaries are the binary messages that have been sent so far, in order.
func (s *Session) Binaries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.binaries)
}
