package netpoll

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchback/session/memory"
)

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "16") // the tests that are parallel wait for most of their time
	var err error
	if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	goleak.VerifyTestMain(m)
}

// listener accepts all connections of these tests. One for each pair would have the
// kernel look longer and longer for a port that no closed connection still holds.
var listener net.Listener

var dialing sync.Mutex // so that who dials is whom listener accepts

// pair returns the two ends of a TCP connection.
func pair(t testing.TB) (server, client net.Conn) { return dialed(t, net.Dialer{}) }

// dialed is pair by a dialer.
func dialed(t testing.TB, d net.Dialer) (server, client net.Conn) {
	t.Helper()
	dialing.Lock()
	defer dialing.Unlock()
	client, err := d.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	client.SetDeadline(time.Now().Add(patience))
	return server, client
}

// wrapped is a connection that epoll cannot watch.
type wrapped struct{ net.Conn }

// kinds make connections of each path.
var kinds = map[string]func(t testing.TB, p *Group) (*Conn, net.Conn){
	"parked": func(t testing.TB, p *Group) (*Conn, net.Conn) {
		server, client := pair(t)
		return p.Take(server, nil), client
	},
	"by goroutine": func(t testing.TB, p *Group) (*Conn, net.Conn) {
		server, client := pair(t)
		return p.Take(wrapped{server}, nil), client
	},
}

// socket is what is below a connection.
func socket(c net.Conn) *net.TCPConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*net.TCPConn)
}

// dials is how often a test makes a connection: over TLS less often, since each costs a
// handshake.
func dials(t *testing.T, n int) int {
	if strings.Contains(t.Name(), "TLS") {
		return n / 20
	}
	return n
}

// each runs a test with connections of each path.
func each(t *testing.T, f func(t *testing.T, p *Group, take func(Owner) (*Conn, net.Conn))) {
	eachWithin(t, 300*time.Millisecond, f)
}

// eachWithin is each with another write timeout.
func eachWithin(t *testing.T, writeTimeout time.Duration, f func(t *testing.T, p *Group, take func(Owner) (*Conn, net.Conn))) {
	for name, dial := range kinds {
		t.Run(name, func(t *testing.T) {
			p := new(Group)
			f(t, p, func(o Owner) (*Conn, net.Conn) {
				c, client := dial(t, p)
				c.SetWriteTimeout(writeTimeout)
				c.Own(o)
				return c, client
			})
			shutdown(t, p)
		})
	}
}

// rounds is how often a test does something, with -short a tenth of it.
func rounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

func shutdown(t testing.TB, p *Group) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	p.Shutdown(ctx)
}

// An echo writes back what it reads.
type echo struct {
	conn    *Conn
	reads   atomic.Int32
	flushes atomic.Int32
	ended   chan error
}

func newEcho() *echo { return &echo{ended: make(chan error, 1)} }

func (e *echo) Ready(b *Buffer) {
	e.reads.Add(1)
	p := make([]byte, 4096)
	n, err := b.Read(p)
	if err != nil {
		e.ended <- err
		e.conn.Close()
		return
	}
	e.conn.Write(p[:n])
	e.conn.Arm()
}

func (e *echo) Flushed() { e.flushes.Add(1) }

// echoed has text echoed.
func echoed(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v, want %q", got, err, text)
	}
}

// patience only tells that something hangs: a machine that has much else to do takes its time.
const patience = 2 * time.Minute

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// unhurried does what takes its time in steps of d, in which a machine that has much else to
// do may be late: what fails is done again with four, and with sixteen times as long.
func unhurried(t *testing.T, d time.Duration, do func(d time.Duration) error) {
	t.Helper()
	var err error
	for range 3 {
		if err = do(d); err == nil {
			return
		}
		t.Logf("in steps of %v: %v", d, err)
		d *= 4
	}
	t.Error(err)
}

func TestReadyWhenBytesCome(t *testing.T) {
	each(t, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		e := newEcho()
		c, client := take(e)
		e.conn = c
		c.Arm()
		for range 50 {
			echoed(t, client, "hello")
		}
		client.Close()
		if err := <-e.ended; err != io.EOF {
			t.Errorf("got %v, want EOF", err)
		}
	})
}

// What was read with the request is read first.
func TestBytesReadBefore(t *testing.T) {
	p := new(Group)
	defer shutdown(t, p)
	server, client := pair(t)
	e := newEcho()
	e.conn = p.Take(server, []byte("early "))
	e.conn.Own(e)
	b := e.conn.Lend()
	io.WriteString(client, "late")
	if got, _ := b.Peek(1); string(got) != "e" {
		t.Errorf("got %q", got)
	}
	b.GiveBack()
	e.conn.Arm()
	got := make([]byte, len("early late"))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "early late" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A peer that reads late gets everything, in order, and no Write waits for it.
func TestWriteNeverWaits(t *testing.T) {
	eachWithin(t, 20*time.Second, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		e := newEcho()
		c, client := take(e)
		e.conn = c
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		c.Write(big) // returns, although nobody reads
		if !c.Pending() {
			t.Error("the socket has taken 16 MiB: nothing is tested")
		}
		c.Write([]byte("end"))
		got := make([]byte, len(big)+3)
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got[:len(big)], big) || string(got[len(big):]) != "end" {
			t.Errorf("%v", err)
		}
		eventually(t, "flushed", func() bool { return e.flushes.Load() == 1 && !c.Pending() })
	})
}

