package session

import (
	"errors"
	"fmt"
)

var (
	ErrClosed   = errors.New("session: closed")
	ErrAttached = errors.New("session: another receiver is attached")
	ErrSlow     = errors.New("session: client does not read")
	ErrText     = errors.New("session: transport carries text only")
	ErrBusy     = errors.New("session: too many messages wait for the handler")
	ErrCode     = errors.New("session: close code may not be sent")

	// Why a session closed by itself: each is in a CloseError's Err.
	ErrGone  = errors.New("session: no receiver within the disconnect delay")
	ErrStuck = errors.New("session: handler is too slow")
)

// Close codes of RFC 6455, section 7.4.1, and of SockJS.
const (
	CodeNormal      = 1000
	CodeGoingAway   = 1001
	CodeInterrupted = 1002 // SockJS: "Connection interrupted"
	CodeUnsupported = 1003
	CodeAbnormal    = 1006 // never sent: the connection ended without a close frame
	CodeInvalid     = 1007
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

// A PanicError is a handler's panic.
type PanicError struct {
	Value any
	Stack []byte
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
