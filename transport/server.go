package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"

	"switchback/transport/internal/http1"
	"switchback/transport/internal/netpoll"
)

// A Server is an http.Server and what has sessions among its handlers: it serves with
// fewer goroutines and less memory than the http.Server alone would, and ends both in
// the right order. Its methods may be called from any goroutine.
type Server struct {
	// HandshakeLimit is how many TLS handshakes of parked connections are under way at a
	// time; further clients wait their turn. It must not change after Serve. The default is
	// 1,024.
	HandshakeLimit int

	http     *http.Server
	services []Service
	tls      TLSStats
}

// TLSStats are the counters of TLS connections that wait without a goroutine, which are
// their server's to change: Handshakes that were made, are UnderWay, wait (Waiting) at
// HandshakeLimit, or Failed; of these, those that GaveWay to others; and clients that could
// not begin theirs in time (Late).
type TLSStats = http1.TLSStats

// A Service is an [Endpoint], or something else that has sessions. Shutdown ends them
// while the server goes on accepting connections, and returns when that is done, or
// with the context's error.
type Service interface {
	Shutdown(ctx context.Context) error
}

// NewServer returns a Server of s, whose handler calls the services: NewServer does
// not make it do so. Fields of s must not change any more.
func NewServer(s *http.Server, services ...Service) *Server {
	return &Server{http: s, services: services}
}

// TLSStats are the Server's counters of TLS.
func (s *Server) TLSStats() *TLSStats { return &s.tls }

// Listen listens at addr, a host and a port, as net.Listen does, for
// [Server.Serve]. On Linux its connections are not of type *net.TCPConn, and have
// no Multipath TCP. They have TCP keep-alive, after a minute.
func Listen(addr string) (net.Listener, error) { return netpoll.Listen(addr) }

// Serve is the http.Server's Serve or, where that has a certificate in its TLSConfig,
// ServeTLS. Where l is of [Listen], a connection that waits for its first request costs
// no goroutine and hardly any memory, and opening a session costs less: a plain request
// for a session is served without http.Server, from the first one on a connection. It is
// told by its method and the end of its path, such as websocket or xhr_send, which are those
// of the package's table of URLs. Handlers see what http.Server would give them, and its
// timeouts and limits hold, but:
//
//   - There are no interim responses, no trailers and no write deadlines.
//   - SetKeepAlivesEnabled does not reach it.
//   - BaseContext is called a second time, and ConnContext for each such request.
//
// With a WriteTimeout or a ConnState no request is served so.
//
// Over TLS that is so for HTTP/1.1; HTTP/2 is the http.Server's. A handshake takes a
// goroutine, for ReadHeaderTimeout or ReadTimeout at most, or 10 seconds where neither is
// set. At HandshakeLimit further clients wait, as long as that, and from then on a handshake
// that has taken 5 seconds gives way to each that comes. This rests on more of crypto/tls than is
// documented, which this module's tests look at with each release of Go. The http.Server's
// own ServeTLS does without, at 20 to 50 KiB an idle session; Shutdown ends that, too.
func (s *Server) Serve(l net.Listener) error {
	if s.HandshakeLimit < 0 {
		l.Close()
		return errors.New("transport: HandshakeLimit: must not be negative")
	}
	var handshakes *http1.Handshakes
	if hasCertificate(s.http.TLSConfig) {
		handshakes = &http1.Handshakes{Limit: cmp.Or(s.HandshakeLimit, handshakeLimit), Stats: &s.tls}
	}
	return http1.Serve(s.http, l, handshakes, servesAtOnce)
}

// handshakeLimit is the default of HandshakeLimit.
const handshakeLimit = 1024

// hasCertificate tells whether ServeTLS needs no file for one.
func hasCertificate(c *tls.Config) bool {
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil)
}

// Shutdown ends the services, all at once and while connections are still accepted,
// by which clients that poll come for what they have not fetched. Then it stops
// accepting, waits until the requests that are being served are answered, and closes
// the connections. What is not done when the context is, it cuts, and returns the
// context's error. Serve returns http.ErrServerClosed.
func (s *Server) Shutdown(ctx context.Context) error {
	errs := make([]error, len(s.services))
	var ending sync.WaitGroup
	for i, service := range s.services {
		ending.Go(func() { errs[i] = service.Shutdown(ctx) })
	}
	ending.Wait()
	return errors.Join(append(errs, http1.Shutdown(ctx, s.http))...)
}
