package session

// effects are what a change of a session leaves to do once its lock is free.
type effects struct {
	wake     Receiver // it has a frame to take; nil for none
	run      bool     // the handler is to be called: busy is set
	schedule bool     // the wheel is to look at the session when it is due
	remove   bool     // the session is closed: the registry forgets it
}

// unlock ends a change of the session. It brings the count of memory up to date,
// gives s.mu back, and carries out what was decided under it: no Receiver and no
// Handler is called with the lock held. The handler runs on a goroutine of its own,
// since the caller of Send or Close may hold locks that OnClose needs.
func (s *Local) unlock(e effects) {
	if held := s.counts(); held != int(s.counted) {
		s.account(held)
	}
	var due tick
	if e.schedule {
		due = s.due()
	}
	s.mu.Unlock()
	if e.wake != nil {
		e.wake.Wake()
	}
	if e.run {
		s.registry.calls.Go(s.run) // ends when nothing waits for the handler
	}
	switch {
	case e.remove:
		s.registry.remove(s)
	case e.schedule:
		s.registry.wheel.set(s, due)
	}
}
