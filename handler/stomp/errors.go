package stomp

import (
	"errors"
	"fmt"
	"sync/atomic"

	"switchback/handler/history"
	"switchback/handler/stomp/frame"
	"switchback/session"
)

var (
	// ErrDestination is the error for a destination that nobody could subscribe to: it
	// begins with no prefix of Topics, Queues or UserPrefix.
	ErrDestination = errors.New("stomp: destination belongs to no topic, queue or user")

	// ErrQueueFull is the error for a message that a queue does not take: see
	// Options.QueueCountLimit, QueueLimit and QueueByteLimit.
	ErrQueueFull = errors.New("stomp: queue is full")

	// ErrMemory is the error for what is not done because the process holds as much for
	// its clients as it may: see package session/memory.
	ErrMemory = session.ErrMemory
)

// An OptionError is what is wrong with an option.
type OptionError struct {
	Option string // its name in Options
	Index  int    // in a list; otherwise -1
	Value  string // what it is
	Want   string // what it must do: "begin with /"
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("stomp: %s is %q; it must %s", e.Name(), e.Value, e.Want)
}

// Name names the option, or the item of a list: "Topics[0]".
func (e *OptionError) Name() string {
	if e.Index < 0 {
		return e.Option
	}
	return fmt.Sprintf("%s[%d]", e.Option, e.Index)
}

// CodeUnreliable closes a session that has not sent CONNECT within
// ConnectTimeout: Spring's SESSION_NOT_RELIABLE.
const CodeUnreliable = 4500

// An Error ends a client's session: it is told in an ERROR frame, and the session
// is closed with 1002. Options.Login and Options.Authorize return one to say what
// the client is told. Functions of [Broker.Handle] end no session: what they
// return is for [Broker.HandleError].
type Error struct {
	Message string // the header; a short text
	Body    string // more of it, or empty
	Err     error  // why, for the log; or nil

	headers frame.Headers // beyond message
	counter *atomic.Int64 // of the limit that was met; or nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("stomp: %s: %v", e.Message, e.Err)
	}
	return "stomp: " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// notAccepted is what a client is told when a hook refuses without an Error of
// its own: the text that front-ends know from Spring.
const notAccepted = "Failed to send message to ExecutorSubscribableChannel[clientInboundChannel]"

// told returns what the client is told of an error.
func told(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Message: notAccepted, Err: err}
}

// refuse ends the session for an error of the frame f, which may be nil. From
// then on it gets no message: nothing follows ERROR.
func (c *conn) refuse(err error, f *frame.Frame) error {
	if c.enter(ended) == ended {
		return nil // it is being closed
	}
	e := told(err)
	c.broker.stats.Errors.Add(1)
	if e.counter != nil {
		e.counter.Add(1)
	}
	c.logRefusal(e, f)
	c.sendError(e, f)
	code := session.CodeInterrupted
	if errors.Is(e.Err, ErrMemory) || isHistory(e.Err) && !errors.Is(e.Err, history.ErrName) {
		code = session.CodeTryLater
	}
	return &session.CloseError{Code: code, Err: e.logged()}
}

// sendError sends an ERROR frame.
func (c *conn) sendError(e *Error, f *frame.Frame) {
	h := frame.Headers{{Name: "message", Value: e.Message}}
	if f != nil {
		if receipt, ok := f.Headers.Lookup("receipt"); ok && receipt != "" {
			h = append(h, frame.Header{Name: "receipt-id", Value: receipt})
		}
	}
	h = append(h, e.headers...)
	if e.Body != "" {
		h = append(h, frame.Header{Name: "content-type", Value: "text/plain"})
	}
	c.send(frame.Error, h, []byte(e.Body))
}

// broken is the Error for what the decoder cannot take.
func (c *conn) broken(err error) error {
	var d *frame.DecodeError
	if !errors.As(err, &d) {
		return err
	}
	e := &Error{Message: d.Message, Err: d.Err, counter: &c.broker.stats.Broken}
	if errors.Is(err, frame.ErrLimit) {
		e.counter = &c.broker.stats.FrameLimit
	}
	return e
}

// drop leaves a frame without effect, as Spring does with what it has no use
// for. A strict broker refuses it.
func (c *conn) drop(f *frame.Frame, reason string) error {
	c.broker.stats.Dropped.Add(1)
	if c.broker.options.Strict {
		return &Error{Message: reason}
	}
	c.logDropped(f, reason)
	return nil
}
