package session

import (
	"errors"
	"fmt"

	"switchback/session/memory"
)

var (
	// ErrClosed is returned by all that needs an open session: it is closing or closed.
	ErrClosed = errors.New("session: closed")

	// ErrSlow is returned by the Send that closes a session because its client has
	// left too much unread. It is the Err of the session's CloseError, too.
	ErrSlow = errors.New("session: client does not read")

	// ErrMemory is returned by Send and SendBinary, which then do nothing, where the
	// process holds as much for its clients as it may: see package memory. A handler
	// that returns it ends its session with 1013.
	ErrMemory = memory.ErrFull

	// ErrText is returned by SendBinary where the transport carries text only: see
	// Peer.Binary. Nothing is sent then.
	ErrText = errors.New("session: transport carries text only")

	// ErrCode is returned by Close for a code that may not be sent: see ValidCode. The
	// session stays open.
	ErrCode = errors.New("session: close code may not be sent")

	// ErrGone is the Err of the CloseError of a session that had no receiver for the
	// disconnect delay.
	ErrGone = errors.New("session: no receiver within the disconnect delay")

	// ErrStuck is the Err of the CloseError of a session whose handler was busy for
	// InboxTimeout while its inbox was full.
	ErrStuck = errors.New("session: handler is too slow")

	// ErrFast is the Err of the CloseError of a session whose client has sent more than
	// MessageRate, ByteRate or PublishRate allows.
	ErrFast = errors.New("session: client sends too much")

	// ErrAttached is returned to a transport that brings a second receiver.
	ErrAttached = errors.New("session: another receiver is attached")

	// ErrBusy is returned to a transport that brings messages while many calls of
	// Receive wait for room.
	ErrBusy = errors.New("session: too many messages wait for the handler")
)

// Close codes of RFC 6455, section 7.4.1, and of SockJS.
const (
	CodeNormal      = 1000
	CodeGoingAway   = 1001
	CodeInterrupted = 1002 // SockJS: "Connection interrupted"
	CodeUnsupported = 1003
	CodeAbnormal    = 1006 // never sent: the connection ended without a close frame
	CodeInvalid     = 1007
	CodePolicy      = 1008 // a rule of the server's is broken
	CodeTooBig      = 1009
	CodeInternal    = 1011
	CodeTryLater    = 1013
	CodeAttached    = 2010 // SockJS: "Another connection still open"; never sent by Close
	CodeGoAway      = 3000 // SockJS: "Go away!"
)

// A CloseError is the end of a session. A handler ends a session by returning
// one; OnClose gets one, whoever ended it.
type CloseError struct {
	Code   int
	Reason string // what the client is told
	Err    error  // why, for the log; or nil
}

func (e *CloseError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("session: closed: %d %s: %v", e.Code, e.Reason, e.Err)
	}
	return fmt.Sprintf("session: closed: %d %s", e.Code, e.Reason)
}

func (e *CloseError) Unwrap() error { return e.Err }

// A PanicError is a handler's panic. Those of OnOpen and OnMessage are the Err of the
// CloseError that OnClose gets.
type PanicError struct {
	Value any    // what panic was called with
	Stack []byte // of the goroutine, as debug.Stack returns it
}

func (e *PanicError) Error() string { return fmt.Sprintf("session: handler panicked: %v", e.Value) }

// A RefusedError is an Opener's or a limit's answer to a client that may not
// have a session.
type RefusedError struct {
	Status int    // of the HTTP answer
	Reason string // what the client is told
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("session: refused: %d %s", e.Status, e.Reason)
}

// ValidCode tells whether Close takes code: what an endpoint may put in a close
// frame (RFC 6455, sections 7.4.1 and 7.4.2).
func ValidCode(code int) bool {
	switch {
	case code == 1004, code == 1005, code == 1006:
		return false
	case code >= 1000 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}
