package netpoll

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canPark tells whether this system can watch parked connections.
const canPark = true

// userTimeout is how many write timeouts a peer may leave written bytes without
// an acknowledgement: then it has vanished, although the socket took them.
const userTimeout = 3

// bareSocket returns the descriptor of c where there is nothing between c and
// its socket, otherwise -1.
func bareSocket(c net.Conn, writeTimeout time.Duration) int32 {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return -1
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1
	}
	fd := int32(-1)
	raw.Control(func(d uintptr) {
		fd = int32(d)
		// It fails for a Unix socket, whose peer cannot vanish.
		unix.SetsockoptInt(int(d), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout*writeTimeout/time.Millisecond))
	})
	return fd
}

// try writes as much of p as the socket takes now. The socket does not block, so
// the scheduler is not told of the call, which would cost as much as all else
// that is done for a frame. With ends the socket keeps the last packet until it is
// closed, for a while. c.mu is held.
func (c *Conn) try(p []byte, ends bool) (n int, err error) {
	flags := uintptr(unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT)
	if ends {
		flags |= unix.MSG_MORE
	}
	for n < len(p) {
		m, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&p[n])), uintptr(len(p)-n), flags, 0, 0)
		switch errno {
		case 0:
			n += int(m)
		case unix.EINTR:
		case unix.EAGAIN:
			return n, nil
		default:
			return n, errno
		}
	}
	return n, nil
}

// A receiver reads from a bare socket as try writes: a read that has to wait for
// its bytes makes two calls, and the scheduler is told of neither.
type receiver struct {
	raw  syscall.RawConn
	once func(fd uintptr) bool // receive, as a value
	p    []byte
	n    int
	err  error
}

func (r *receiver) lend(c net.Conn) {
	r.raw, _ = c.(syscall.Conn).SyscallConn()
	if r.once == nil {
		r.once = r.receive
	}
}

// read waits for bytes on the Go runtime's poller.
func (r *receiver) read(p []byte) (int, error) {
	r.p, r.n, r.err = p, 0, io.EOF
	err := r.raw.Read(r.once)
	r.p = nil
	if err != nil {
		return 0, err
	}
	return r.n, r.err
}

// receive reads what the socket has. It is false when there is nothing yet.
func (r *receiver) receive(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&r.p[0])), uintptr(len(r.p)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EAGAIN:
			return false
		case errno == unix.EINTR:
			continue
		case errno != 0:
			r.err = errno
		case n > 0:
			r.n, r.err = int(n), nil
		}
		return true
	}
}

// arm has the epoll set report what the connection waits for, once. It is
// false where it cannot. c.mu is held.
func (c *Conn) arm() bool {
	if c.fd < 0 {
		return false
	}
	events := uint32(0)
	switch {
	case c.waits == hangup && c.early:
		events = unix.EPOLLRDHUP
	case c.waits == hangup, c.waits != nothing && !c.works:
		events = unix.EPOLLRDHUP | unix.EPOLLIN // which then is armed for the next request
	}
	if c.flushes.Load() {
		events |= unix.EPOLLOUT
	}
	if events&^c.armed == 0 {
		return true
	}
	c.armed = 0
	if parked.watch(c, events|unix.EPOLLONESHOT) {
		c.armed = events
	}
	return c.armed != 0
}

// disarm takes the connection out of the epoll set, before it is closed. c.mu
// is held.
func (c *Conn) disarm() {
	c.known, c.armed = false, 0
	parked.remove(c)
}

// withdraw is disarm for a connection that stays open. c.mu is held.
func (c *Conn) withdraw() {
	unix.EpollCtl(parked.fd, unix.EPOLL_CTL_DEL, int(c.fd), nil)
	c.disarm()
}

// event is called when what arm asked for has happened.
func (c *Conn) event(stamp int32, events uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || !c.known || c.stamp != stamp {
		return
	}
	c.armed = 0
	if c.flushes.Load() {
		c.flushSome()
	}
	switch come := events &^ unix.EPOLLOUT; {
	case come == 0:
	case come == unix.EPOLLIN && c.waits == hangup:
		c.early = true
	default:
		c.rouse()
	}
	if c.err == nil && c.poller != nil && !c.arm() {
		c.fail(errClosed)
	}
}

// parked is the epoll set of all connections of the process. It exists while
// there are any in it, and so does its goroutine.
var parked epollSet

type epollSet struct {
	mu    sync.Mutex // guards the rest
	fd    int
	file  *os.File
	conns []*Conn // by descriptor
	count int
	stamp int32
}

// watch asks for events of c. c.mu is held.
func (s *epollSet) watch(c *Conn, events uint32) bool {
	op := unix.EPOLL_CTL_MOD
	if !c.known {
		if !s.add(c) {
			return false
		}
		c.known = true
		op = unix.EPOLL_CTL_ADD
	}
	event := unix.EpollEvent{Events: events, Fd: c.fd, Pad: c.stamp}
	return unix.EpollCtl(s.fd, op, int(c.fd), &event) == nil
}

// add gives c a place, and the set its goroutine if c is the first.
func (s *epollSet) add(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 && !s.open() {
		return false
	}
	for int(c.fd) >= len(s.conns) {
		s.conns = append(s.conns, make([]*Conn, len(s.conns)+64)...)
	}
	s.conns[c.fd] = c
	s.count++
	s.stamp++
	c.stamp = s.stamp
	return true
}

func (s *epollSet) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c.fd] = nil
	if s.count--; s.count == 0 {
		s.file.SetReadDeadline(past) // ends its goroutine
	}
}

// open makes the set and its goroutine, which waits on the Go runtime's poller,
// so that it takes no thread. s.mu is held.
func (s *epollSet) open() bool {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return false
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil || file.SetReadDeadline(time.Time{}) != nil { // it can have none where it cannot be waited for
		file.Close()
		return false
	}
	s.fd, s.file, s.conns = fd, file, nil
	go func() {
		defer file.Close()
		raw.Read(s.tell)
	}()
	return true
}

// tell tells the connections of the events that there are. It returns false, for
// raw.Read to wait for more: what comes meanwhile ends that wait at once. The call
// does not block, and the scheduler is not told of it, which would wake the
// runtime's monitor each time.
func (s *epollSet) tell(fd uintptr) bool {
	var events [128]unix.EpollEvent
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		if errno != 0 {
			n = 0
		}
		for _, e := range events[:n] {
			if c := s.find(e.Fd); c != nil {
				c.event(e.Pad, e.Events)
			}
		}
		if n < uintptr(len(events)) {
			return false
		}
	}
}

func (s *epollSet) find(fd int32) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(fd) >= len(s.conns) {
		return nil
	}
	return s.conns[fd]
}
