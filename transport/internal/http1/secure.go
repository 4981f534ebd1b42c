package http1

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"switchback/session/memory"
	"switchback/transport/internal/netpoll"
)

// maxHandshakes is how many TLS handshakes of a Server are under way: each takes a
// goroutine and some 30 KiB. Further clients wait their turn, without either.
const maxHandshakes = 1024

const (
	handshakeTimeout = 10 * time.Second // where http.Server has no limit
	patience         = 5 * time.Second  // after which a handshake gives way to those that wait
)

// errCrowded is the end of a handshake that gave way.
var errCrowded = errors.New("it takes too long while others wait")

// A securer is the Owner of connections until their TLS handshake is done.
type securer struct {
	server   *Server
	config   *tls.Config
	timeout  time.Duration
	most     int // handshakes that are under way
	patience time.Duration

	mu      sync.Mutex  // guards the rest
	begun   []*underWay // the oldest first
	waiting []*netpoll.Conn
	closed  bool
}

// An underWay is a handshake that is under way.
type underWay struct {
	conn    *netpoll.Conn
	since   time.Time
	crowded bool // it has to give way; guarded by the securer's mu
}

// secured has the Server's connections make a handshake first. http.Server is set up.
func (s *Server) secured() {
	servers.Lock()
	defer servers.Unlock()
	if s.securer == nil {
		s.securer = newSecurer(s)
	}
}

func newSecurer(s *Server) *securer {
	timeout := cmp.Or(s.http.ReadHeaderTimeout, s.http.ReadTimeout, handshakeTimeout)
	return &securer{server: s, config: offering(s.http), timeout: timeout, most: maxHandshakes, patience: patience}
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
// HTTP/1.1 and, where http.Server has set that up, HTTP/2.
func offering(s *http.Server) *tls.Config {
	config := s.TLSConfig.Clone()
	config.NextProtos = slices.DeleteFunc(slices.Clone(config.NextProtos), func(p string) bool { return p == "h2" || p == "http/1.1" })
	if s.TLSNextProto["h2"] != nil && (s.Protocols == nil || s.Protocols.HTTP2()) {
		config.NextProtos = append(config.NextProtos, "h2")
	}
	config.NextProtos = append(config.NextProtos, "http/1.1")
	return config
}

// Ready makes the handshake, or has the connection wait its turn.
func (s *securer) Ready(b *netpoll.Buffer) {
	c := b.Conn()
	if _, err := b.Peek(1); err != nil {
		c.Close()
		return
	}
	h := s.begin(c)
	if h == nil {
		b.Unread()
		return
	}
	err := s.secure(b)
	if s.end(h) {
		err = errCrowded
	}
	if err != nil {
		s.server.logf("http: TLS handshake error from %s: %v", c.Peer(), err)
		if plain := new(tls.RecordHeaderError); errors.As(err, plain) && isHTTP(plain.RecordHeader) {
			c.End(&memory.Pieces{Bytes: []byte("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")})
		}
		c.CloseFlushed()
		return
	}
	if p := c.TLS().NegotiatedProtocol; p != "" && p != "http/1.1" {
		c.WriteThen(new(memory.Pieces), s.server.pass)
		return
	}
	c.Rest(s.server.fresh, s.server)
}

func (*securer) Flushed() {}

// secure makes the handshake. The certificates may come from a function of others.
func (s *securer) secure(b *netpoll.Buffer) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return b.Conn().Secure(b, s.config, time.Now().Add(s.timeout))
}

// isHTTP tells requests of clients that do not know of TLS, as http.Server does.
func isHTTP(begin [5]byte) bool {
	switch string(begin[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// begin has a handshake begin, or a connection wait: then it returns nil. A handshake
// that has had its time gives way to that, so that clients that say nothing do not keep
// the others out.
func (s *securer) begin(c *netpoll.Conn) *underWay {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch h := (&underWay{conn: c, since: time.Now()}); {
	case s.closed:
		c.Close()
		return nil
	case len(s.begun) < s.most:
		s.begun = append(s.begun, h)
		return h
	}
	s.waiting = append(s.waiting, c)
	for _, h := range s.begun {
		if time.Since(h.since) < s.patience {
			break
		}
		if !h.crowded {
			h.crowded = true
			h.conn.Close()
			break
		}
	}
	return nil
}

// end has the next connection begin, and tells whether h had to give way.
func (s *securer) end(h *underWay) (crowded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.begun, h)
	s.begun = slices.Delete(s.begun, i, i+1)
	if len(s.waiting) > 0 {
		next := s.waiting[0]
		s.waiting[0] = nil
		if s.waiting = s.waiting[1:]; len(s.waiting) == 0 {
			s.waiting = nil
		}
		next.RestOn()
	}
	return h.crowded
}

// close ends the handshakes, and those that wait for theirs.
func (s *securer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, h := range s.begun {
		h.conn.Close()
	}
	for _, c := range s.waiting {
		c.Close()
	}
	s.waiting = nil
}
