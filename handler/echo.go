package handler

import (
	"strconv"

	"switchback/session"
)

// Echo answers every message with itself.
type Echo struct{ session.Nop }

func (Echo) OnMessage(s session.Session, text []byte) error { return s.Send(text) }
func (Echo) OnBinary(s session.Session, data []byte) error  { return s.SendBinary(data) }

// Close closes every session as soon as it is open.
type Close struct {
	session.Nop
	Code   int    // the default is 3000
	Reason string // the default is "Go away!"
}

// OnOpen ends the session.
func (c Close) OnOpen(session.Session) error {
	if c.Code == 0 {
		c.Code, c.Reason = session.CodeGoAway, "Go away!"
	}
	return &session.CloseError{Code: c.Code, Reason: c.Reason}
}

// Amplify answers the message n, a number from 1 to 18, with 2^n times x: a
// small request for a large answer. Anything else closes the session with 1007.
type Amplify struct{ session.Nop }

const maxAmplify = 18

func (Amplify) OnMessage(s session.Session, text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxAmplify {
		return &session.CloseError{Code: session.CodeInvalid, Reason: "Send a number from 1 to 18"}
	}
	return s.Send(exes[:1<<n])
}

var exes = func() []byte {
	b := make([]byte, 1<<maxAmplify)
	for i := range b {
		b[i] = 'x'
	}
	return b
}()
