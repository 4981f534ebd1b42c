package netpoll

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallWindow returns the two ends of a TCP connection whose client can keep a few KiB.
func smallWindow(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	if client, err = d.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	client.SetDeadline(time.Now().Add(20 * time.Second))
	return <-accepted, client
}

// userTimeout is the socket's, in milliseconds.
func userTimeout(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	after, _ := unix.GetsockoptInt(int(c.fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	return after
}

// A client with a small window that reads without a pause gets everything, however many
// write timeouts that takes: whether its window has room for a whole segment is not what
// ends it. What is sent is the socket's, or for the larger part left over from Write.
func TestSlowReaderWithASmallWindow(t *testing.T) {
	for _, size := range []int{64 << 10, 4 << 20} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			p := New(500 * time.Millisecond)
			server, client := smallWindow(t)
			c := p.Take(server, nil)
			c.Own(newEcho())
			before := userTimeout(c)
			sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
			c.Write(sent)
			if c.Pending() != (size > 1<<20) {
				t.Errorf("%d bytes: pending %v: not what is tested", size, c.Pending())
			}
			got := make([]byte, 0, len(sent))
			for begun, piece := time.Now(), make([]byte, 750); len(got) < len(sent); {
				n, err := client.Read(piece)
				got = append(got, piece[:n]...)
				if err != nil {
					t.Fatalf("%d of %d bytes, after %v: %v", len(got), len(sent), time.Since(begun), err)
				}
				if time.Since(begun) < 8*p.writeTimeout {
					time.Sleep(50 * time.Millisecond)
				} else {
					piece = make([]byte, 64<<10)
				}
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("%d of %d bytes", len(got), len(sent))
			}
			eventually(t, "the timeout is as before", func() bool { return !c.drains.Load() && userTimeout(c) == before })
			c.Close()
			shutdown(t, p)
		})
	}
}

// A slow client that stops is given up: in a write timeout where something is left over,
// in three where the socket has taken everything.
func TestSlowReaderThatStops(t *testing.T) {
	for _, size := range []int{64 << 10, 4 << 20} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			p := New(500 * time.Millisecond)
			server, client := smallWindow(t)
			c, w := p.Take(server, nil), &watcher{make(chan struct{})}
			c.Own(w)
			c.Watch(w)
			c.Write(make([]byte, size))
			for range 100 {
				io.ReadFull(client, make([]byte, 150))
				time.Sleep(p.writeTimeout / 50)
			}
			stopped := time.Now()
			eventually(t, "given up", func() bool {
				select {
				case <-w.gone:
					return true
				default:
					return false
				}
			})
			least, most := p.writeTimeout/2, 10*p.writeTimeout
			if took := time.Since(stopped); took < least || took > most {
				t.Errorf("%d bytes: given up after %v", size, took)
			}
			if _, err := c.Write(nil); !errors.Is(err, ErrTimeout) {
				t.Errorf("%d bytes: %v", size, err)
			}
			shutdown(t, p)
		})
	}
}
