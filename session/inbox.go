package session

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime/debug"
	"strings"
	"time"
)

type eventKind uint8

const (
	textEvent eventKind = iota
	binaryEvent
	openEvent  // the first
	drainEvent // the server begins to shut down
)

// An event is what a handler is called for.
type event struct {
	kind eventKind
	data []byte
}

// eventCost is what an event takes beside its bytes, in bytes: itself.
const eventCost = 32

// An inbox holds the events that wait for a busy handler. Its session's lock
// guards it.
type inbox struct {
	events []event
	size   int // bytes
}

// push adds an event to the inbox. s.mu is held.
func (s *Local) push(e event) {
	if s.inbox == nil {
		s.inbox = new(inbox)
	}
	s.inbox.events = append(s.inbox.events, e)
	s.inbox.size += len(e.data) + eventCost
}

// takeInbox empties the inbox, and lets in who waits for room. s.mu is held.
func (s *Local) takeInbox() []event {
	if s.inbox == nil {
		return nil
	}
	events := s.inbox.events
	s.inbox = nil
	if s.waiters != nil {
		close(s.waiters.room)
		s.waiters.room = make(chan struct{})
	}
	return events
}

// waiters are calls of Receive that wait for room.
type waiters struct {
	calls int
	room  chan struct{} // closed when the inbox is emptied, and then another
}

// Receive brings messages of the client, in order. If the handler is idle, it is
// called for them before Receive returns; if it is busy, they are copied and wait
// for it. While InboxLimit bytes wait already, Receive waits, too; after
// InboxTimeout it closes the session.
//
// Where they are more than MessageRate, ByteRate or PublishRate allows, it closes the
// session. Either all messages are taken or none. The error is ErrClosed, ErrBusy if eight
// other calls wait, or the context's.
func (s *Local) Receive(ctx context.Context, texts ...[]byte) error {
	return s.receive(ctx, textEvent, texts)
}

// ReceiveBinary is Receive for a binary message of a native WebSocket. It closes
// a session whose handler is no BinaryHandler with 1003.
func (s *Local) ReceiveBinary(ctx context.Context, data []byte) error {
	return s.receive(ctx, binaryEvent, [][]byte{data})
}

func (s *Local) receive(ctx context.Context, kind eventKind, data [][]byte) error {
	if end := s.tooFast(data); end != nil {
		if s.close(end) == nil {
			s.registry.stats.Fast.Add(1)
		}
		return ErrClosed
	}
	s.mu.Lock()
	if err := s.awaitRoom(ctx); err != nil {
		s.unlock(effects{})
		return err
	}
	s.countReceived(data)
	if !s.received.Load() {
		s.received.Store(true)
	}
	if s.busy {
		s.unlock(s.enqueue(kind, data))
		return nil
	}
	s.busy = true
	s.unlock(effects{})
	for _, d := range data {
		s.deliver(event{kind, d})
	}
	s.run()
	return nil
}

// enqueue copies messages into the inbox. s.mu is held.
func (s *Local) enqueue(kind eventKind, data [][]byte) effects {
	for _, d := range data {
		s.push(event{kind, bytes.Clone(d)})
	}
	if s.overMemory() {
		s.registry.stats.Full.Add(1)
		return s.setClosing(outOfMemory)
	}
	return effects{}
}

// maxWaiters is how many calls of Receive may wait for room. A client that waits for
// its answers has one; each holds a request, its goroutine and its body.
const maxWaiters = 8

