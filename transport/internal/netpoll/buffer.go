package netpoll

import (
	"bufio"
	"sync"
)

// bufferSize is enough for most messages; larger ones are read past it.
const bufferSize = 4096

// A Buffer is what a connection is read through. It is lent to a connection
// while there is something to read, and then to another.
type Buffer struct {
	*bufio.Reader
	conn        *Conn         // that it is lent to
	nonblocking bool          // reads of a bare socket do not wait
	filled      chan struct{} // holds one: the connection is woken

	worksFor *Group // that its goroutine is counted for, or nil
}

var buffers = sync.Pool{New: func() any {
	b := &Buffer{filled: make(chan struct{}, 1)}
	b.Reader = bufio.NewReaderSize(reader{b}, bufferSize)
	return b
}}

// reader is a Buffer's source: the connection that it is lent to.
type reader struct{ b *Buffer }

func (r reader) Read(p []byte) (int, error) {
	c := r.b.conn
	switch {
	case c.fd < 0 || len(c.head) > 0:
		return c.Read(p)
	case c.wire != nil:
		return c.wire.read(r.b, p)
	}
	return c.receive(r.b, p)
}

func lend(c *Conn) *Buffer {
	b := buffers.Get().(*Buffer)
	b.conn = c
	return b
}

// Lend lends a Buffer to a connection for which Ready has not been called yet,
// until GiveBack.
func (c *Conn) Lend() *Buffer { return lend(c) }

// Fill reads what else has come by TLS, of which each read has one record at most, and
// does not wait for more.
func (b *Buffer) Fill() {
	if b.conn.wire == nil {
		return
	}
	b.nonblocking = true
	defer func() { b.nonblocking = false }()
	for n := b.Buffered(); n < bufferSize; n = b.Buffered() {
		if _, err := b.Peek(n + 1); err != nil {
			return // which the next read returns, too
		}
	}
}

// Conn is the connection that the Buffer is lent to.
func (b *Buffer) Conn() *Conn { return b.conn }

// Dismiss has Shutdown not wait for the goroutine in Ready, which has no part in the
// connection any more, and may go on for ever.
func (b *Buffer) Dismiss() {
	b.worksFor.work.Done()
	b.worksFor = nil
}

// GiveBack ends the loan that Lend began. What is left in the Buffer is read
// first when the connection is read next.
func (b *Buffer) GiveBack() {
	b.Unread()
	b.giveBack()
}

// Unread empties the Buffer; what was in it will be read again.
func (b *Buffer) Unread() {
	if n := b.Buffered(); n > 0 {
		left, _ := b.Peek(n)
		b.conn.head = append(append([]byte(nil), left...), b.conn.head...)
		b.Reset(reader{b})
	}
}

// giveBack ends a loan. What is left belongs to a connection that has ended.
func (b *Buffer) giveBack() {
	b.Reset(reader{b})
	b.conn, b.worksFor = nil, nil
	buffers.Put(b)
}
