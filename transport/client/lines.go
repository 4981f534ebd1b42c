package client

import (
	"bytes"
	"io"
	"slices"
)

// A lineReader cuts a body into lines, which end with CR, LF or CRLF as in an
// event stream (HTML, section 9.2.5). It holds a buffer only while a line has
// begun and waits for the next with a single byte.
type lineReader struct {
	body   io.Reader
	limit  int     // bytes of a line
	buf    *[]byte // what was read, or nil
	start  int     // of what is not returned, in buf
	seen   int     // bytes after start that hold no line end
	skipLF bool    // the last line ended with CR
	first  [1]byte
}

// reset turns to a new body, and forgets what was left of the last.
func (l *lineReader) reset(body io.Reader) {
	giveBack(l.buf)
	*l = lineReader{body: body, limit: l.limit}
}

// line returns the next line without its end. It is valid, and may be changed,
// until the next call. The error at the end of the body is io.EOF, and
// io.ErrUnexpectedEOF when the last line has no end.
func (l *lineReader) line() ([]byte, error) {
	for {
		if p, ok := l.cut(); ok {
			return p, l.check(len(p))
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// cut takes a line that is in the buffer.
func (l *lineReader) cut() (p []byte, ok bool) {
	if l.skipLF && len(l.rest()) > 0 {
		l.skipLF = false
		if l.rest()[0] == '\n' {
			l.start++
		}
	}
	rest := l.rest()
	i := lineEnd(rest[l.seen:])
	if i < 0 {
		l.seen = len(rest)
		return nil, false
	}
	i += l.seen
	l.skipLF = rest[i] == '\r'
	l.start += i + 1
	l.seen = 0
	return rest[:i:i], true
}

// rest is what was read and not returned.
func (l *lineReader) rest() []byte {
	if l.buf == nil {
		return nil
	}
	return (*l.buf)[l.start:]
}

// lineEnd is the index of the first CR or LF, or -1. It is two searches, as
// each of them is many times as fast as one for either.
func lineEnd(p []byte) int {
	lf := bytes.IndexByte(p, '\n')
	if lf >= 0 {
		p = p[:lf]
	}
	if cr := bytes.IndexByte(p, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// fill reads more of the body.
func (l *lineReader) fill() error {
	if len(l.rest()) == 0 {
		return l.await()
	}
	if err := l.check(len(l.rest())); err != nil {
		return err
	}
	l.makeRoom()
	b := *l.buf
	n, err := l.body.Read(b[len(b):cap(b)])
	*l.buf = b[:len(b)+n]
	switch {
	case n > 0:
		return nil // an error comes back with the next Read
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// makeRoom makes room after what was read, by dropping what was returned, or
// with a larger buffer.
func (l *lineReader) makeRoom() {
	b := *l.buf
	if l.start > 0 {
		b = append(b[:0], l.rest()...)
		l.start = 0
	}
	if len(b) == cap(b) {
		b = slices.Grow(b, cap(b))
	}
	*l.buf = b
}

// await waits for the first byte of a line, without a buffer.
func (l *lineReader) await() error {
	giveBack(l.buf)
	l.buf, l.start, l.seen = nil, 0, 0
	if _, err := io.ReadFull(l.body, l.first[:]); err != nil {
		return err
	}
	l.buf = borrow()
	*l.buf = append(*l.buf, l.first[0])
	return nil
}

// check compares the size of a line with the limit.
func (l *lineReader) check(size int) error {
	if size > l.limit {
		return tooBig()
	}
	return nil
}
