package session

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"switchback/session/memory"
)

// A state is a session's place in its life:
//
//	open -> closing: Close, a handler's error, a limit, or a receiver that broke
//	closing -> closed: the disconnect delay has passed, or a session without a
//	    key has lost its receiver
//
// While it is open, messages go both ways. While it is closing, each receiver
// gets what is queued and then the close frame, and the handler hears no more
// but OnClose. A closed session is forgotten.
type state uint8

const (
	open state = iota
	closing
	closed
)

// A Local is a session that lives in this process. Its exported methods beyond
// Session are for transports. They may be called from any goroutine.
type Local struct {
	registry *Registry
	handler  Handler
	framing  *Framing
	timer    timer  // guarded by the registry's wheel
	meter    *meter // not changed once the session is known; nil: nothing is limited by user or by time, nor counted apart

	// Bytes of the frame that Next gave last and that have not been taken yet, and
	// those of them that are the session's own. Taken clears them without mu.
	inflight, inflightOwn atomic.Int32

	mu           sync.Mutex // guards the rest
	needsWake    bool       // Next gave all there was: the receiver waits for Wake
	heartbeatDue bool
	busy         bool          // the handler is being called
	transport    uint8         // index of its counters; not changed
	published    atomic.Uint32 // a stamp; changed without mu, too
	opened       age           // not changed
	expiry       uint32        // when the session ends by itself: see seconds
	receiver     Receiver
	lastSent     tick     // when a frame was last taken, or the last heartbeat was due
	counted      int32    // bytes that are counted as held
	delivering   int32    // bytes of events that are being delivered, of what was an inbox
	waiters      *waiters // nil while nobody waits
	conversation
	context *sessionContext // nil until somebody asks it for something
}

// A conversation is what a session is beyond this process: plain data, from which
// another process could go on with it. What each message needs comes first, beside
// what it needs of Local: a broadcast goes through the memory of all its sessions.
type conversation struct {
	state         state
	sent          sent
	onCloseCalled bool        // or it is being called
	received      atomic.Bool // a message has come; set with mu held
	queue         queue
	inbox         *inbox // nil while nothing waits

	// idleSince is when the disconnect delay began, in the registry's time: when the
	// last receiver left, when the session began to close, or when the close frame
	// was first taken.
	idleSince tick

	end *CloseError // why it is not open any more

	// Not changed.
	number uint64 // makes the session's name
	key    string // the URL's session id, or empty: lives and dies with its receiver
	peer   Peer
}

// A sent says what a receiver has taken.
type sent uint8

const (
	sentOpen   sent = 1 << iota // the open frame
	sentClose                   // the close frame
	sentQueued                  // something queued, since the session began to close
)

type sessionContext struct {
	context.Context
	cancel context.CancelCauseFunc
}

// An age is a time of a registry, in 10 ms since it was made: it comes round after 497
// days, and takes no more than a session has room for.
type age uint32

func (g *Registry) age() age { return age(time.Since(g.wheel.start) / (10 * time.Millisecond)) }

// Age is how long ago the session was opened, to 10 ms.
func (s *Local) Age() time.Duration {
	return time.Duration(s.registry.age()-s.opened) * 10 * time.Millisecond
}

func (s *Local) ID() string  { return s.registry.name(s.number) }
func (s *Local) Peer() *Peer { return &s.peer }

// Opened is when the session was opened, to 10 ms.
func (s *Local) Opened() time.Time { return time.Now().Add(-s.Age()) }

// lockOpen locks s.mu if the session is open; otherwise it returns ErrClosed,
// without the lock.
func (s *Local) lockOpen() error {
	s.mu.Lock()
	if s.state != open {
		s.mu.Unlock()
		return ErrClosed
	}
	return nil
}

func (s *Local) Close(code int, reason string) error {
	if !ValidCode(code) {
		return ErrCode
	}
	return s.close(Ending(&CloseError{Code: code, Reason: reason}))
}

