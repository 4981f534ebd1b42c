package client

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"switchback/session/frame"
)

// A socket is a WebSocket: one with SockJS frames, or a raw one. It has no
// goroutine, and of buffers only what the WebSocket reads ahead.
type socket struct {
	ws  *websocket.Conn
	raw bool
	o   *Options

	received *[]byte // what next returned last, or nil

	mu sync.Mutex // held by who sends
}

func openWebSocket(ctx context.Context, d *dialer) (transport, error) {
	ws, err := dialWebSocket(ctx, &d.o, d.sessionURL().JoinPath("websocket"), nil)
	if err != nil {
		return nil, err
	}
	return newSocket(ws, &d.o), nil
}

func openRawWebSocket(ctx context.Context, d *dialer) (transport, error) {
	ws, err := dialWebSocket(ctx, &d.o, d.base.JoinPath("websocket"), d.o.Subprotocols)
	if err != nil {
		return nil, err
	}
	s := newSocket(ws, &d.o)
	s.raw = true
	pong := ws.PingHandler()
	ws.SetPingHandler(func(text string) error {
		s.o.Heartbeat()
		return pong(text)
	})
	return s, nil
}

func newSocket(ws *websocket.Conn, o *Options) *socket {
	ws.SetReadLimit(int64(o.FrameLimit))
	return &socket{ws: ws, o: o}
}

// next reads one message.
func (s *socket) next() (kind, []byte, error) {
	giveBack(s.received)
	s.received = nil
	opcode, r, err := s.ws.NextReader() // waits here, without a buffer of ours
	if err != nil {
		return 0, nil, socketError(err)
	}
	s.received = borrow()
	if err := readAll(s.received, r); err != nil {
		return 0, nil, socketError(err)
	}
	return s.classify(opcode, *s.received)
}

// classify tells what a message is, and refuses what it may not be (RFC 6455,
// section 5.6).
func (s *socket) classify(opcode int, p []byte) (kind, []byte, error) {
	switch {
	case opcode == websocket.BinaryMessage && s.raw:
		return binaryKind, p, nil
	case opcode == websocket.BinaryMessage:
		return 0, nil, s.refuse(codeUnsupported, "Binary message")
	case !utf8.Valid(p):
		return 0, nil, s.refuse(codeInvalid, "Text is not UTF-8")
	case s.raw:
		return textKind, p, nil
	}
	return frameKind, p, nil
}

func (s *socket) refuse(code int, reason string) *CloseError {
	s.close(code, reason)
	return &CloseError{Code: code, Reason: reason}
}

// readAll reads r to its end into a buffer.
func readAll(b *[]byte, r io.Reader) error {
	for {
		if len(*b) == cap(*b) {
			*b = slices.Grow(*b, cap(*b))
		}
		n, err := r.Read((*b)[len(*b):cap(*b)])
		*b = (*b)[:len(*b)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// send sends a text: on SockJS as an array of one string, as sockjs-client
// does; on a raw WebSocket as it is, with U+FFFD for what is not UTF-8.
func (s *socket) send(text []byte) error {
	if s.raw {
		return s.write(websocket.TextMessage, frame.ValidText(text))
	}
	b := borrow()
	defer giveBack(b)
	*b = append(frame.AppendQuoted(append(*b, '['), text), ']')
	return s.write(websocket.TextMessage, *b)
}

func (s *socket) sendBinary(data []byte) error { return s.write(websocket.BinaryMessage, data) }

// write writes one message. An error does not end the session: it ends with
// what can be read yet, which may be the server's reason. But a server that
// does not read will not be written to again.
func (s *socket) write(opcode int, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ws.SetWriteDeadline(time.Now().Add(s.o.SendTimeout))
	err := s.ws.WriteMessage(opcode, p)
	if err == nil {
		return nil
	}
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		s.abort()
	}
	return &CloseError{Code: codeAbnormal, Reason: "Sending error", Err: err}
}

// close sends a close frame. From now on the server has CloseTimeout for its
// own.
func (s *socket) close(code int, reason string) {
	deadline := time.Now().Add(s.o.CloseTimeout)
	s.ws.SetReadDeadline(deadline)
	s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), deadline)
}

func (s *socket) abort() { s.ws.Close() }

// socketError is the end of a session by what ended the reading of its
// WebSocket: the code and the reason of a close frame, if there was one.
func socketError(err error) *CloseError {
	var e *websocket.CloseError
	switch {
	case errors.As(err, &e) && e.Code != codeAbnormal:
		return &CloseError{Code: e.Code, Reason: e.Text}
	case errors.Is(err, websocket.ErrReadLimit):
		return tooBig()
	}
	return &CloseError{Code: codeAbnormal, Reason: "Connection lost", Err: err}
}
