package http1

import (
	"cmp"
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"switchback/session/memory"
	"switchback/transport/internal/netpoll"
)

const (
	handshakeTimeout = 10 * time.Second // where http.Server has no limit
	patience         = 5 * time.Second  // after which a handshake gives way to those that wait
)

// errCrowded is the end of a handshake that gave way.
var errCrowded = errors.New("it takes too long while others wait")

// Handshakes are the TLS handshakes of a server. Each that is under way takes a goroutine
// and some 30 KiB; further clients wait their turn, without either.
type Handshakes struct {
	Limit int // of those that are under way
	Stats *TLSStats
}

// TLSStats are the counters of TLS connections that wait without a goroutine.
type TLSStats struct {
	Handshakes atomic.Int64 // TLS handshakes that were made
	UnderWay   atomic.Int64 `metric:"gauge"` // TLS handshakes that are under way
	Waiting    atomic.Int64 `metric:"gauge"` // clients that wait to begin theirs, at HandshakeLimit
	Failed     atomic.Int64 // TLS handshakes that failed
	GaveWay    atomic.Int64 // of these, those that took long while others waited
	Late       atomic.Int64 // clients closed because they could not begin theirs in time
}

// A securer is the Owner of connections until they begin their TLS handshake.
type securer struct {
	server   *Server
	config   *tls.Config
	timeout  time.Duration
	patience time.Duration
	limit    int
	stats    *TLSStats

	mu      sync.Mutex // guards the rest, and begun and waiting of handshakes
	begun   list.List  // of handshakes that are under way, the oldest first
	waiting list.List  // of those that are to come
	closed  bool
}

// A turn is the Owner of a connection that is to make its handshake.
type turn struct {
	securer *securer
	conn    *netpoll.Conn
	since   time.Time // that it waits, or is under way
	begun   *list.Element
	waiting *list.Element
	crowded bool // it has to give way
}

// secured has the Server's connections make a handshake first. http.Server is set up.
func (s *Server) secured(h *Handshakes) {
	servers.Lock()
	defer servers.Unlock()
	if s.securer == nil {
		timeout := cmp.Or(s.http.ReadHeaderTimeout, s.http.ReadTimeout, handshakeTimeout)
		s.securer = &securer{server: s, config: offering(s.http), timeout: timeout, patience: patience, limit: h.Limit, stats: h.Stats}
	}
}

// offersHTTP2 has s set HTTP/2 up when it serves, as it would in ServeTLS, unless it is
// not to speak that. servers is locked.
func offersHTTP2(s *http.Server) {
	if !slices.Contains(s.TLSConfig.NextProtos, "h2") {
		s.TLSConfig = s.TLSConfig.Clone()
		s.TLSConfig.NextProtos = append(slices.Clip(s.TLSConfig.NextProtos), "h2")
	}
}

// offering returns the configuration by which connections are served: they are offered
// HTTP/1.1 and, where http.Server has set that up, HTTP/2; in the order of TLSConfig.
func offering(s *http.Server) *tls.Config {
	config := s.TLSConfig.Clone()
	config.NextProtos = slices.Clone(config.NextProtos)
	if s.TLSNextProto["h2"] == nil || s.Protocols != nil && !s.Protocols.HTTP2() {
		config.NextProtos = slices.DeleteFunc(config.NextProtos, func(p string) bool { return p == "h2" })
	}
	if !slices.Contains(config.NextProtos, "http/1.1") {
		config.NextProtos = append(config.NextProtos, "http/1.1")
	}
	return config
}

// Ready makes the handshake, or has the connection wait its turn.
func (s *securer) Ready(b *netpoll.Buffer) {
	c := b.Conn()
	if _, err := b.Peek(1); err != nil {
		c.Close()
		return
	}
	if t := s.begin(b); t != nil {
		t.make(b)
	}
}

func (*securer) Flushed() {}

// Ready makes the handshake, whose turn has come; or the client has gone before.
func (t *turn) Ready(b *netpoll.Buffer) {
	if b == nil {
		t.securer.leave(t)
		return
	}
	t.make(b)
}

func (*turn) Flushed() {}

