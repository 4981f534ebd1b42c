package session

func (s *Local) Send(text []byte) error {
	if err := s.lockOpen(); err != nil {
		return err
	}
	waiting := s.waiting()
	s.queue.appendText(s.framing, text)
	return s.queued(waiting)
}

func (s *Local) SendPrepared(m *Prepared) error {
	if err := s.lockOpen(); err != nil {
		return err
	}
	waiting := s.waiting()
	s.queue.appendPrepared(s.framing, m)
	return s.queued(waiting)
}

func (s *Local) SendBinary(data []byte) error {
	if err := s.lockOpen(); err != nil {
		return err
	}
	waiting := s.waiting()
	if err := s.queue.appendBinary(s.framing, data); err != nil {
		s.mu.Unlock()
		return err
	}
	return s.queued(waiting)
}

// waiting is the number of bytes that the client has yet to take. s.mu is held.
func (s *Local) waiting() int { return s.queue.len() + int(s.inflight.Load()) }

// queued ends a Send: it holds the queue to its limits and wakes the receiver.
// waiting is what waited before. s.mu is held; queued gives it back.
func (s *Local) queued(waiting int) error {
	s.account()
	if s.overLimit(waiting) {
		s.queue.drop()
		s.registry.stats.slow.Add(1)
		s.close(&CloseError{Code: CodeTryLater, Reason: "Client is too slow", Err: ErrSlow})
		return ErrSlow
	}
	wake := s.woken()
	s.mu.Unlock()
	if wake != nil {
		wake.Wake()
	}
	return nil
}

// smallMessage is what a session that holds nothing may be sent when all of them
// hold too much: who reads is not to suffer for who does not.
const smallMessage = 16 << 10

// overLimit tells whether too much waits, and waited when waiting bytes did.
func (s *Local) overLimit(waiting int) bool {
	now := s.waiting()
	return waiting > 0 && now > s.registry.config.QueueLimit ||
		(waiting > 0 || now > smallMessage) && s.registry.overMemory()
}

// woken returns the receiver if it has to be woken. s.mu is held.
func (s *Local) woken() Receiver {
	if !s.hungry {
		return nil
	}
	s.hungry = false
	return s.receiver
}

// uncounted is what a session may hold without being counted, in bytes: the
// count is all sessions', and to change it for each small message would have
// the cores wait for one another.
const uncounted = 512

// account brings the registry's count of memory up to date, but for a small frame
// that is taken just now: the next call does that. s.mu is held.
func (s *Local) account() {
	held := s.waiting() + s.pending
	if s.inbox != nil {
		held += s.inbox.size
	}
	held = max(held-uncounted, 0)
	if held != s.held {
		s.registry.memory.Add(int64(held - s.held))
		s.held = held
	}
}

func (s *Local) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting()
}
