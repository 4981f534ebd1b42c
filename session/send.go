package session

func (s *Local) Send(text []byte) error {
	if err := s.lockOpen(); err != nil {
		return err
	}
	waiting := s.waiting()
	s.queue.appendText(s.framing, text)
	e, err := s.queued(waiting)
	s.unlock(e)
	return err
}

func (s *Local) SendPrepared(m *Prepared) error {
	if err := s.lockOpen(); err != nil {
		return err
	}
	waiting := s.waiting()
	s.queue.appendPrepared(s.framing, m)
	e, err := s.queued(waiting)
	s.unlock(e)
	return err
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
	e, err := s.queued(waiting)
	s.unlock(e)
	return err
}

// waiting is the number of bytes that the client has yet to take. s.mu is held.
func (s *Local) waiting() int { return s.queue.len() + int(s.inflight.Load()) }

// queued ends a Send: it holds the queue to its limits and wakes the receiver.
// waiting is what waited before. s.mu is held.
func (s *Local) queued(waiting int) (effects, error) {
	if !s.overLimit(waiting) {
		return effects{wake: s.woken()}, nil
	}
	s.queue.drop()
	s.registry.stats.slow.Add(1)
	return s.setClosing(&CloseError{Code: CodeTryLater, Reason: "Client is too slow", Err: ErrSlow}), ErrSlow
}

// smallMessage is what a session that holds nothing may be sent when all of them
// hold too much: who reads is not to suffer for who does not.
const smallMessage = 16 << 10

// overLimit tells whether too much waits, and waited when waiting bytes did.
func (s *Local) overLimit(waiting int) bool {
	now := s.waiting()
	return waiting > 0 && now > s.registry.config.QueueLimit ||
		(waiting > 0 || now > smallMessage) && s.overMemory()
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

// counts is the number of bytes of the session that count. s.mu is held.
func (s *Local) counts() int {
	held := s.waiting() + s.pending
	if s.inbox != nil {
		held += s.inbox.size
	}
	return max(held-uncounted, 0)
}

// account brings the registry's count of memory up to date, but for a small frame
// that is taken just now: the next call does that. s.mu is held.
func (s *Local) account() {
	if held := s.counts(); held != s.held {
		s.registry.memory.Add(int64(held - s.held))
		s.held = held
	}
}

// overMemory tells whether all sessions hold too much, with what this one holds
// now. s.mu is held.
func (s *Local) overMemory() bool {
	return s.registry.memory.Load()+int64(s.counts()-s.held) > s.registry.config.MemoryLimit
}

func (s *Local) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting()
}
