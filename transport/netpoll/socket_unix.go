//go:build unix

package netpoll

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// A socket writes to a bare socket without waiting. Its owner's lock guards
// it.
type socket struct {
	raw   syscall.RawConn
	write func(fd uintptr) bool // made once
	p     []byte
	n     int
	err   error
}

func bareSocket(c net.Conn) *socket {
	raw := rawConn(c)
	if raw == nil {
		return nil
	}
	s := &socket{raw: raw}
	s.write = s.once
	return s
}

// try writes as much of p as the socket takes now.
func (s *socket) try(p []byte) (int, error) {
	s.p, s.n, s.err = p, 0, nil
	err := s.raw.Write(s.write)
	s.p = nil
	if err == nil {
		err = s.err
	}
	return s.n, err
}

// once writes until the socket takes no more. It returns true: nobody waits.
func (s *socket) once(fd uintptr) bool {
	for s.n < len(s.p) {
		n, err := unix.Write(int(fd), s.p[s.n:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return true
		case err != nil:
			s.err = err
			return true
		case n == 0:
			s.err = io.ErrUnexpectedEOF
			return true
		default:
			s.n += n
		}
	}
	return true
}

// rawConn returns c's socket where there is nothing between c and it.
func rawConn(c net.Conn) syscall.RawConn {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
