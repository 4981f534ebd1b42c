package session

import (
	"sync"

	"switchback/session/memory"
)

// buffers are queues' memory. A session has one only while something waits in it.
var buffers = sync.Pool{New: func() any { return new(memory.Pieces) }}

// maxPooled is the size over which a buffer is left to the collector, so that one
// large message does not stay for ever. What gathers for a client that reads is less.
const maxPooled = 64 << 10

// A queue holds encoded messages in the order in which they were sent. Its
// owner's lock guards it.
type queue struct{ pieces *memory.Pieces }

func (q *queue) len() int {
	if q.pieces == nil {
		return 0
	}
	return q.pieces.Len()
}

// own is what the queue takes beside what it holds together with others.
func (q *queue) own() int {
	if q.pieces == nil {
		return 0
	}
	return q.pieces.Own()
}

// alone is what nobody else holds with it of what the queue does not take itself.
func (q *queue) alone() int {
	if q.pieces == nil {
		return 0
	}
	return q.pieces.Alone()
}

// begin returns the queue's memory with a separator where one is needed.
func (q *queue) begin(e *Encoding) *memory.Pieces {
	if q.pieces == nil {
		q.pieces = buffers.Get().(*memory.Pieces)
	} else {
		q.pieces.Bytes = append(q.pieces.Bytes, e.Separator...)
	}
	return q.pieces
}

func (q *queue) appendText(e *Encoding, text []byte) {
	p := q.begin(e)
	p.Bytes = e.appendText(p.Bytes, text)
}

func (q *queue) appendBinary(e *Encoding, data []byte) {
	p := q.begin(e)
	p.Bytes = e.appendBinary(p.Bytes, data)
}

// take appends the frames of all that waits, which then waits no more.
func (q *queue) take(p *memory.Pieces, f *Framing) {
	p.Bytes = f.AppendQueueBegin(p.Bytes, q.len())
	p.Move(q.pieces)
	p.Bytes = append(p.Bytes, f.QueueEnd...)
	q.drop()
}

func (q *queue) drop() {
	if q.pieces == nil {
		return
	}
	q.pieces.Reset()
	if cap(q.pieces.Bytes) <= maxPooled {
		buffers.Put(q.pieces)
	}
	q.pieces = nil
}
