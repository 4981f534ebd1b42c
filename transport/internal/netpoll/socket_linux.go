package netpoll

import (
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"switchback/session/memory"
)

// CanPark tells whether this system can watch parked connections.
const CanPark = true

// vanishedAfter is how long a peer may leave written bytes without an acknowledgement,
// in milliseconds: then it has vanished, although the socket took them. c.mu is held.
func (c *Conn) vanishedAfter() int32 { return int32(3 * c.writeTimeout / time.Millisecond) }

// setUserTimeout sets TCP_USER_TIMEOUT (tcp(7)), in milliseconds; 0 leaves it to the
// system. It has no effect on a Unix socket, whose peer cannot vanish. c.mu is held.
func (c *Conn) setUserTimeout(after int32) {
	if c.fd >= 0 && c.userTimeout != after && c.err == nil {
		c.userTimeout = after
		unix.SetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after))
	}
}

// unacknowledged is the number of bytes that the socket has taken and its peer has not.
// c.mu is held.
func (c *Conn) unacknowledged() int {
	n, _ := unix.IoctlGetInt(int(c.fd), unix.SIOCOUTQ)
	return n
}

// taken changes when the peer acknowledges something. c.mu is held.
func (c *Conn) taken() uint64 {
	if info, err := unix.GetsockoptTCPInfo(int(c.fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		return info.Bytes_acked
	}
	return uint64(c.unacknowledged()) // of a Unix socket
}

// isBare tells whether there is nothing between c and its socket.
func isBare(c net.Conn) bool {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn, *tcp:
		return true
	}
	return false
}

// bareSocket returns the descriptor of c where it is bare, otherwise -1.
func bareSocket(c net.Conn) int32 {
	if t, ok := c.(*tcp); ok {
		return int32(t.fd)
	}
	if !isBare(c) {
		return -1
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1
	}
	fd := int32(-1)
	raw.Control(func(d uintptr) { fd = int32(d) })
	return fd
}

// push writes as much of p as the socket takes now, which is taken off p. With ends the
// socket keeps the last packet until it is closed, for a while. c.mu is held.
func (c *Conn) push(p *memory.Pieces, ends bool) (n int, err error) {
	flags := unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
	if ends {
		flags |= unix.MSG_MORE
	}
	for p.Len() > 0 && err == nil {
		var m int
		if run, alone := p.First(); alone {
			m, err = c.send(run, flags)
		} else {
			var runs [64][]byte
			m, err = unix.SendmsgBuffers(int(c.fd), p.Buffers(runs[:0]), nil, nil, flags)
		}
		switch err {
		case nil:
			p.Advance(m)
			n += m
		case unix.EINTR:
			err = nil
		case unix.EAGAIN:
			return n, nil
		}
	}
	return n, err
}

// send writes one run. The socket does not block, so the scheduler is not told of the
// call, which would cost as much as all else that is done for a frame.
func (c *Conn) send(run []byte, flags int) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&run[0])), uintptr(len(run)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// recv reads what the socket has, as push writes. It returns errNothing where that
// is nothing. c.mu is held.
func (c *Conn) recv(p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return 0, errNothing
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		default:
			return int(n), nil
		}
	}
}