// A peer that reads nothing ends its connection in time.
func TestPeerThatDoesNotRead(t *testing.T) {
	each(t, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		t.Parallel()
		e := newEcho()
		c, _ := take(e)
		e.conn = c
		c.Arm()
		c.Write(make([]byte, 16<<20))
		begun := time.Now()
		if err := <-e.ended; err == nil {
			t.Error("ended without an error")
		}
		if took := time.Since(begun); took >= DefaultWriteTimeout {
			t.Errorf("took %v", took)
		}
		if _, err := c.Write([]byte("x")); err == nil {
			t.Error("Write after the end")
		}
	})
}

// More is not kept for a peer that reads nothing.
func TestLeftOverIsLimited(t *testing.T) {
	eachWithin(t, 20*time.Second, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		c, _ := take(newEcho())
		c.Write(make([]byte, 16<<20))
		var err error
		for range 100 {
			if _, err = c.Write(make([]byte, 1<<10)); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrFull) {
			t.Errorf("got %v, want ErrFull", err)
		}
	})
}

func TestReadDeadline(t *testing.T) {
	each(t, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		t.Parallel()
		for _, late := range []bool{false, true} {
			e := newEcho()
			c, client := take(e)
			e.conn = c
			if late { // after something has come
				c.Arm()
				echoed(t, client, "x")
			}
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if !late {
				c.Arm()
			}
			if err := <-e.ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v, want a timeout", err)
			}
		}
	})
}

func claimed(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claimed
}

// parkEchoes returns clients whose connections wait for them to write.
func parkEchoes(t *testing.T, p *Group, n int) (clients []net.Conn) {
	t.Helper()
	for range n {
		server, client := pair(t)
		e := newEcho()
		e.conn = p.Take(server, nil)
		e.conn.Own(e)
		e.conn.Arm()
		clients = append(clients, client)
	}
	return clients
}

func TestThousandParkedHaveNoGoroutine(t *testing.T) {
	p := new(Group)
	defer shutdown(t, p)
	before := runtime.NumGoroutine()
	clients := parkEchoes(t, p, 1000)
	for _, c := range clients {
		echoed(t, c, "x")
	}
	eventually(t, "all are parked", func() bool { return runtime.NumGoroutine() <= before+2 }) // the epoll set's
}

// A watcher notes that its peer has gone.
type watcher struct{ gone chan struct{} }

func (w *watcher) Ready(b *Buffer) { close(w.gone) }
func (w *watcher) Flushed()        {}

func TestWatchTellsThatThePeerHasGone(t *testing.T) {
	each(t, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		for name, leave := range map[string]func(net.Conn){
			"close": func(c net.Conn) { c.Close() },
			"reset": func(c net.Conn) { socket(c).SetLinger(0); socket(c).Close() },
			"half":  func(c net.Conn) { socket(c).CloseWrite() },
		} {
			w := &watcher{make(chan struct{})}
			c, client := take(w)
			c.Watch(w)
			leave(client)
			select {
			case <-w.gone:
			case <-time.After(patience):
				t.Errorf("%s: was not told", name)
			}
			c.Close()
		}
	})
}

// What the peer sends meanwhile is no end of it.
func TestWatchLeavesInputAlone(t *testing.T) {
	each(t, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		w := &watcher{make(chan struct{})}
		c, client := take(w)
		c.Watch(w)
		io.WriteString(client, "the next request")
		select {
		case <-w.gone:
			t.Error("input is taken for the end")
		case <-time.After(50 * time.Millisecond):
		}
		if c.fd >= 0 { // a goroutine does not read on
			client.Close()
			<-w.gone
		}
		c.CloseFlushed()
	})
}

// A deadline of reads does not end what is being written.
func TestReadDeadlineLeavesWritesAlone(t *testing.T) {
	eachWithin(t, 20*time.Second, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		t.Parallel()
		e := newEcho()
		c, client := take(e)
		e.conn = c
		c.Write(make([]byte, 8<<20))
		if !c.Pending() {
			t.Error("the socket has taken it all: nothing is tested")
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		c.Arm()
		time.Sleep(3 * deadlineEvery)
		if _, err := io.ReadFull(client, make([]byte, 8<<20)); err != nil {
			t.Error(err)
		}
		c.Close()
	})
}