// close makes an open session closing.
func (s *Local) close(end *CloseError) error {
	if err := s.lockOpen(); err != nil {
		return err
	}
	s.unlock(s.setClosing(end))
	return nil
}

// cut shortens a reason to what a WebSocket close frame can carry.
func cut(reason string) string {
	const most = 123 // RFC 6455, section 5.5: 125 with the code
	if len(reason) <= most {
		return reason
	}
	n := most
	for n > most-utf8.UTFMax && !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

func (s *Local) Context() context.Context { return (*localContext)(s) }

// A localContext is a session's Context, which takes memory only once somebody asks it
// for something: most are handed on and never asked.
type localContext Local

func (c *localContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *localContext) Done() <-chan struct{}       { return (*Local)(c).made().Done() }
func (c *localContext) Err() error                  { return (*Local)(c).made().Err() }
func (c *localContext) Value(key any) any           { return (*Local)(c).made().Value(key) }

// made returns the context behind a localContext.
func (s *Local) made() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.context == nil {
		c := new(sessionContext)
		c.Context, c.cancel = context.WithCancelCause(context.Background())
		s.context = c
		if s.end != nil {
			c.cancel(s.end)
		}
	}
	return s.context.Context
}

// setClosing makes an open session closing. s.mu is held.
func (s *Local) setClosing(end *CloseError) effects {
	s.state, s.end, s.heartbeatDue = closing, end, false
	s.registry.stats.Closed.add(end.Code)
	s.idleSince = s.registry.wheel.now()
	s.leaveUser()
	s.takeInbox()
	if s.context != nil {
		s.context.cancel(end)
	}
	return effects{wake: s.takeWake(), run: s.claim(), schedule: true}
}

// setClosed makes a closing session closed. s.mu is held.
func (s *Local) setClosed(e *effects) {
	s.state = closed
	s.queue.drop()
	e.remove = true
}

// claim sets busy and returns true if nobody is calling the handler just now: then
// the caller has to call run. s.mu is held.
func (s *Local) claim() bool {
	if s.busy || s.onCloseCalled {
		return false
	}
	s.busy = true
	return true
}

// Closing tells whether the session is closing or closed: it takes no more messages.
func (s *Local) Closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state != open
}

// Receiver returns the receiver that is attached, or nil.
func (s *Local) Receiver() Receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.receiver
}

// Attach makes r the receiver, which then calls Next. It returns ErrAttached
// while the session has another, and ErrClosed on a session that is forgotten.
func (s *Local) Attach(r Receiver) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == closed:
		return ErrClosed
	case s.receiver != nil:
		return ErrAttached
	}
	s.receiver, s.needsWake = r, false
	s.lastSent = s.registry.wheel.now()
	return nil
}

// Next appends the next frame for the client to p: the open frame, what is queued, a
// heartbeat that is due, or the close frame. Where there is no further one already, r
// is woken once there is. Until the client has taken a frame it counts as queued: Taken
// says that it has, and so does the next call of Next. A receiver that is not attached
// gets nothing.
func (s *Local) Next(r Receiver, p *memory.Pieces) Frame {
	s.mu.Lock()
	var f Frame
	if s.receiver == r {
		s.Taken()
		f.Kind = s.frame(p)
		switch f.Kind {
		case NoFrame, CloseFrame:
		default:
			s.heartbeatDue, s.lastSent = false, s.registry.wheel.now()
			f.More = s.queue.len() > 0 || s.state != open
		}
		s.needsWake = !f.More
	}
	s.unlock(effects{})
	return f
}

