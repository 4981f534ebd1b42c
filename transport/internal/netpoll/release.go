package netpoll

import (
	"crypto/tls"
	"net"
	"time"
)

// Release gives the connection to somebody who reads and writes it as a net.Conn:
// it is in no Group any more, and nobody is told of what comes. What was read here
// already is read first. A TLS connection is a *tls.Conn, but where something has been
// read, which has the methods of one. Nothing may be left over but records of TLS, which
// are written first. It fails where the connection has.
func (c *Conn) Release() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	c.leaveLine()
	c.leave()
	c.group, c.owner, c.waits, c.readBy = nil, nil, nothing, 0
	c.setUserTimeout(0)
	drop(c.rest)
	c.rest = nil
	c.flushes.Store(false)
	c.withdraw()
	c.disown()
	if c.wire != nil {
		return c.wire.release(), nil
	}
	return released{c}, nil
}

// ours is the connection that Release has given as c, or nil.
func ours(c net.Conn) *Conn {
	switch c := c.(type) {
	case released:
		return c.Conn
	case headed:
		return c.conn
	case *tls.Conn:
		if w, ok := c.NetConn().(*wire); ok {
			return w.conn
		}
	}
	return nil
}

// NetConn is the connection as Release gives it. Until then it tells addresses, and of
// TLS its state, and no more may be done with it.
func (c *Conn) NetConn() net.Conn {
	if c.wire != nil {
		return c.wire.tls
	}
	return released{c}
}

// Peer is the peer's address, of which few connections need a net.Addr made.
func (c *Conn) Peer() string {
	if t, ok := c.under.(interface{ remoteAddr() string }); ok {
		return t.remoteAddr()
	}
	return c.under.RemoteAddr().String()
}

// A released is a Conn as others have it.
type released struct{ *Conn }

func (r released) Write(p []byte) (int, error) { return r.under.Write(p) }

// CloseWrite tells the peer of the end before the connection is closed.
func (r released) CloseWrite() error {
	if c, ok := r.under.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (r released) LocalAddr() net.Addr                { return r.under.LocalAddr() }
func (r released) RemoteAddr() net.Addr               { return r.under.RemoteAddr() }
func (r released) SetDeadline(t time.Time) error      { return r.under.SetDeadline(t) }
func (r released) SetReadDeadline(t time.Time) error  { return r.under.SetReadDeadline(t) }
func (r released) SetWriteDeadline(t time.Time) error { return r.under.SetWriteDeadline(t) }
