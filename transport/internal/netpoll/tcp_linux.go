package netpoll

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A tcp is a TCP connection as the kernel gives it. The Go runtime's poller gets to
// know it, which costs more memory and a system call or two, when it is first used
// as a net.Conn.
type tcp struct {
	remote   netip.AddrPort
	listener *Listener

	mu   sync.Mutex // guards the rest
	fd   int        // -1: closed
	file *os.File   // for the runtime's poller, or nil

	conn Conn // that is made of it, which saves a piece of memory
}

// A Listener accepts TCP connections, for Take or for anybody.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
	addr net.Addr
}

// What connections inherit. Idle ones are probed as seldom as will do: those that
// have a heartbeat within a minute never are.
var inherited = []struct{ level, name, value int }{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
}

// Listen listens at addr, a host and a port.
func Listen(addr string) (net.Listener, error) {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // which has no TCP_USER_TIMEOUT and costs more
	l, err := plain.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	made := &Listener{file, raw, l.Addr()}
	for _, o := range inherited {
		if err := made.set(o.level, o.name, o.value); err != nil {
			file.Close()
			return nil, err
		}
	}
	return made, nil
}

// set sets an option of the connections.
func (l *Listener) set(level, name, value int) (err error) {
	closed := l.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, value) })
	return errors.Join(closed, os.NewSyscallError("setsockopt", err))
}

// Addr returns the address that the Listener listens at.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close stops listening.
func (l *Listener) Close() error { return l.file.Close() }

// Accept waits for the next connection on the Go runtime's poller.
func (l *Listener) Accept() (c net.Conn, err error) {
	closed := l.raw.Read(func(listener uintptr) bool {
		for {
			var from unix.RawSockaddrInet6 // an IPv4 address fits, too
			size := uint32(unsafe.Sizeof(from))
			fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, listener, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
			switch errno {
			case 0:
				c = &tcp{fd: int(fd), remote: addrPort(&from), listener: l}
			case unix.EINTR, unix.ECONNABORTED:
				continue
			case unix.EAGAIN:
				return false
			default:
				err = &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: os.NewSyscallError("accept4", errno)}
			}
			return true
		}
	})
	if closed != nil {
		err = &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
	return c, err
}

func addrPort(a *unix.RawSockaddrInet6) netip.AddrPort {
	if a.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), networkOrder(v4.Port))
	}
	ip := netip.AddrFrom16(a.Addr).Unmap()
	if a.Scope_id != 0 {
		ip = ip.WithZone(zone(int(a.Scope_id)))
	}
	return netip.AddrPortFrom(ip, networkOrder(a.Port))
}

func networkOrder(port uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, port))
}

// zone is the name of a link-local address's interface.
func zone(index int) string {
	if i, err := net.InterfaceByIndex(index); err == nil {
		return i.Name
	}
	return strconv.Itoa(index)
}

func (c *tcp) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }
func (c *tcp) remoteAddr() string   { return c.remote.String() }

// LocalAddr asks the socket if the listener listens on more than one address.
func (c *tcp) LocalAddr() net.Addr {
	if l, ok := c.listener.addr.(*net.TCPAddr); ok && !l.IP.IsUnspecified() {
		return l
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var local unix.RawSockaddrInet6
	size := uint32(unsafe.Sizeof(local))
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(c.fd), uintptr(unsafe.Pointer(&local)), uintptr(unsafe.Pointer(&size))); errno != 0 {
		return c.listener.addr
	}
	return net.TCPAddrFromAddrPort(addrPort(&local))
}

// isFresh tells whether the Go runtime's poller does not know the connection.
func (c *tcp) isFresh() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd >= 0 && c.file == nil
}

// polled returns the connection as the Go runtime's poller knows it.
func (c *tcp) polled() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.fd < 0:
		return nil, net.ErrClosed
	case c.file == nil:
		c.file = os.NewFile(uintptr(c.fd), "tcp")
	}
	return c.file, nil
}

func (c *tcp) Read(p []byte) (n int, err error) {
	f, err := c.polled()
	if err == nil {
		n, err = f.Read(p)
	}
	return n, c.named("read", err)
}

func (c *tcp) Write(p []byte) (n int, err error) {
	f, err := c.polled()
	if err == nil {
		n, err = f.Write(p)
	}
	return n, c.named("write", err)
}

// CloseWrite tells the peer of the end before the connection is closed.
func (c *tcp) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return unix.Shutdown(c.fd, unix.SHUT_WR)
}

func (c *tcp) SetDeadline(t time.Time) error      { return c.limit(t, (*os.File).SetDeadline) }
func (c *tcp) SetReadDeadline(t time.Time) error  { return c.limit(t, (*os.File).SetReadDeadline) }
func (c *tcp) SetWriteDeadline(t time.Time) error { return c.limit(t, (*os.File).SetWriteDeadline) }

func (c *tcp) limit(t time.Time, set func(*os.File, time.Time) error) error {
	if t.IsZero() && c.isFresh() {
		return nil // it has no deadline
	}
	f, err := c.polled()
	if err == nil {
		err = set(f, t)
	}
	return c.named("set", err)
}

func (c *tcp) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	fd := c.fd
	c.fd = -1
	switch {
	case fd < 0:
		return net.ErrClosed
	case c.file != nil:
		return c.file.Close()
	}
	return unix.Close(fd)
}

// named makes a file's error that of a connection, as net has it.
func (c *tcp) named(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var of *os.PathError
	switch {
	case errors.Is(err, os.ErrClosed):
		err = net.ErrClosed
	case errors.As(err, &of):
		err = of.Err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.listener.addr, Addr: c.RemoteAddr(), Err: err}
}