// awaitRoom waits until messages may be brought. s.mu is held by the caller, and
// given back while it waits.
func (s *Local) awaitRoom(ctx context.Context) error {
	if s.inboxFull() {
		if s.waiters == nil {
			s.waiters = &waiters{room: make(chan struct{})}
		}
		w := s.waiters
		if w.calls == maxWaiters {
			return ErrBusy
		}
		w.calls++
		defer func() {
			if w.calls--; w.calls == 0 {
				s.waiters = nil
			}
		}()
	}
	var timeout <-chan time.Time
	for s.inboxFull() {
		if timeout == nil {
			t := time.NewTimer(s.registry.config.InboxTimeout)
			defer t.Stop()
			timeout = t.C
		}
		room := s.waiters.room
		s.unlock(effects{})
		select {
		case <-room:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return ctx.Err()
		case <-timeout:
			s.inboxTimeout()
			s.mu.Lock()
		}
	}
	if s.state != open {
		return ErrClosed
	}
	return nil
}

// inboxFull tells whether Receive has to wait. s.mu is held.
func (s *Local) inboxFull() bool {
	return s.state == open && s.busy && s.inbox != nil && s.inbox.size >= s.registry.config.InboxLimit
}

// inboxTimeout closes a session whose handler has been busy for too long.
func (s *Local) inboxTimeout() {
	if s.close(&CloseError{Code: CodeTryLater, Reason: "Server is too slow", Err: ErrStuck}) == nil {
		s.registry.stats.Stuck.Add(1)
	}
}

// run calls the handler for the events that wait, one at a time, until none do. The
// caller has set busy, so nobody else runs.
func (s *Local) run() {
	for {
		s.mu.Lock()
		switch {
		case s.inbox != nil:
			s.delivering = int32(min(s.inbox.size, math.MaxInt32))
			events := s.takeInbox()
			s.unlock(effects{})
			for _, e := range events {
				s.deliver(e)
			}
			s.mu.Lock()
			s.delivering = 0
			s.unlock(effects{})
		case s.state != open && !s.onCloseCalled:
			s.onCloseCalled = true
			s.mu.Unlock()
			s.onClose()
		default:
			s.busy = false
			s.mu.Unlock()
			return
		}
	}
}

// deliver calls the handler for one event if the session is open, and closes the
// session if the handler returns an error. OnOpen is called in any case: who is told of
// the end has been told of the beginning.
func (s *Local) deliver(e event) {
	s.mu.Lock()
	open := s.state == open || e.kind == openEvent
	s.mu.Unlock()
	if !open {
		return
	}
	if err := s.timed(e); err != nil {
		s.close(Ending(err))
	}
}

// Ending is the end of a session whose handler returned err: that *CloseError, with
// a reason that can be sent, 1013 for ErrMemory, or 1011. It is for
// those who implement Session.
func Ending(err error) *CloseError {
	var end *CloseError
	if !errors.As(err, &end) && errors.Is(err, ErrMemory) {
		return outOfMemory
	}
	if end == nil || !ValidCode(end.Code) {
		return &CloseError{Code: CodeInternal, Reason: "Internal error", Err: err}
	}
	return &CloseError{Code: end.Code, Reason: cut(strings.ToValidUTF8(end.Reason, "\ufffd")), Err: end.Err}
}

// timed is call. How long it takes is noted where the event is the message that is timed.
func (s *Local) timed(e event) error {
	if e.kind != textEvent && e.kind != binaryEvent || !choose(&s.registry.samples.message) {
		return s.call(e)
	}
	begun := time.Now()
	err := s.call(e)
	s.registry.stats.Handler.observe(time.Since(begun))
	return err
}

// call calls the handler for an event. A panic is returned as its error.
func (s *Local) call(e event) (err error) {
	defer Recovered(&err)
	switch e.kind {
	case openEvent:
		return s.handler.OnOpen(s)
	case drainEvent:
		if d, ok := s.handler.(Drainer); ok {
			d.OnDrain(s)
		}
		return goingAway
	case binaryEvent:
		h, ok := s.handler.(BinaryHandler)
		if !ok {
			return &CloseError{Code: CodeUnsupported, Reason: "Binary messages are not supported"}
		}
		return h.OnBinary(s, e.data)
	}
	return s.handler.OnMessage(s, e.data)
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

// Recovered is to be deferred by those who call handlers: it turns a panic into a
// *PanicError in *err.
func Recovered(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}