// frame appends the next frame. s.mu is held.
func (s *Local) frame(p *memory.Pieces) FrameKind {
	if s.sent&sentOpen == 0 {
		s.sent |= sentOpen
		if s.framing.Open != "" {
			p.Bytes = append(p.Bytes, s.framing.Open...)
			return OpenFrame
		}
	}
	switch {
	case s.queue.len() > 0:
		before, own := p.Len(), p.Own()
		s.queue.take(p, s.framing)
		s.inflight.Store(int32(min(p.Len()-before, math.MaxInt32)))
		s.inflightOwn.Store(int32(min(p.Own()-own, math.MaxInt32)))
		if s.state != open {
			s.sent |= sentQueued
		}
		if p := s.published.Load(); p != 0 {
			s.published.Store(p | inFrame)
		}
		return MessageFrame
	case s.state != open:
		if s.sent&sentClose == 0 {
			s.sent |= sentClose
			s.idleSince = s.registry.wheel.now()
		}
		p.Bytes = s.framing.AppendClose(p.Bytes, s.end.Code, s.end.Reason)
		return CloseFrame
	case s.heartbeatDue:
		g := s.registry
		s.tally().heartbeats.Add(1)
		if g.wheel.now() > s.lastSent+g.lateness {
			g.stats.HeartbeatsLate.Add(1)
		}
		p.Bytes = append(p.Bytes, s.framing.Heartbeat...)
		return HeartbeatFrame
	}
	return NoFrame
}

// Taken says that the client has taken what Next gave last.
func (s *Local) Taken() {
	s.forgetFrame()
	s.Written()
}

func (s *Local) forgetFrame() {
	s.inflight.Store(0)
	s.inflightOwn.Store(0)
}

// Detach ends r's time as the receiver: r is not woken again.
//
// With a nil error the session waits for its next receiver until the disconnect
// delay has passed. With any other it closes now, because messages may have been
// lost (sockjs-protocol, HandlingClose.test_abort_xhr_polling): with the error
// itself if that is a *CloseError, otherwise with 1002. An error closes the session
// even if r was detached before, unless another receiver has come since. A session
// without a key closes in any case.
func (s *Local) Detach(r Receiver, err error) {
	s.mu.Lock()
	if s.state == closed || s.receiver != r && (s.receiver != nil || err == nil) {
		s.mu.Unlock()
		return
	}
	s.receiver, s.needsWake = nil, false
	s.forgetFrame()
	if err != nil {
		s.published.Store(0)
	}
	e := effects{schedule: true}
	if s.state == open {
		s.idleSince = s.registry.wheel.now()
		if err != nil || s.key == "" {
			e = s.setClosing(interrupted(err))
		}
	}
	if s.state == closing && s.key == "" {
		s.setClosed(&e)
	}
	s.unlock(e)
}

func interrupted(err error) *CloseError {
	var end *CloseError
	if errors.As(err, &end) {
		return end
	}
	return &CloseError{Code: CodeInterrupted, Reason: "Connection interrupted", Err: err}
}

// expire is called by the wheel when the session may be due: a heartbeat, or its end
// after the disconnect delay.
func (s *Local) expire(now tick) {
	s.mu.Lock()
	e := effects{schedule: true}
	switch {
	case now < s.due(), s.state == closed: // meanwhile a frame was sent, or the session forgotten
	case s.state == open && now >= s.expires():
		e = s.setClosing(&CloseError{Code: CodePolicy, Reason: "Identity has expired"})
	case s.receiver != nil && s.state == open:
		s.lastSent += s.registry.heartbeat
		if s.heartbeatDue { // the last one has not been taken yet
			s.registry.stats.HeartbeatsLate.Add(1)
		}
		s.heartbeatDue = true
		e.wake = s.takeWake()
	case s.receiver != nil: // which still takes what was queued
		s.idleSince = now
	default:
		if s.state == open {
			e = s.setClosing(&CloseError{Code: CodeAbnormal, Reason: "Client went away", Err: ErrGone})
		}
		s.setClosed(&e)
	}
	s.unlock(e)
}

// due is when expire next has something to do. s.mu is held.
func (s *Local) due() tick {
	switch {
	case s.state != open:
		return s.idleSince + s.registry.disconnect
	case s.receiver == nil:
		return min(s.idleSince+s.registry.disconnect, s.expires())
	}
	return min(s.lastSent+s.registry.heartbeat, s.expires())
}
