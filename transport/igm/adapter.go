package igm

import (
	"bytes"
	"context"
	"errors"
	"net"
	"unicode/utf8"

	"github.com/igm/sockjs-go/v3/sockjs"

	"switchback/session"
)

// An adapter is a session.Session over one of igm's. igm calls the endpoint on
// a goroutine of the session's own, which drives the handler in run.
type adapter struct {
	name         string
	key          string // the URL's session id, or empty: a WebSocket
	peer         session.Peer
	handler      session.Handler
	messageLimit int
	draining     context.Context // of the endpoint
	ctx          context.Context // its cause is the session's end
	cancel       context.CancelCauseFunc

	claimed bool           // engine is set; guarded by the registry's mu
	engine  sockjs.Session // set once, before run
}

var _ session.Session = (*adapter)(nil)

func (a *adapter) ID() string               { return a.name }
func (a *adapter) Peer() *session.Peer      { return &a.peer }
func (a *adapter) Context() context.Context { return a.ctx }

// Queued is 0: igm does not tell.
func (a *adapter) Queued() int { return 0 }

// Send writes to the receiver, if there is one, and may wait for it.
func (a *adapter) Send(text []byte) error {
	if a.raw() { // elsewhere encoding/json does it
		text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	err := a.engine.Send(string(text))
	var failed net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed) && failed.Timeout():
		_ = a.close(&session.CloseError{Code: session.CodeTryLater, Reason: "Client is too slow", Err: session.ErrSlow})
		return session.ErrSlow
	}
	return session.ErrClosed // or about to be: the receiver broke
}

func (a *adapter) SendPrepared(m *session.Prepared) error {
	if m.Binary() {
		return session.ErrText
	}
	return a.Send(m.Text())
}

// SendBinary does nothing: igm knows texts only.
func (a *adapter) SendBinary([]byte) error {
	if a.ctx.Err() != nil {
		return session.ErrClosed
	}
	return session.ErrText
}

func (a *adapter) Close(code int, reason string) error {
	if !session.ValidCode(code) {
		return session.ErrCode
	}
	return a.close(session.Ending(&session.CloseError{Code: code, Reason: reason}))
}

// close settles the end, unless it is settled, and tells the client.
func (a *adapter) close(end *session.CloseError) error {
	if !a.settle(end) || a.engine.Close(uint32(end.Code), end.Reason) != nil {
		return session.ErrClosed
	}
	return nil
}

// settle makes end the session's, and tells whether it is: the first stands.
func (a *adapter) settle(end *session.CloseError) bool {
	a.cancel(end)
	return context.Cause(a.ctx) == error(end)
}

// gone settles the end of a session that igm has closed by itself.
func (a *adapter) gone() {
	a.settle(&session.CloseError{Code: session.CodeAbnormal, Reason: "Client went away"})
}

func (a *adapter) raw() bool { return a.peer.Transport == rawWebSocket }

// run calls the handler from OnOpen to OnClose. It returns what OnClose was
// given, or its panic.
func (a *adapter) run() error {
	stop := context.AfterFunc(a.engine.Context(), a.gone)
	defer stop()
	err := a.onOpen()
	for err == nil {
		err = a.next()
	}
	_ = a.close(session.Ending(err)) // or it has closed already
	end := context.Cause(a.ctx)
	if err := a.onClose(end); err != nil {
		return err
	}
	return end
}

// next waits for the session's next event and calls the handler for it. It
// returns the error that ends the session.
func (a *adapter) next() error {
	text, err := a.engine.RecvCtx(a.draining)
	switch {
	case a.ctx.Err() != nil:
		return context.Cause(a.ctx)
	case err != nil && a.draining.Err() != nil && a.engine.Context().Err() == nil:
		return a.onDrain()
	case err != nil:
		a.gone()
		return context.Cause(a.ctx)
	case len(text) > a.messageLimit:
		return &session.CloseError{Code: session.CodeTooBig, Reason: "Message is too big"}
	case a.raw() && !utf8.ValidString(text):
		return &session.CloseError{Code: session.CodeInvalid, Reason: "Message is not UTF-8"}
	}
	return a.onMessage(text)
}

func (a *adapter) onOpen() (err error) {
	defer session.Recovered(&err)
	return a.handler.OnOpen(a)
}

func (a *adapter) onMessage(text string) (err error) {
	defer session.Recovered(&err)
	return a.handler.OnMessage(a, []byte(text))
}

func (a *adapter) onDrain() (err error) {
	defer session.Recovered(&err)
	if d, ok := a.handler.(session.Drainer); ok {
		d.OnDrain(a)
	}
	return goingAway()
}

func (a *adapter) onClose(end error) (err error) {
	defer session.Recovered(&err)
	a.handler.OnClose(a, end)
	return nil
}

func goingAway() *session.CloseError {
	return &session.CloseError{Code: session.CodeGoingAway, Reason: "Server is going away"}
}
