package transport

import (
	"io"
	"sync"

	"switchback/session"
	"switchback/session/memory"
)

// A body is what comes of a request or of a WebSocket message. It is counted as
// received until free.
type body struct {
	bytes   []byte
	counted int
}

const (
	minRead     = 4 << 10  // what a peer may announce and get memory for
	uncounted   = minRead  // memory up to which a body is not counted
	maxPooled   = 64 << 10 // memory over which a body is left to the collector
	unfinished  = 16 << 10 // what it takes to wait for the rest of a message, beside its body: a goroutine and buffers
	unknownRoom = 1 << 30  // what may still come where nobody has said
)

var outOfMemory = &session.CloseError{Code: session.CodeTryLater, Reason: "Server is out of memory", Err: session.ErrMemory}

var bodies = sync.Pool{New: func() any { return new(body) }}

// newBody returns an empty body, to be freed.
func newBody() *body {
	b := bodies.Get().(*body)
	if cap(b.bytes) > uncounted && b.count(cap(b.bytes)) != nil {
		b.bytes = nil
	}
	return b
}

func (b *body) free() {
	if b.counted > 0 {
		memory.Received.Give(b.counted)
		b.counted = 0
	}
	if cap(b.bytes) <= maxPooled {
		b.bytes = b.bytes[:0]
		bodies.Put(b)
	}
}

// count has the body counted as size bytes, or returns outOfMemory.
func (b *body) count(size int) error {
	if !memory.Received.Take(size - b.counted) {
		return outOfMemory
	}
	b.counted = size
	return nil
}

// room returns memory for what comes next, of which left bytes are to come: for as much
// again as has come, so that who announces much has to send it. The caller says how
// much came by came.
func (b *body) room(left int) ([]byte, error) {
	n := len(b.bytes)
	size := n + min(left, max(n, minRead))
	if size > cap(b.bytes) {
		if size > uncounted {
			if err := b.count(size); err != nil {
				return nil, err
			}
		}
		b.bytes = append(make([]byte, 0, size), b.bytes...)
	}
	return b.bytes[n:size], nil
}

// messages has the list of the messages in the body counted, which may be much larger.
func (b *body) messages(n int) error {
	const each = 24
	if n*each <= uncounted {
		return nil
	}
	return b.count(b.counted + n*each)
}

func (b *body) came(n int) { b.bytes = b.bytes[:len(b.bytes)+n] }

// append appends what has come, which is no more than a netpoll.Buffer holds.
func (b *body) append(p []byte) error {
	if len(b.bytes)+len(p) > cap(b.bytes) {
		if _, err := b.room(unknownRoom); err != nil {
			return err
		}
	}
	b.bytes = append(b.bytes, p...)
	return nil
}

// readFrom reads all that r has: length bytes, or -1 where nobody has said.
func (b *body) readFrom(r io.Reader, length int64) error {
	for {
		left := unknownRoom
		if length >= 0 {
			left = max(int(length)-len(b.bytes), 1) // one to read the end with
		}
		p, err := b.room(left)
		if err != nil {
			return err
		}
		n, err := r.Read(p)
		b.came(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
