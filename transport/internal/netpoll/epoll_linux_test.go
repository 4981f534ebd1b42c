package netpoll

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A connection that is released and taken again is told of no event of before, however
// late that comes.
func TestLateEventsAreNotTold(t *testing.T) {
	p, e := new(Group), newEcho()
	defer shutdown(t, p)
	server, client := pair(t)
	c := p.Take(server, nil)
	parked.mu.Lock() // so that an event comes late
	io.WriteString(client, "early")
	time.Sleep(20 * time.Millisecond)
	taken := make(chan *Conn)
	go func() {
		r, err := c.Release()
		if err != nil {
			t.Error(err)
		}
		io.ReadFull(r, make([]byte, len("early")))
		taken <- p.Take(r, nil)
	}()
	time.Sleep(20 * time.Millisecond)
	parked.mu.Unlock()
	e.conn = <-taken
	e.conn.Own(e)
	e.conn.Arm()
	time.Sleep(20 * time.Millisecond)
	if claimed(e.conn) || e.reads.Load() > 0 {
		t.Error("an event of before is told")
	}
	echoed(t, client, "x")
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
	p := new(Group)
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
	p := new(Group)
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
	p := new(Group)
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
	p := new(Group)
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
