package session

import (
	"context"
	"slices"
	"time"
)

// Shutdown refuses new sessions, tells handlers that are Drainers, closes every
// session with 1001, and returns when all receivers have taken the close frame and
// all handlers have returned. A session with something queued and no receiver is
// waited for until its client has fetched that and the close frame, or the
// disconnect delay has passed.
//
// If the context is done first, Shutdown closes the sessions whose handlers are busy,
// too, and returns the context's error.
//
// The timing wheel is stopped: no heartbeat and no disconnect delay comes afterwards.
func (g *Registry) Shutdown(ctx context.Context) error {
	g.draining.Store(true)
	defer g.wheel.stop()
	for _, s := range g.Sessions() {
		s.drain()
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if !slices.ContainsFunc(g.Sessions(), (*Local).active) {
			break
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			for _, s := range g.Sessions() {
				s.close(Ending(goingAway))
				s.abandon()
			}
			return ctx.Err()
		case <-t.C:
		}
	}
	returned := make(chan struct{})
	go func() { // ends with the last handler
		g.calls.Wait()
		close(returned)
	}()
	select {
	case <-returned:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var goingAway = &CloseError{Code: CodeGoingAway, Reason: "Server is going away"}

// drain has the handler told of the shutdown, behind all that waits for it; then the
// session closes.
func (s *Local) drain() {
	if s.lockOpen() != nil {
		return
	}
	s.push(event{kind: drainEvent})
	s.unlock(effects{run: s.claim()})
}

// awaitsFetch tells whether the client of a closing session may still come for what is
// queued, or for the close frame behind it. s.mu is held.
func (s *Local) awaitsFetch() bool {
	return s.state == closing && s.key != "" && s.sent&sentClose == 0 && (s.queue.len() > 0 || s.sent&sentQueued != 0)
}

// abandon ends a session for whose client nobody waits any more.
func (s *Local) abandon() {
	s.mu.Lock()
	var e effects
	if s.state == closing && s.receiver == nil {
		s.setClosed(&e)
	}
	s.unlock(e)
}

// active tells whether Shutdown has to wait for a session.
func (s *Local) active() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == open || s.receiver != nil || !s.onCloseCalled || s.busy || s.awaitsFetch()
}
