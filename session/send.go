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

// queued follows a message into the queue, behind so many bytes that were waiting: it
// wakes the receiver, or closes a session that is over its limits. s.mu is held.
func (s *Local) queued(waiting int) (effects, error) {
	if !s.overLimit(waiting) {
		return effects{wake: s.takeWake()}, nil
	}
	s.queue.drop()
	s.registry.stats.Slow.Add(1)
	return s.setClosing(&CloseError{Code: CodeTryLater, Reason: "Client is too slow", Err: ErrSlow}), ErrSlow
}

// takeWake returns the receiver if it has to be woken, once. s.mu is held.
func (s *Local) takeWake() Receiver {
	if !s.needsWake {
		return nil
	}
	s.needsWake = false
	return s.receiver
}

func (s *Local) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting()
}
