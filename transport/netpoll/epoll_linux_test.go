package netpoll

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A connection that goes to http.Server and is taken again is told of no event of
// before, however late that comes.
func TestLateEventsAreNotTold(t *testing.T) {
	const hold, get = "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n", "GET /get HTTP/1.1\r\nHost: x\r\n\r\n"
	p, e := New(time.Second), newEcho()
	defer shutdown(t, p)
	held, goOn, armed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	first := &taker{t, p, func(*Conn) {}}
	h := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hold":
			close(held)
			<-goOn
		case "/get":
			var err error
			if e.conn, err = p.Hijack(w, r); err != nil {
				t.Error(err)
			}
			e.conn.Own(e)
			e.conn.Arm()
			close(armed)
		default:
			first.ServeHTTP(w, r)
		}
	})})
	c := h.dial(t)
	io.WriteString(c.Conn, poll+hold)
	c.answer(t)
	<-held
	parked.mu.Lock() // so that an event of the next request comes late
	io.WriteString(c.Conn, get)
	time.Sleep(20 * time.Millisecond)
	close(goOn)
	c.answer(t)
	time.Sleep(20 * time.Millisecond)
	parked.mu.Unlock()
	<-armed
	time.Sleep(20 * time.Millisecond)
	if works(e.conn) || e.reads.Load() > 0 {
		t.Error("an event of before is told")
	}
	echoed(t, c.Conn, "x")
}

// A blocker is an owner whose Ready takes its time.
type blocker struct {
	conn    *Conn
	entered *atomic.Int32
	wait    func()
}

func (o *blocker) Ready(b *Buffer) {
	if _, err := b.Discard(1); err != nil {
		o.conn.Close()
		return
	}
	o.entered.Add(1)
	o.wait()
	o.conn.Arm()
}

func (o *blocker) Flushed() {}

// Owners that block, as many as there are, keep no event from others, and the
// goroutines that they took are gone afterwards.
func TestOwnersThatBlockKeepNobodyWaiting(t *testing.T) {
	p := New(time.Second)
	defer shutdown(t, p)
	before := runtime.NumGoroutine()
	var entered atomic.Int32
	goOn := make(chan struct{})
	server, client := pair(t)
	e := newEcho()
	e.conn = p.Take(server, nil)
	e.conn.Own(e)
	e.conn.Arm()
	for range 100 {
		blocked, peer := pair(t)
		o := &blocker{p.Take(blocked, nil), &entered, func() { <-goOn }}
		o.conn.Own(o)
		o.conn.Arm()
		n := entered.Load()
		io.WriteString(peer, "x")
		eventually(t, "it is told", func() bool { return entered.Load() > n })
		echoed(t, client, "x")
	}
	close(goOn)
	eventually(t, "all are parked", func() bool { return runtime.NumGoroutine() <= before+2 })
	echoed(t, client, "x")
}

// Where much comes at once, more than one processor works.
func TestEventsAreWorkedOnInParallel(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("there is one processor")
	}
	p := New(time.Second)
	defer shutdown(t, p)
	var entered, inside, most atomic.Int32
	spin := func() { // without giving the processor away
		n := inside.Add(1)
		for end := time.Now().Add(2 * time.Millisecond); time.Now().Before(end); {
			if n > most.Load() {
				most.Store(n)
			}
		}
		inside.Add(-1)
	}
	var peers []net.Conn
	for range 4 * helpAfter {
		server, peer := pair(t)
		o := &blocker{p.Take(server, nil), &entered, spin}
		o.conn.Own(o)
		o.conn.Arm()
		peers = append(peers, peer)
	}
	for _, peer := range peers {
		io.WriteString(peer, "x")
	}
	eventually(t, "all are told", func() bool { return int(entered.Load()) == len(peers) })
	if most.Load() < 2 {
		t.Error("one after another")
	}
}

// A set ends with its last connection, and the next connection has another, also
// while goroutines of the last set are still at work.
func TestSetsEndWithTheirConnections(t *testing.T) {
	p := New(time.Second)
	defer shutdown(t, p)
	before := runtime.NumGoroutine()
	var entered atomic.Int32
	goOn := make(chan struct{})
	for range 300 {
		server, peer := pair(t)
		o := &blocker{p.Take(server, nil), &entered, func() { <-goOn }}
		o.conn.Own(o)
		o.conn.Arm()
		n := entered.Load()
		io.WriteString(peer, "x")
		eventually(t, "it is told", func() bool { return entered.Load() > n })
		o.conn.Close()
		peer.Close()
	}
	close(goOn)
	eventually(t, "all have ended", func() bool { return runtime.NumGoroutine() <= before })
}

// setEnds waits until there is no set.
func setEnds(t *testing.T) {
	t.Helper()
	eventually(t, "the set has ended", func() bool {
		parked.mu.Lock()
		defer parked.mu.Unlock()
		return parked.set == nil
	})
}

// The first event of a set may be worked on for long, too.
func TestFirstOwnerOfASetMayBlock(t *testing.T) {
	p := New(time.Second)
	defer shutdown(t, p)
	for range 30 {
		setEnds(t)
		var entered atomic.Int32
		goOn := make(chan struct{})
		var owners []*blocker
		for n := range int32(2) {
			server, peer := pair(t)
			o := &blocker{p.Take(server, nil), &entered, func() { <-goOn }}
			o.conn.Own(o)
			o.conn.Arm()
			io.WriteString(peer, "x")
			owners = append(owners, o)
			eventually(t, "it is told", func() bool { return entered.Load() == n+1 })
		}
		close(goOn)
		for _, o := range owners {
			o.conn.Close()
		}
	}
}

// exhaustFiles opens all the files that the process may, but for some.
func exhaustFiles(t *testing.T, spare int) (release func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var files []int
	for fd, err := 0, error(nil); err == nil; {
		if fd, err = unix.Open("/dev/null", unix.O_RDONLY, 0); err == nil {
			files = append(files, fd)
		}
	}
	for _, fd := range files[:spare] {
		unix.Close(fd)
	}
	return func() {
		for _, fd := range files[spare:] {
			unix.Close(fd)
		}
		unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
}

// That epoll cannot watch a connection, for too many open files, is not taken for
// what all connections of the server are.
func TestRefusalOfEpollPasses(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	p := New(time.Second)
	defer shutdown(t, p)
	var accepted atomic.Int32
	h := serveHTTP(t, &http.Server{Handler: &taker{t, p, func(*Conn) {}}, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			accepted.Add(1)
		}
	}})
	first, last := h.dial(t), h.dial(t)
	first.ask(t, request)
	eventually(t, "both are accepted", func() bool { return accepted.Load() == 2 })
	first.Close()
	setEnds(t)
	release := exhaustFiles(t, 0)
	got := last.ask(t, request)
	release()
	if !strings.HasPrefix(got, "204") {
		t.Errorf("got %s", got)
	}
	c := h.dial(t)
	for range 3 {
		if got := c.ask(t, request); !strings.HasPrefix(got, "204") || strings.Contains(got, "close:true") {
			t.Errorf("afterwards: got %s", got)
		}
	}
}
