package session

import "sync"

// A buffer is a queue's memory. A session has one only while something waits
// in it.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// maxPooled is the size over which a buffer is left to the collector, so that one
// large message does not stay for ever. What gathers for a client that reads is less.
const maxPooled = 64 << 10

func (b *buffer) free() {
	if cap(b.b) <= maxPooled {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// A queue holds encoded messages in the order in which they were sent. Its
// owner's lock guards it.
type queue struct{ buf *buffer }

func (q *queue) len() int {
	if q.buf == nil {
		return 0
	}
	return len(q.buf.b)
}

// begin returns the buffer with a separator where one is needed.
func (q *queue) begin(f Framing) *buffer {
	if q.buf == nil {
		q.buf = buffers.Get().(*buffer)
	}
	if len(q.buf.b) > 0 {
		q.buf.b = append(q.buf.b, f.Separator()...)
	}
	return q.buf
}

func (q *queue) appendText(f Framing, text []byte) {
	b := q.begin(f)
	b.b = f.AppendText(b.b, text)
}

func (q *queue) appendPrepared(f Framing, m *Prepared) {
	b := q.begin(f)
	b.b = append(b.b, m.encoded(f)...)
}

func (q *queue) appendBinary(f Framing, data []byte) error {
	n := q.len()
	b := q.begin(f)
	var err error
	if b.b, err = f.AppendBinary(b.b, data); err == nil {
		return nil
	}
	b.b = b.b[:n]
	if n == 0 {
		q.drop()
	}
	return err
}

// take appends the frames of all that waits, which then waits no more.
func (q *queue) take(dst []byte, f Framing) []byte {
	dst = f.AppendQueue(dst, q.buf.b)
	q.drop()
	return dst
}

func (q *queue) drop() {
	if q.buf != nil {
		q.buf.free()
		q.buf = nil
	}
}
