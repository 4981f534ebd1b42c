package session

// waiting is the number of bytes that the client has yet to take. s.mu is held.
func (s *Local) waiting() int { return s.queue.len() + int(s.inflight.Load()) }

// uncounted is what a session may hold without being counted, in bytes: the
// count is all sessions', and to change it for each small message would have
// the cores wait for one another.
const uncounted = 512

// counts is the number of bytes of the session that count. s.mu is held.
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

// account brings the registry's count of memory up to date, but for a small frame
// that is taken just now: the next call does that. s.mu is held.
func (s *Local) account() {
	if held := s.counts(); held != s.counted {
		s.registry.memory.Add(int64(held - s.counted))
		s.counted = held
	}
}

// overMemory tells whether all sessions hold too much, with what this one holds
// now. s.mu is held.
func (s *Local) overMemory() bool {
	return s.registry.memory.Load()+int64(s.counts()-s.counted) > s.registry.config.MemoryLimit
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
