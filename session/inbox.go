package session

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"time"
)

type messageKind uint8

const (
	textMessage messageKind = iota
	binaryMessage
	openEvent  // before all messages
	drainEvent // the server begins to shut down
)

// A message is an event that waits for the handler.
type message struct {
	kind messageKind
	data []byte
}

// messageCost is what a message takes beside its bytes.
const messageCost = 32

// An inbox holds the messages that wait for a busy handler. Its session's lock
// guards it.
type inbox struct {
	messages []message
	size     int           // bytes
	room     chan struct{} // closed when there is room again; nil while nobody waits
}

func (b *inbox) push(m message) {
	b.messages = append(b.messages, m)
	b.size += len(m.data) + messageCost
}

// drop empties the inbox and lets those in who wait for room.
func (b *inbox) drop() {
	b.messages, b.size = nil, 0
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}

// Receive brings messages of the client, in order. Where the handler is not
// busy it is called for them before Receive returns; where it is, they are
// copied and wait for it. While more than InboxLimit bytes wait already, Receive
// waits; after InboxTimeout the session closes. Either all messages are taken
// or none; none with ErrClosed, with ErrBusy where many calls wait already, or
// with the context's error.
func (s *Local) Receive(ctx context.Context, texts ...[]byte) error {
	return s.receive(ctx, textMessage, texts)
}

// ReceiveBinary is Receive for a binary message of a native WebSocket. It closes
// a session whose handler is no BinaryHandler with 1003.
func (s *Local) ReceiveBinary(ctx context.Context, data []byte) error {
	return s.receive(ctx, binaryMessage, [][]byte{data})
}

func (s *Local) receive(ctx context.Context, kind messageKind, data [][]byte) error {
	s.mu.Lock()
	if err := s.awaitRoom(ctx, data); err != nil {
		s.unlock(effects{})
		return err
	}
	if s.busy {
		s.unlock(s.keep(kind, data))
		return nil
	}
	s.busy = true
	s.unlock(effects{})
	for _, d := range data {
		s.deliver(message{kind, d})
	}
	s.run()
	return nil
}

// keep copies messages into the inbox. s.mu is held.
func (s *Local) keep(kind messageKind, data [][]byte) effects {
	if s.inbox == nil {
		s.inbox = new(inbox)
	}
	for _, d := range data {
		s.inbox.push(message{kind, bytes.Clone(d)})
	}
	if s.overMemory() {
		s.registry.stats.memory.Add(1)
		return s.setClosing(&CloseError{Code: CodeTryLater, Reason: "Server is out of memory"})
	}
	return effects{}
}

// maxWaiters is how many calls of Receive may wait for room: a client that waits
// for its answers has one.
const maxWaiters = 8

// awaitRoom returns when messages may be brought. s.mu is held, but for the time
// it waits.
func (s *Local) awaitRoom(ctx context.Context, data [][]byte) error {
	if s.crowded() {
		if s.waiters == maxWaiters {
			return ErrBusy
		}
		size := messageCost * len(data)
		for _, d := range data {
			size += len(d)
		}
		s.waiters++
		s.pending += size
		defer func() {
			s.waiters--
			s.pending -= size
		}()
	}
	var timeout <-chan time.Time
	for s.crowded() {
		if timeout == nil {
			t := time.NewTimer(s.registry.config.InboxTimeout)
			defer t.Stop()
			timeout = t.C
		}
		if s.inbox.room == nil {
			s.inbox.room = make(chan struct{})
		}
		room := s.inbox.room
		s.unlock(effects{})
		select {
		case <-room:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return ctx.Err()
		case <-timeout:
			s.stuck()
			s.mu.Lock()
		}
	}
	if s.state != open {
		return ErrClosed
	}
	return nil
}

// crowded tells whether too much waits for the handler. s.mu is held.
func (s *Local) crowded() bool {
	return s.state == open && s.busy && s.inbox != nil && s.inbox.size >= s.registry.config.InboxLimit
}

// stuck closes a session whose handler does not come to its end.
func (s *Local) stuck() {
	if s.close(&CloseError{Code: CodeTryLater, Reason: "Server is too slow", Err: ErrStuck}) == nil {
		s.registry.stats.stuck.Add(1)
	}
}

// run calls the handler for what waits, one event at a time, until nothing
// does. The caller has set busy, and so is the only one to run.
func (s *Local) run() {
	for {
		s.mu.Lock()
		switch {
		case s.inbox != nil && len(s.inbox.messages) > 0:
			messages := s.inbox.messages
			s.inbox.drop()
			s.inbox = nil
			s.unlock(effects{})
			for _, m := range messages {
				s.deliver(m)
			}
		case s.state != open && !s.ended:
			s.ended = true
			s.mu.Unlock()
			s.onClose()
		default:
			s.busy = false
			s.mu.Unlock()
			return
		}
	}
}

// deliver calls the handler for one event, unless the session has closed, and
// closes the session if the handler wants that.
func (s *Local) deliver(m message) {
	s.mu.Lock()
	open := s.state == open
	s.mu.Unlock()
	if !open {
		return
	}
	if err := s.call(m); err != nil {
		s.close(Ending(err))
	}
}

// Ending is the end that a handler's error makes of its session. It is for
// those who implement Session.
func Ending(err error) *CloseError {
	var end *CloseError
	if !errors.As(err, &end) || !ValidCode(end.Code) {
		return &CloseError{Code: CodeInternal, Reason: "Internal error", Err: err}
	}
	return &CloseError{Code: end.Code, Reason: cut(strings.ToValidUTF8(end.Reason, "\ufffd")), Err: end.Err}
}

// call calls the handler and returns a panic of it as its error.
func (s *Local) call(m message) (err error) {
	defer Recovered(&err)
	switch m.kind {
	case openEvent:
		return s.handler.OnOpen(s)
	case drainEvent:
		if d, ok := s.handler.(Drainer); ok {
			d.OnDrain(s)
		}
		return goingAway
	case binaryMessage:
		h, ok := s.handler.(BinaryHandler)
		if !ok {
			return &CloseError{Code: CodeUnsupported, Reason: "Binary messages are not supported"}
		}
		return h.OnBinary(s, m.data)
	}
	return s.handler.OnMessage(s, m.data)
}

func (s *Local) onClose() {
	var err error
	func() {
		defer Recovered(&err)
		s.handler.OnClose(s, s.end)
	}()
	if err == nil {
		err = s.end
	}
	if s.registry.config.Closed != nil {
		s.registry.config.Closed(s, err)
	}
}

// Recovered, deferred, makes a handler's panic the error that it returned. It
// is for those who call handlers.
func Recovered(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}
