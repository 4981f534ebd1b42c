package session

import (
	"math"

	"switchback/session/memory"
)

// waiting is what the client has yet to take that is the session's own, in bytes.
// s.mu is held.
func (s *Local) waiting() int { return s.queue.own() + int(s.inflightOwn.Load()) }

// uncounted is how many bytes a session may hold without being counted. All cores
// change the count: for each small message they would wait for one another.
const uncounted = 512

// counts is what the session counts for, in bytes: what is on its way is counted where
// it is written, and what it holds together with others once for all. s.mu is held.
func (s *Local) counts() int {
	held := s.queue.own()
	held += int(s.delivering)
	if s.inbox != nil {
		held += s.inbox.size
	}
	return min(max(held-uncounted, 0), math.MaxInt32)
}

// account has held bytes of the session counted: unlock does so where that has
// changed. s.mu is held.
func (s *Local) account(held int) {
	more := held - int(s.counted)
	s.registry.stats.Memory.Add(int64(more))
	memory.Add(more)
	s.counted = int32(held)
}

// overMemory tells whether too much is held, with what this session holds now, which
// is counted before it is asked: of two who add at once one sees both. s.mu is held.
func (s *Local) overMemory() bool {
	if held := s.counts(); held != int(s.counted) {
		s.account(held)
	}
	return memory.Over()
}

// smallMessage is how many bytes a session whose client has read everything may be
// sent while too much is held: those who read are not refused for those who do not.
// Most messages are smaller.
const smallMessage = 16 << 10

// reserve has room for a text that is to be encoded for this session alone, until
// memory.Add gives the bytes back. s.mu is held.
func (s *Local) reserve(text []byte) (bytes int, err error) {
	switch {
	case len(text) > smallMessage:
		bytes = s.framing.Size(text)
		err = memory.TryReserve(bytes)
	case s.waiting() > 0 && memory.Over():
		err = memory.ErrFull
	}
	if err != nil {
		s.registry.stats.Full.Add(1)
		return 0, ErrMemory
	}
	return bytes, nil
}

var outOfMemory = &CloseError{Code: CodeTryLater, Reason: "Server is out of memory", Err: ErrMemory}
