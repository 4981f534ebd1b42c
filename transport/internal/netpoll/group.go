package netpoll

import (
	"bytes"
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Group is connections that end together. A connection is in one at a time, and
// changes it for nothing: the set of connections is the process's. The zero Group is
// ready for use. Its methods may be called from any goroutine.
type Group struct {
	down atomic.Bool
	size atomic.Int64   // its connections
	work sync.WaitGroup // goroutines of its connections
}

// members are the connections of all Groups.
var members struct {
	mu    sync.Mutex // guards the rest; taken with a connection's held
	conns map[*Conn]struct{}
}

// Take makes c one of the Group's. What was read from it already is read first; Take
// keeps those bytes. The deadlines of c are taken off. After Shutdown c is closed.
func (g *Group) Take(c net.Conn, read []byte) *Conn {
	k := ours(c)
	if k == nil {
		k = newConn(c)
	}
	c.SetDeadline(time.Time{})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.group, k.last = g, false
	if k.wire != nil {
		k.wire.retake()
	}
	if len(read) > 0 {
		k.head = append(bytes.Clone(read), k.head...)
	}
	switch {
	case k.err != nil:
	case !k.enter():
		k.fail(errClosed)
	case k.fd < 0 || k.enlist():
	case k.wire != nil:
		k.fail(errUnwatched)
	default:
		k.fd = -1
	}
	return k
}

func newConn(under net.Conn) *Conn {
	var c *Conn
	if t, ok := under.(*tcp); ok {
		c = &t.conn
	} else {
		c = new(Conn)
	}
	c.under, c.fd, c.writeTimeout = under, bareSocket(under), DefaultWriteTimeout
	return c
}

// enter puts the connection where its Group finds it. It is false after the Group's
// Shutdown: that it has begun is asked last, so that it finds all others. c.mu is held.
func (c *Conn) enter() bool {
	members.mu.Lock()
	if members.conns == nil {
		members.conns = make(map[*Conn]struct{})
	}
	members.conns[c] = struct{}{}
	members.mu.Unlock()
	c.group.size.Add(1)
	return !c.group.down.Load()
}

// leave takes the connection out of its Group, whose goroutines those that it has still
// are. c.mu is held.
func (c *Conn) leave() {
	members.mu.Lock()
	defer members.mu.Unlock()
	delete(members.conns, c)
	c.group.size.Add(-1)
}

// join changes the connection's Group. c.mu is held.
func (c *Conn) join(g *Group) {
	if c.group != g {
		c.group.size.Add(-1)
		g.size.Add(1)
		c.group = g
	}
}

// Claim makes the connection g's, with an Owner that is yet to be set, for whoever
// is in Ready now: the goroutine that called that has no part in it any more, and
// what comes is told at once. It fails after g's Shutdown.
func (c *Conn) Claim(g *Group) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case g.down.Load():
		return ErrDown
	}
	c.join(g)
	c.leaveLine()
	c.waits = nothing
	c.disown()
	return nil
}

// disown ends a goroutine's work for the connection, although it is still in Ready.
// c.mu is held.
func (c *Conn) disown() {
	c.claimed = false
	c.generation++
}

// all returns the connections of the Group.
func (g *Group) all() []*Conn {
	members.mu.Lock()
	conns := slices.Collect(maps.Keys(members.conns))
	members.mu.Unlock()
	return slices.DeleteFunc(conns, func(c *Conn) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.group != g
	})
}

// Len is the number of connections of the Group.
func (g *Group) Len() int { return int(g.size.Load()) }

// Shutdown refuses further connections, and returns when all have been closed or have
// changed their Group, and nobody is told of them any more. When the context is done
// first, it closes those that are left, and returns the context's error.
func (g *Group) Shutdown(ctx context.Context) error {
	g.down.Store(true)
	var err error
	for wait := time.Millisecond; err == nil && g.Len() > 0; wait = min(2*wait, 50*time.Millisecond) {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			err = ctx.Err()
			for _, c := range g.all() {
				c.closeIn(g)
			}
		case <-t.C:
		}
		t.Stop()
	}
	ended := make(chan struct{})
	go func() { // ends with the last of the connections' goroutines
		g.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return err
}

// closeIn closes the connection if it is still g's.
func (c *Conn) closeIn(g *Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.group == g {
		c.fail(errClosed)
	}
}