// make makes the handshake, and has the connection wait for its first request.
func (t *turn) make(b *netpoll.Buffer) {
	s, c := t.securer, t.conn
	err := t.secure(b)
	if s.end(t) {
		err = errCrowded
	}
	if err != nil {
		s.stats.Failed.Add(1)
		s.server.logf("http: TLS handshake error from %s: %v", c.Peer(), err)
		if plain := new(tls.RecordHeaderError); errors.As(err, plain) && isHTTP(plain.RecordHeader) {
			c.End(&memory.Pieces{Bytes: []byte("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")})
		}
		c.CloseFlushed()
		return
	}
	s.stats.Handshakes.Add(1)
	if p := c.TLS().NegotiatedProtocol; p != "" && p != "http/1.1" {
		c.WriteThen(new(memory.Pieces), s.server.pass)
		return
	}
	c.Rest(s.server.fresh, s.server)
}

// secure is Conn.Secure. The certificates may come from a function of others.
func (t *turn) secure(b *netpoll.Buffer) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	if _, err := b.Peek(1); err != nil {
		return err
	}
	return t.conn.Secure(handshakeContext{t.securer.server.base(), t.conn}, b, t.securer.config, time.Now().Add(t.securer.timeout))
}

// A handshakeContext is what functions of the tls.Config get by ClientHelloInfo.Context: that
// of the server, with the connection's local address.
type handshakeContext struct {
	context.Context
	conn *netpoll.Conn
}

func (c handshakeContext) Value(key any) any {
	if key == http.LocalAddrContextKey {
		return c.conn.NetConn().LocalAddr()
	}
	return c.Context.Value(key)
}

// isHTTP tells requests of clients that do not know of TLS, as http.Server does.
func isHTTP(begin [5]byte) bool {
	switch string(begin[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// begin has a handshake begin, or wait: then it returns nil. A handshake that has had its
// time gives way to that, so that clients that say nothing do not keep the others out.
func (s *securer) begin(b *netpoll.Buffer) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &turn{securer: s, conn: b.Conn(), since: time.Now()}
	switch {
	case s.closed:
		t.conn.Close()
		return nil
	case s.begun.Len() < s.limit:
		s.enter(t)
		return t
	}
	t.waiting = s.waiting.PushBack(t)
	s.stats.Waiting.Add(1)
	b.Unread()
	t.conn.OwnAndWatch(t)
	for e := s.begun.Front(); e != nil; e = e.Next() {
		old := e.Value.(*turn)
		if time.Since(old.since) < s.patience {
			break
		}
		if !old.crowded {
			old.crowded = true
			s.stats.GaveWay.Add(1)
			old.conn.Close()
			break
		}
	}
	return nil
}

// enter counts a handshake that begins. s.mu is held.
func (s *securer) enter(t *turn) {
	t.begun = s.begun.PushBack(t)
	s.stats.UnderWay.Add(1)
}

// end has the next handshake begin, and tells whether t had to give way.
func (s *securer) end(t *turn) (crowded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun.Remove(t.begun)
	s.stats.UnderWay.Add(-1)
	for e := s.waiting.Front(); e != nil && s.begun.Len() < s.limit; e = s.waiting.Front() {
		next := e.Value.(*turn)
		s.wait(next)
		if time.Since(next.since) >= s.timeout {
			s.stats.Late.Add(1)
			next.conn.Close()
			continue
		}
		next.since = time.Now()
		s.enter(next)
		next.conn.Arm()
	}
	return t.crowded
}

// wait has a handshake wait no more. s.mu is held.
func (s *securer) wait(t *turn) {
	s.waiting.Remove(t.waiting)
	t.waiting = nil
	s.stats.Waiting.Add(-1)
}

// leave ends a handshake that waits.
func (s *securer) leave(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.waiting != nil {
		s.wait(t)
		t.conn.Close()
	}
}

// close ends the handshakes, and those that wait for theirs.
func (s *securer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for e := s.begun.Front(); e != nil; e = e.Next() {
		e.Value.(*turn).conn.Close()
	}
	for e := s.waiting.Front(); e != nil; e = e.Next() {
		e.Value.(*turn).conn.Close()
	}
}
