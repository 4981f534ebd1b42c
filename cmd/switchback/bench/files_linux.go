package bench

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// allowFiles raises the number of files that this process may have open to
// count, or as far as it may be raised, and returns it.
func allowFiles(count int) (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur >= uint64(count) {
		return int(limit.Cur), nil
	}
	more := syscall.Rlimit{Cur: uint64(count), Max: max(uint64(count), limit.Max)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil { // only root may go over Max
		return count, nil
	}
	limit.Cur = limit.Max
	return int(limit.Cur), syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// bindLate has the system choose a connection's own port when it connects, and
// not when it is bound to its address: then ports may be used again that have
// another connection, to a different server.
func bindLate(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	if err == nil {
		err = failed
	}
	return err
}
