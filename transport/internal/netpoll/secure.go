package netpoll

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"switchback/session/memory"
)

// A wire is what a tls.Conn has below it: the connection, as long as that is parked,
// or else its socket. Reads find nothing where nothing has come, which crypto/tls does
// not keep (see crypto_tls_test.go); writes gather records until they are pushed.
//
// A read never holds the connection's lock, since it may write: answers to the peer's
// KeyUpdate, and alerts. Those are pushed afterwards. So the order of locks is that of
// crypto/tls for reads, the connection's, that of crypto/tls for writes, the wire's.
type wire struct {
	conn  *Conn
	tls   *tls.Conn
	up    bool // the handshake is done; set with conn.mu held
	loose bool // the connection is released; set with conn.mu held

	// Of who has the connection's Buffer.
	buffer *Buffer // while it is read
	err    error   // of reads, for ever; set with conn.mu held

	more bool // the next read may find something that came before; guarded by conn.mu

	mu      sync.Mutex     // guards the rest
	counted int32          // bytes of sealed that are counted as held
	sealed  *memory.Pieces // records that the socket has not taken, or nil
}

// recordSize is the most that a record holds (RFC 8446, section 5.1), and what is sealed
// at a time.
const recordSize = 16 << 10

// Secure has the connection speak TLS from its next byte on, as a server. It is for who
// is in Ready, with a connection that parks: the handshake waits for the peer on that
// goroutine, until by at the latest. Then the Buffer reads what the peer has encrypted,
// and what is written is encrypted. The context is that of the ClientHelloInfo, and ends
// the handshake when it is done. Where Secure fails the connection is plain still,
// and the peer has been told.
func (c *Conn) Secure(ctx context.Context, b *Buffer, config *tls.Config, by time.Time) error {
	w := &wire{conn: c, buffer: b}
	w.tls = tls.Server(w, config)
	c.SetReadDeadline(by)
	c.mu.Lock()
	c.wire = w
	c.mu.Unlock()
	err := w.tls.HandshakeContext(ctx)
	w.pushAnswer()
	c.SetReadDeadline(time.Time{})
	c.mu.Lock()
	defer c.mu.Unlock()
	w.buffer = nil
	if err != nil {
		w.drop()
		c.wire = nil
		return err
	}
	w.up, w.more = true, true
	return nil // with an empty Buffer: what was in it came before our part of the handshake
}

// TLS is what was agreed on by the handshake, or nil for a plain connection. It is for
// who is in Ready.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.wire == nil {
		return nil
	}
	s := c.wire.tls.ConnectionState()
	return &s
}

// read reads what has come, decrypted.
func (w *wire) read(b *Buffer, p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.buffer = b
	n, err := w.tls.Read(p)
	w.buffer = nil
	w.pushAnswer()
	c := w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	switch err {
	case nil, errNothing, os.ErrDeadlineExceeded:
	default:
		w.err = err // crypto/tls forgets some
	}
	w.more = n > 0 && err != errNothing || w.err != nil
	if n > 0 && err == errNothing {
		err = nil
	}
	return n, err
}

// pushAnswer pushes what a read has sealed. A peer that makes it answer and takes
// nothing is given up.
func (w *wire) pushAnswer() {
	if w.left() == 0 {
		return
	}
	c := w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.flushes.Load() {
		c.offer(new(memory.Pieces), false)
	}
	if w.left() > addLimit {
		c.fail(ErrFull)
	}
}

// left is the number of bytes that the socket has not taken.
func (w *wire) left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealed == nil {
		return 0
	}
	return w.sealed.Len()
}

// try seals p and pushes it, as long as the socket takes that. What it has not taken is
// left over, of a record's size at most; the rest stays in p. With ends close_notify
// follows. conn.mu is held.
func (w *wire) try(p *memory.Pieces, ends bool) (n int, err error) {
	for {
		if p.Len() > 0 && w.left() == 0 {
			if err := w.seal(p); err != nil {
				return n, err
			}
		}
		if ends && p.Len() == 0 {
			w.tell()
		}
		m, err := w.push(ends)
		n += m
		if err != nil || p.Len() == 0 || w.left() > 0 {
			return n, err
		}
	}
}

// gathered are for short runs of bytes, which become one record.
var gathered = sync.Pool{New: func() any { return new([]byte) }}

// seal makes records of the next bytes of p, which it takes off. conn.mu is held.
func (w *wire) seal(p *memory.Pieces) error {
	run, alone := p.First()
	if alone || len(run) >= recordSize {
		run = run[:min(len(run), recordSize)]
		_, err := w.tls.Write(run)
		p.Advance(len(run))
		return err
	}
	b := gathered.Get().(*[]byte)
	defer gathered.Put(b)
	*b = (*b)[:0]
	for len(*b) < recordSize && p.Len() > 0 {
		run, _ := p.First()
		run = run[:min(len(run), recordSize-len(*b))]
		*b = append(*b, run...)
		p.Advance(len(run))
	}
	_, err := w.tls.Write(*b)
	return err
}