// A byte comes just while the connection is being parked.
func TestByteRacesParking(t *testing.T) {
	each(t, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		e := newEcho()
		c, client := take(e)
		e.conn = c
		c.Arm()
		for range rounds(5000) {
			echoed(t, client, "x")
		}
	})
}

// The peer closes or resets, and we close, while the connection is parked or
// being parked: Ready is called once, and nothing is left.
func TestEndRacesParking(t *testing.T) {
	each(t, func(t *testing.T, p *Group, take func(Owner) (*Conn, net.Conn)) {
		for i := range dials(t, rounds(3000)) {
			e := newEcho()
			c, client := take(e)
			e.conn = c
			go c.Arm()
			switch i % 3 {
			case 0:
				go client.Close()
			case 1:
				socket(client).SetLinger(0)
				go socket(client).Close()
			default:
				go c.Close()
			}
			<-e.ended
		}
		eventually(t, "none is left", func() bool { return p.Len() == 0 })
	})
}

func TestShutdownRacesWaking(t *testing.T) {
	for range rounds(1000) {
		p := new(Group)
		clients := parkEchoes(t, p, 5)
		for _, c := range clients {
			go io.WriteString(c, "x")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		p.Shutdown(ctx)
		cancel()
		if p.Len() != 0 {
			t.Fatal("connections are left")
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	b.ReportAllocs()
	p := new(Group)
	server, client := pair(b)
	client.SetDeadline(time.Time{})
	c := p.Take(server, nil)
	go io.Copy(io.Discard, client)
	text := make([]byte, 100)
	for b.Loop() {
		for c.Pending() {
			runtime.Gosched()
		}
		c.Write(text)
	}
	c.Close()
	shutdown(b, p)
}

// A counter counts how often it is told that the peer has gone.
type counter struct{ gone atomic.Int32 }

func (w *counter) Ready(*Buffer) { w.gone.Add(1) }
func (w *counter) Flushed()      {}

// A peer that has the last bytes may go.
func TestPeerMayGoAfterTheLastBytes(t *testing.T) {
	each(t, func(t *testing.T, p *Group, take func(Owner) (*Conn, net.Conn)) {
		var w counter
		for range dials(t, 500) {
			c, client := take(&w)
			c.Watch(&w)
			go c.WriteThen(pieces([]byte("bye")), func(c *Conn) { c.Close() })
			io.ReadFull(client, make([]byte, 3))
			client.Close()
		}
		eventually(t, "all are closed", func() bool { return p.Len() == 0 })
		p.work.Wait()
		if n := w.gone.Load(); n > 0 {
			t.Errorf("%d were told that the peer has gone", n)
		}
	})
}

// A connection that fails while it is watched tells its Owner, however soon.
func TestFailureEndsAWatch(t *testing.T) {
	each(t, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		for range dials(t, 500) {
			w := &watcher{make(chan struct{})}
			c, _ := take(w)
			c.Watch(w)
			c.Close()
			select {
			case <-w.gone:
			case <-time.After(patience):
				t.Fatal("was not told")
			}
		}
	})
}

// A connection that is closed while it is released is nobody's.
func TestTakeOfAClosedConnection(t *testing.T) {
	p := new(Group)
	defer shutdown(t, p)
	server, client := pair(t)
	c := p.Take(server, nil)
	released, err := c.Release()
	if err != nil {
		t.Fatal(err)
	}
	released.Close()
	e := newEcho()
	e.conn = p.Take(released, []byte("early"))
	e.conn.Own(e)
	e.conn.Arm()
	if err := <-e.ended; err == nil {
		t.Error("can be read")
	}
	if p.Len() != 0 {
		t.Error("is kept")
	}
	client.Close()
}

// Nothing follows the last bytes, although they wait.
func TestEndIsTheLast(t *testing.T) {
	eachWithin(t, 20*time.Second, func(t *testing.T, _ *Group, take func(Owner) (*Conn, net.Conn)) {
		c, client := take(newEcho())
		c.Write(make([]byte, 8<<20))
		c.End(pieces([]byte("end")))
		c.Write([]byte("more"))
		got, err := io.ReadAll(client)
		if err != nil || len(got) != 8<<20+3 || string(got[8<<20:]) != "end" {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
}

// What was read last is read first: what is left of before comes after it.
func TestHeadKeepsItsOrder(t *testing.T) {
	p := new(Group)
	defer shutdown(t, p)
	server, _ := pair(t)
	c := p.Take(server, []byte("def"))
	released, _ := c.Release()
	c = p.Take(released, []byte("abc"))
	got := make([]byte, 6)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "abcdef" {
		t.Errorf("got %q, %v", got, err)
	}
	c.Close()
}

func pieces(b []byte) *memory.Pieces { return &memory.Pieces{Bytes: b} }
