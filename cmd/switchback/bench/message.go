package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
)

// A message is what the load sends: who it is from, which one of theirs, and
// when it was due. On the wire it is its header in hexadecimal digits, filled
// up to the size that was asked for.
type message struct {
	tag uint32 // whoever sees another ignores the message
	seq uint32 // from 0
	at  int64  // by the meter's clock
}

const (
	binarySize = 16
	headerSize = 2 * binarySize // and the least size of a message
)

// newText returns room for a message of a size in bytes.
func newText(size int) []byte { return bytes.Repeat([]byte("x"), size) }

// write puts m at the beginning of text, which has room for it.
func (m message) write(text []byte) {
	var b [binarySize]byte
	binary.BigEndian.PutUint32(b[0:], m.tag)
	binary.BigEndian.PutUint32(b[4:], m.seq)
	binary.BigEndian.PutUint64(b[8:], uint64(m.at))
	hex.Encode(text, b[:])
}

// read is the message at the beginning of text.
func read(text []byte) (m message, ok bool) {
	var b [binarySize]byte
	if len(text) < headerSize {
		return m, false
	}
	if _, err := hex.Decode(b[:], text[:headerSize]); err != nil {
		return m, false
	}
	m.tag = binary.BigEndian.Uint32(b[0:])
	m.seq = binary.BigEndian.Uint32(b[4:])
	m.at = int64(binary.BigEndian.Uint64(b[8:]))
	return m, true
}
