package transport

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"unicode/utf8"

	"switchback/session"
)

// rfc6455 is the framing of RFC 6455, as servers send it: not masked.
type rfc6455 struct{}

// Of the first two bytes of a frame (RFC 6455, section 5.2).
const (
	finalBit     = 0x80
	reservedBits = 0x70
	maskBit      = 0x80

	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// appendHeader appends the header of a frame that is a whole message.
func appendHeader(dst []byte, opcode byte, size int) []byte {
	dst = append(dst, finalBit|opcode)
	switch {
	case size <= 125:
		return append(dst, byte(size))
	case size <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(size))
}

func (rfc6455) appendBegin(dst []byte, size int, binary bool) []byte {
	if binary {
		return appendHeader(dst, opBinary, size)
	}
	return appendHeader(dst, opText, size)
}

func (rfc6455) end() string  { return "" }
func (rfc6455) ping() string { return string(appendHeader(nil, opPing, 0)) }
func (rfc6455) binary() bool { return true }

func (rfc6455) appendClose(dst []byte, code int, reason string) []byte {
	dst = appendHeader(dst, opClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// next reads the frames of a message, and answers those between them (RFC 6455,
// section 5.4).
func (rfc6455) next(k *socket, b *body) (binary bool, err error) {
	if k.cut > 0 {
		n, err := k.skip(int(k.cut))
		k.cut -= n
		return false, err
	}
	for begun := byte(opContinuation); ; {
		h, err := readHead(k)
		switch {
		case err != nil:
			return false, err
		case k.closing.Load():
			return false, h.skip(k)
		case h.wrong(begun) != "":
			return false, &session.CloseError{Code: codeProtocol, Reason: h.wrong(begun)}
		case h.opcode >= opClose:
			if err := h.control(k); err != errNoMessage || begun == opContinuation {
				return false, err
			}
			continue
		case h.size > k.limit()-len(b.bytes):
			return false, tooBig
		}
		if begun == opContinuation {
			begun = h.opcode
		}
		if !h.final || k.buffer.Buffered() < h.length+h.size {
			if err := k.hurry(); err != nil {
				return false, err
			}
		}
		if err := h.read(k, b); err != nil || h.final {
			return begun == opBinary, err
		}
	}
}

// codeProtocol is RFC 6455's, section 7.4.1, for a frame that it forbids.
const codeProtocol = 1002

// A head is what the header of the peer's next frame says (RFC 6455, section
// 5.2).
type head struct {
	opcode   byte
	final    bool
	reserved bool // a bit of no known meaning is set
	masked   bool
	length   int  // the header's own
	size     int  // the payload's
	padded   bool // the size takes more bytes than it needs, or is negative
}

const maskSize = 4

// readHead looks at the header of the next frame.
func readHead(k *socket) (h head, err error) {
	p, err := k.peek(2)
	if err != nil {
		return h, err
	}
	h = head{
		opcode: p[0] & 0x0f, final: p[0]&finalBit != 0, reserved: p[0]&reservedBits != 0, masked: p[1]&maskBit != 0,
		length: 2, size: int(p[1] &^ maskBit),
	}
	switch h.size {
	case 126:
		h.length = 4
		if p, err = k.peek(h.length); err == nil {
			h.size = int(binary.BigEndian.Uint16(p[2:]))
			h.padded = h.size < 126
		}
	case 127:
		h.length = 10
		if p, err = k.peek(h.length); err == nil {
			size := binary.BigEndian.Uint64(p[2:])
			h.size = int(min(size, 1<<30))
			h.padded = size <= 0xffff || size > math.MaxInt64
		}
	}
	if h.masked {
		h.length += maskSize
	}
	return h, err
}

// wrong returns what is forbidden in a frame, or nothing (RFC 6455, sections 5.1,
// 5.2, 5.4 and 5.5). begun is the opcode of the message that it may go on with.
func (h head) wrong(begun byte) string {
	control := h.opcode >= opClose
	switch {
	case h.reserved:
		return "Reserved bit is set"
	case !h.masked:
		return "Frame is not masked"
	case h.opcode > opPong, h.opcode > opBinary && !control:
		return "Opcode is unknown"
	case control && !h.final:
		return "Control frame is fragmented"
	case control && h.length > 2+maskSize: // its size, up to 125, is in the first two bytes
		return "Control frame is too long"
	case h.padded:
		return paddedLength
	case control:
		return ""
	case begun == opContinuation && h.opcode == opContinuation:
		return "Message has no beginning"
	case begun != opContinuation && h.opcode != opContinuation:
		return "Message has no end"
	}
	return ""
}

const paddedLength = "Length is not in its shortest form"

// read reads a frame, and appends its payload to b, which grows as that comes.
func (h head) read(k *socket, b *body) error {
	p, err := k.peek(h.length)
	if err != nil {
		return err
	}
	mask := [maskSize]byte(p[h.length-maskSize:])
	k.buffer.Discard(h.length)
	begin := len(b.bytes)
	for left := h.size; left > 0; {
		n := 0
		p, err := b.room(left)
		if err == nil {
			n, err = k.buffer.Read(p)
			b.came(n)
		}
		if left -= n; err != nil {
			k.cut = int32(left)
			return unexpected(err)
		}
		k.came(n)
	}
	unmask(b.bytes[begin:], mask)
	return nil
}

// unmask unmasks a payload (RFC 6455, section 5.3).
func unmask(p []byte, mask [maskSize]byte) {
	twice := uint64(binary.NativeEndian.Uint32(mask[:])) * (1<<32 + 1)
	for ; len(p) >= 8; p = p[8:] {
		binary.NativeEndian.PutUint64(p, binary.NativeEndian.Uint64(p)^twice)
	}
	for i := range p {
		p[i] ^= mask[i%maskSize]
	}
}

// control reads a control frame and does what it asks for. It returns
// errNoMessage, or io.EOF after a close frame.
func (h head) control(k *socket) error {
	p, err := k.peek(h.length + h.size)
	if err != nil {
		return err
	}
	payload := bytes.Clone(p[h.length:])
	unmask(payload, [maskSize]byte(p[h.length-maskSize:]))
	k.buffer.Discard(len(p))
	switch h.opcode {
	case opClose:
		return k.peerCloses(payload)
	case opPing:
		_, err = k.conn.Write(append(appendHeader(nil, opPong, len(payload)), payload...))
	}
	if err != nil {
		return err
	}
	return errNoMessage
}

// peerCloses notes the peer's close frame (RFC 6455, section 7.1.5). One that is
// broken is the peer's last frame as well: it is answered with 1002, and the
// connection is closed at once (section 7.1.1).
func (k *socket) peerCloses(payload []byte) error {
	end := &session.CloseError{Code: codeNoStatus}
	if len(payload) > 0 {
		if len(payload) >= 2 {
			end.Code, end.Reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		}
		if !session.ValidCode(end.Code) || !utf8.ValidString(end.Reason) {
			end = brokenClose
		}
	}
	k.peerEnd = end
	return io.EOF
}

var brokenClose = &session.CloseError{Code: codeProtocol, Reason: "Close frame is broken"}

// codeNoStatus stands for a close frame without a code (RFC 6455, section 7.4.1).
const codeNoStatus = 1005

// skip reads a frame that is not wanted. It returns io.EOF after a close frame,
// otherwise errNoMessage.
func (h head) skip(k *socket) error {
	_, err := k.skip(h.length + h.size)
	if err == errNoMessage && h.opcode == opClose {
		return io.EOF
	}
	return err
}

// skip reads n bytes that are not wanted, or as many as may come after the close frame.
func (k *socket) skip(n int) (skipped int32, err error) {
	n, err = k.buffer.Discard(min(n, int(lingerLimit+1-k.skipped)))
	k.skipped += int32(n)
	switch {
	case err != nil:
		return int32(n), unexpected(err)
	case k.skipped > lingerLimit:
		return int32(n), errLinger
	}
	return int32(n), errNoMessage
}