// tell seals close_notify, once, unless reads have failed. conn.mu is held.
func (w *wire) tell() {
	if w.up && (w.err == nil || w.err == io.EOF) {
		w.tls.CloseWrite()
	}
}

// push writes as much of what is sealed as the socket takes. conn.mu is held.
func (w *wire) push(ends bool) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealed == nil {
		return 0, nil
	}
	n, err = w.conn.push(w.sealed, ends)
	if w.sealed.Len() == 0 {
		w.free()
	} else {
		w.count(int32(w.sealed.Own()))
	}
	return n, err
}

// count counts what is held of records. w.mu is held.
func (w *wire) count(held int32) {
	if held != w.counted {
		memory.Add(int(held - w.counted))
		w.counted = held
	}
}

// sealings are for records until the socket has taken them.
var sealings = sync.Pool{New: func() any { return new(memory.Pieces) }}

// free gives sealed back. w.mu is held.
func (w *wire) free() {
	w.count(0)
	if w.sealed.Reset(); cap(w.sealed.Bytes) <= 2*recordSize {
		sealings.Put(w.sealed)
	}
	w.sealed = nil
}

// drop gives back what the socket has not taken and is not needed any more.
func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealed != nil {
		w.free()
	}
}

// leave ends the wire with the connection, for which err is the reason. Where that ends
// here, and nothing else is left over, the peer is told. conn.mu is held.
func (w *wire) leave(err error) {
	if err == errClosed && !w.loose && !w.conn.flushes.Load() {
		w.try(new(memory.Pieces), true)
	}
	w.drop()
}

// Read reads records.
func (w *wire) Read(p []byte) (int, error) {
	c := w.conn
	switch {
	case w.loose:
		return c.under.Read(p)
	case !w.up && w.buffer.Buffered() > 0:
		return w.buffer.Read(p)
	}
	w.pushAnswer()
	if w.buffer.nonblocking && !c.mayBeRead() {
		return 0, errNothing
	}
	return c.receive(w.buffer, p)
}

// listens tells whether the connection, of which only the end is waited for, has to be
// read for that: by TLS the peer may end its side and keep its socket. It is read until
// something else has come. c.mu is held.
func (c *Conn) listens() bool {
	return c.waits == hangup && c.wire != nil && c.err == nil && !c.ended && len(c.head) == 0 && (c.readable || c.wire.more)
}

// listen reads that. What has come instead is kept. c.mu is held, but for that time.
func (c *Conn) listen(b *Buffer) {
	switch c.fill(b) {
	case nil:
		b.Unread()
	case errNothing:
	default:
		c.ended = true
	}
}

// mayBeRead tells whether the socket has to be asked. A read that proves that nothing
// is left follows each that has found something, and most need not ask for that.
func (c *Conn) mayBeRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readable || c.ended || c.over()
}

// Write takes records. It does not wait, and does not fail, since crypto/tls could not
// go on after that.
func (w *wire) Write(p []byte) (int, error) {
	if w.loose {
		if err := w.settle(); err != nil {
			return 0, err
		}
		return w.conn.under.Write(p)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sealed == nil {
		w.sealed = sealings.Get().(*memory.Pieces)
	}
	w.sealed.Bytes = append(w.sealed.Bytes, p...)
	return len(p), nil
}

// settle writes what the socket had not taken when the connection was released, an answer to
// a KeyUpdate for one: nothing can be read without.
func (w *wire) settle() error {
	w.mu.Lock()
	left := w.sealed
	w.sealed = nil
	w.count(0)
	w.mu.Unlock()
	if left == nil {
		return nil
	}
	defer left.Reset()
	for piece := range left.Chunks(pieceSize) {
		if _, err := w.conn.under.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) Close() error         { return w.conn.Close() }
func (w *wire) LocalAddr() net.Addr  { return w.conn.under.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr { return w.conn.under.RemoteAddr() }

// SetDeadline and its like do nothing as long as the connection has its own deadlines:
// that of a close_notify would be one of all writes.
func (w *wire) SetDeadline(t time.Time) error {
	if !w.loose {
		return nil
	}
	return w.conn.under.SetDeadline(t)
}

func (w *wire) SetReadDeadline(t time.Time) error {
	if !w.loose {
		return nil
	}
	return w.conn.under.SetReadDeadline(t)
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	if !w.loose {
		return nil
	}
	return w.conn.under.SetWriteDeadline(t)
}

// release gives the tls.Conn to others. conn.mu is held.
func (w *wire) release() net.Conn {
	w.loose = true
	if len(w.conn.head) > 0 {
		return headed{w.tls, w.conn}
	}
	return w.tls
}

// retake takes it back. conn.mu is held.
func (w *wire) retake() { w.loose, w.more = false, true }

// A headed is a released TLS connection of which something has been read before.
type headed struct {
	*tls.Conn
	conn *Conn
}

func (h headed) Read(p []byte) (int, error) {
	if len(h.conn.head) > 0 {
		return h.conn.readHead(p), nil
	}
	return h.Conn.Read(p)
}
