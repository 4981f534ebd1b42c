package netpoll

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallWindow returns the two ends of a TCP connection whose client can keep a few KiB.
func smallWindow(t *testing.T) (server, client net.Conn) {
	t.Helper()
	return dialed(t, net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}})
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
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for _, size := range []int{128 << 10, 4 << 20} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			unhurried(t, time.Second, func(writeTimeout time.Duration) error {
				p := new(Group)
				defer shutdown(t, p)
				server, client := smallWindow(t)
				c := p.Take(server, nil)
				c.SetWriteTimeout(writeTimeout)
				c.Own(newEcho())
				defer c.Close()
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
						return fmt.Errorf("%d of %d bytes, after %v: %w", len(got), len(sent), time.Since(begun), err)
					}
					if time.Since(begun) < 5*writeTimeout { // TCP_USER_TIMEOUT would end it after three
						time.Sleep(writeTimeout / 20)
					} else {
						piece = make([]byte, 64<<10)
					}
				}
				if !bytes.Equal(got, sent) {
					t.Errorf("%d of %d bytes", len(got), len(sent))
				}
				eventually(t, "the timeout is as before", func() bool { return !c.drains.Load() && userTimeout(c) == before })
				return nil
			})
		})
	}
}

// A slow client that stops is given up: in a write timeout where something is left over,
// in three where the socket has taken everything. The kernel gives up what it has, too.
func TestSlowReaderThatStops(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	for size, within := range map[int][2]float64{64 << 10: {2, 6}, 4 << 20: {.5, 3}} { // write timeouts
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			unhurried(t, 800*time.Millisecond, func(timeout time.Duration) error {
				p := new(Group)
				defer shutdown(t, p)
				server, client := smallWindow(t)
				c, w := p.Take(server, nil), &watcher{make(chan struct{})}
				c.SetWriteTimeout(timeout)
				c.Own(w)
				c.Watch(w)
				c.Write(make([]byte, size))
				for range 100 {
					io.ReadFull(client, make([]byte, 400))
					time.Sleep(timeout / 50)
				}
				stopped := time.Now()
				<-w.gone
				took := float64(time.Since(stopped)) / float64(timeout)
				if _, err := c.Write(nil); !errors.Is(err, ErrTimeout) {
					t.Error(err)
				}
				eventually(t, "the kernel has nothing of it", func() bool { return !kernelHas(t, client.LocalAddr()) })
				if took < within[0] || took > within[1] {
					return fmt.Errorf("given up after %.1f write timeouts", took)
				}
				return nil
			})
		})
	}
}

// kernelHas tells whether the kernel has a connection whose peer is at an address.
func kernelHas(t *testing.T, peer net.Addr) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprintf(":%04X", peer.(*net.TCPAddr).Port)
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); strings.HasSuffix(fields[2], port) && fields[3] != "06" { // TIME_WAIT
			return true
		}
	}
	return false
}

// What was not acknowledged before something is left over does not shorten the time for
// that.
func TestStallBeforeSomethingIsLeftOver(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	unhurried(t, 800*time.Millisecond, func(timeout time.Duration) error {
		p := new(Group)
		defer shutdown(t, p)
		server, _ := smallWindow(t)
		c := p.Take(server, nil)
		c.SetWriteTimeout(timeout)
		c.Own(newEcho())
		c.Write(make([]byte, 64<<10))
		time.Sleep(2 * timeout)
		begun := time.Now()
		c.Write(make([]byte, 4<<20))
		eventually(t, "given up", func() bool { _, err := c.Write(nil); return err != nil })
		if took := time.Since(begun); took < timeout/2 {
			return fmt.Errorf("given up after %v", took)
		}
		return nil
	})
}

// Who takes the rest of a closed connection byte by byte is given up, too.
func TestRestOfAClosedConnectionHasARate(t *testing.T) {
	const second = int64(time.Second)
	for rate, want := range map[uint64]bool{0: true, 400: true, 500: false, 20_000: false} {
		var d drain
		slow := false
		for s := range int64(62) {
			slow = d.tooSlow(uint64(s)*rate, 1+s*second, 30*time.Second) || slow
		}
		if slow != want {
			t.Errorf("%d bytes a second: too slow %v", rate, slow)
		}
	}
}
