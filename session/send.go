package session

import "switchback/session/memory"

func (s *Local) Send(text []byte) error {
	return s.sendOwn(text, func() { s.queue.appendText(s.framing.Encoding, text) })
}

func (s *Local) SendBinary(data []byte) error {
	if !s.framing.Binary {
		return ErrText
	}
	return s.sendOwn(data, func() { s.queue.appendBinary(s.framing.Encoding, data) })
}

// sendOwn queues a message of this session alone, by encode.
func (s *Local) sendOwn(message []byte, encode func()) error {
	if err := s.lockOpen(); err != nil {
		return err
	}
	reserved, err := s.reserve(message)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	waiting, before := s.waiting(), s.queue.len()
	encode()
	e, err := s.queued(waiting, before)
	s.unlock(e)
	if reserved > 0 {
		memory.Add(-reserved)
	}
	return err
}

func (s *Local) SendPrepared(m *Prepared) error {
	if m.binary && !s.framing.Binary {
		return ErrText
	}
	if err := s.lockOpen(); err != nil {
		return err
	}
	waiting, before := s.waiting(), s.queue.len()
	m.append(s.queue.begin(s.framing.Encoding), s.framing.Encoding)
	e, err := s.queued(waiting, before)
	s.unlock(e)
	return err
}

// queued follows a message into the queue, which was so long before and behind so many
// own bytes that were waiting: it wakes the receiver, or closes a session that is over
// its limit. s.mu is held.
func (s *Local) queued(waiting, before int) (effects, error) {
	s.countSent(s.queue.len() - before)
	if waiting == 0 || s.waiting() <= s.registry.config.QueueLimit {
		return effects{wake: s.takeWake()}, nil
	}
	return s.tooSlow(), ErrSlow
}

// tooSlow closes the session, whose client is told no more but that. s.mu is held.
func (s *Local) tooSlow() effects {
	s.queue.drop()
	s.registry.stats.Slow.Add(1)
	return s.setClosing(&CloseError{Code: CodeTryLater, Reason: "Client is too slow", Err: ErrSlow})
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
	return s.queue.len() + int(s.inflight.Load())
}
