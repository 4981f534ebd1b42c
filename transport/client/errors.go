package client

import (
	"errors"
	"fmt"
)

var (
	// ErrText is returned by SendBinary where the transport carries text only. Nothing is
	// sent then.
	ErrText = errors.New("client: transport carries text only")

	// ErrClose is returned by CloseWith for what may not be sent. The session stays open.
	ErrClose = errors.New("client: close code or reason may not be sent")
)

// Codes with which sessions end that no close frame ended: those of RFC 6455,
// section 7.4.1, and of sockjs-client.
const (
	codeNormal      = 1000
	codeNoServer    = 1002 // sockjs-client: /info could not be had
	codeUnsupported = 1003
	codeAbnormal    = 1006
	codeInvalid     = 1007
	codeTooBig      = 1009
	codeAllFailed   = 2000 // sockjs-client: no transport could be opened
)

// A CloseError is the end of a session, or why there is none.
type CloseError struct {
	// Code is the server's where it sent one; 1006 for a session that was
	// lost; from Dial also 2000 when all transports failed, 1002 when /info
	// could not be had, and the status of /info when that was not 200.
	Code   int
	Reason string // of the close frame, or what has happened
	Err    error  // what was behind it, or nil
}

func (e *CloseError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("client: closed: %d %s: %v", e.Code, e.Reason, e.Err)
	}
	return fmt.Sprintf("client: closed: %d %s", e.Code, e.Reason)
}

func (e *CloseError) Unwrap() error { return e.Err }

// userCode tells whether an application may close with code (sockjs-client,
// userSetCode).
func userCode(code int) bool {
	return code == codeNormal || code >= 3000 && code <= 4999
}
