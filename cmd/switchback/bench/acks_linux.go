package bench

import (
	"net"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// An acker acknowledges what it has read when it is read again, unless it has been
// written to, which carries the acknowledgement. Left to itself the system does so
// when the connection is read, too, but where the last bytes came longer ago than its
// retransmission timeout, or are the first, it does when they arrive: over the
// loopback interface, within the server's system call. So messages that are rare on
// each connection would seem to cost the server more than frequent ones.
type acker struct {
	net.Conn
	raw  syscall.RawConn
	owed atomic.Bool // something was read, and nothing written since
}

// acking returns an acker for a new connection over TCP, and any other as it is.
func acking(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	a := &acker{Conn: c, raw: raw}
	a.acknowledge()
	return a
}

func (a *acker) Read(p []byte) (int, error) {
	if a.owed.Swap(false) {
		a.acknowledge()
	}
	n, err := a.Conn.Read(p)
	a.owed.Store(n > 0)
	return n, err
}

func (a *acker) Write(p []byte) (int, error) {
	a.owed.Store(false)
	return a.Conn.Write(p)
}

// acknowledge has what is owed leave, and what comes next wait (tcp(7),
// TCP_QUICKACK). It is a hint: who cannot give it measures all the same.
func (a *acker) acknowledge() {
	a.raw.Control(func(fd uintptr) {
		for _, quick := range []int{1, 0} {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, quick)
		}
	})
}
