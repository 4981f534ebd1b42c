// Package netpoll is bytes whose writes never wait: connections that cost no
// goroutine while they are quiet. It knows nothing of what the bytes mean.
//
// A [Conn] writes what its socket takes at once, keeps the rest and writes that
// when the socket can take more. So a peer that does not read costs its own
// bounded rest and nothing else: no caller of Write waits for it.
//
// A Conn that waits for its peer is parked: it has no goroutine and no buffer,
// only a place in an epoll set. When bytes come, a [Buffer] is lent to it, and the
// goroutine that was told of them calls its [Owner]. Another one waits for the next
// event meanwhile, so an Owner may take its time. No lock is held while an Owner is
// called.
//
// Connections are taken by a [Group], which ends them together; while nobody has
// business with them they rest in an [IdleLine], and go back to the world of net.Conn
// by Release. A [Listener] accepts connections that the Go runtime's poller does not
// get to know.
//
// TLS is one more way to make bytes: by [Conn.Secure] a connection begins to speak it,
// with crypto/tls, and is parked as before. Only the handshake takes a goroutine.
//
// Connections that others have wrapped, with a *tls.Conn for one, and systems without
// epoll wait and write on goroutines behind the same methods.
//
// From a Group down: group.go, idle.go and release.go say who has a connection;
// conn.go parks and wakes it, buffer.go reads, write.go writes, secure.go has both of
// TLS; deadline.go and drain.go look at those that are late, by clock.go; epoll_linux.go tells of events,
// socket_linux.go and tcp_linux.go are system calls.
package netpoll

import "errors"

var (
	// ErrFull is the end of a connection whose peer makes it write, with pings for
	// one, and does not read; or for which alone much is held while publishers wait.
	ErrFull = errors.New("netpoll: peer does not read")

	// ErrTimeout is the end of a connection whose peer does not take what is
	// written within the write timeout.
	ErrTimeout = errors.New("netpoll: peer does not take what is written in time")

	// ErrDown is Claim's answer after the Group's Shutdown.
	ErrDown = errors.New("netpoll: group is shut down")

	// errClosed is the end of a connection that was closed here.
	errClosed = errors.New("netpoll: connection is closed")

	// errUnwatched is the end of a TLS connection that came back while epoll had no
	// place for more.
	errUnwatched = errors.New("netpoll: no place in the epoll set")

	// errNothing is what a nonblocking read returns where nothing has come.
	errNothing error = nothingYet{}
)

// nothingYet is temporary, so that crypto/tls does not keep it.
type nothingYet struct{}

func (nothingYet) Error() string   { return "netpoll: nothing has come" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }
