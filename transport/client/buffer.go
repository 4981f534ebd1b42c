package client

import "sync"

const (
	bufferSize = 4 << 10
	bufferKeep = 64 << 10 // larger ones are not kept
)

// buffers are lent to sessions while these have bytes to put in them. All of
// them are empty.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, bufferSize)
	return &b
}}

func borrow() *[]byte { return buffers.Get().(*[]byte) }

// giveBack takes a buffer back; nil is none.
func giveBack(b *[]byte) {
	if b == nil || cap(*b) > bufferKeep {
		return
	}
	*b = (*b)[:0]
	buffers.Put(b)
}
