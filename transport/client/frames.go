package client

import (
	"encoding/json"
	"errors"
	"fmt"

	"switchback/session/frame"
)

var (
	errFrameLimit = errors.New("frame is over FrameLimit")
	errUnknown    = errors.New("unknown frame")
	errEarly      = errors.New("message before the open frame")
)

// accept takes what t.next returned. The reading lock is held. An error is the
// end of the session.
func (c *Conn) accept(kind kind, p []byte) error {
	if kind == frameKind {
		return c.acceptFrame(p)
	}
	c.queue, c.binary = [][]byte{p}, kind == binaryKind
	return nil
}

// acceptFrame takes a frame. What only begins as a heartbeat does is the prelude
// of a stream.
func (c *Conn) acceptFrame(p []byte) error {
	switch {
	case string(p) == frame.Heartbeat:
		c.o.Heartbeat()
		return nil
	case len(p) == 0, p[0] == 'h':
		return nil
	case string(p) == frame.Open:
		return c.acceptOpen()
	case p[0] == 'a':
		return c.acceptMessages(p[1:])
	case p[0] == 'c':
		return c.acceptClose(p[1:])
	}
	return broken(errUnknown)
}

// acceptOpen takes an open frame. A second one means that the server has
// forgotten the session, and taken the client for a new one (sockjs-client,
// _open).
func (c *Conn) acceptOpen() error {
	if c.opened {
		return &CloseError{Code: codeAbnormal, Reason: "Server lost session"}
	}
	c.opened = true
	return nil
}

// acceptMessages takes the array of a message frame. A frame that fits in
// FrameLimit holds no more messages than it has bytes.
func (c *Conn) acceptMessages(p []byte) error {
	if !c.opened {
		return broken(errEarly)
	}
	messages, err := frame.Decode(p, c.o.FrameLimit)
	if err != nil {
		return broken(err)
	}
	c.queue = messages
	return nil
}

// acceptClose takes the array of a close frame: a code and a reason.
func (c *Conn) acceptClose(p []byte) error {
	e := new(CloseError)
	var parts []json.RawMessage
	err := json.Unmarshal(p, &parts)
	if err == nil && len(parts) != 2 {
		err = fmt.Errorf("close frame of %d parts", len(parts))
	}
	if err == nil {
		err = json.Unmarshal(parts[0], &e.Code)
	}
	if err == nil {
		err = json.Unmarshal(parts[1], &e.Reason)
	}
	if err != nil {
		return broken(err)
	}
	c.refusal = true
	return e
}

// broken is the end of a session whose server sends what is no frame. To go on
// would be to lose messages without a word.
func broken(err error) *CloseError {
	return &CloseError{Code: codeAbnormal, Reason: "Broken frame", Err: err}
}

func tooBig() *CloseError {
	return &CloseError{Code: codeTooBig, Reason: "Frame too big", Err: errFrameLimit}
}

// closeError returns err as the end of a session.
func closeError(err error) *CloseError {
	var e *CloseError
	if errors.As(err, &e) {
		return e
	}
	return &CloseError{Code: codeAbnormal, Reason: "Connection lost", Err: err}
}
