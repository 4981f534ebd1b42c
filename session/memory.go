package session

// waiting is the number of bytes that the client has yet to take. s.mu is held.
func (s *Local) waiting() int { return s.queue.len() + int(s.inflight.Load()) }

// uncounted is how many bytes a session may hold without being counted. All cores
// change the registry's count: for each small message they would wait for one
// another.
const uncounted = 512

// counts is what the session counts for in the registry's memory, in bytes. s.mu is
// held.
func (s *Local) counts() int {
	held := s.waiting()
	if s.inbox != nil {
		held += s.inbox.size
	}
	if s.waiters != nil {
		held += s.waiters.bytes
	}
	return max(held-uncounted, 0)
}

// account has the registry count held bytes of the session: unlock does so where that
// has changed. A frame of at most uncounted bytes that Taken has cleared is given back
// by the next change. s.mu is held.
func (s *Local) account(held int) {
	s.registry.stats.Memory.Add(int64(held - s.counted))
	s.counted = held
}

// overMemory tells whether all sessions hold too much, with what this one holds
// now, which is counted before it is asked: of two who add at once one sees both.
// s.mu is held.
func (s *Local) overMemory() bool {
	if held := s.counts(); held != s.counted {
		s.account(held)
	}
	return s.registry.stats.Memory.Load() > s.registry.config.MemoryLimit
}

// smallMessage is how many bytes a session whose client has read everything may be
// sent while all sessions together hold too much: those who read are not closed for
// those who do not. Most messages are smaller.
const smallMessage = 16 << 10

// overLimit tells whether the client is to be closed as too slow, after a message was
// queued behind so many bytes that were waiting: one message alone may be of any
// size. s.mu is held.
func (s *Local) overLimit(waiting int) bool {
	now := s.waiting()
	return waiting > 0 && now > s.registry.config.QueueLimit ||
		(waiting > 0 || now > smallMessage) && s.overMemory()
}
