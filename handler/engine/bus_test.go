package engine

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// A bus is a server in the test itself.
type bus struct {
	mu      sync.Mutex // guards the rest
	conns   []*busConn
	down    bool
	refuses bool  // what is published, by ending the connection
	refused *node // cannot connect
	parted  *node // is connected, and hears nobody, nor is heard
	mute    *node // is connected, and is not heard
	slow    int   // bytes a second that each connection brings; 0: any number
	maxSize int
}

var errAway = errors.New("the bus is away")

func (b *bus) dial(n *node, deliver func(channel string, data []byte)) (Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down || n != nil && b.refused == n {
		return nil, errAway
	}
	c := &busConn{bus: b, node: n, maxSize: cmp.Or(b.maxSize, math.MaxInt32), channels: make(map[string]bool), broken: make(chan struct{}), wake: make(chan struct{}, 1)}
	b.conns = append(b.conns, c)
	c.ended.Go(func() { c.run(deliver) }) // ends with broken
	return c, nil
}

// cut has the bus go away with all that is on its way, or only what is of some connections.
func (b *bus) cut(which func(i int) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, c := range slices.Clone(b.conns) {
		if which(i) {
			c.end()
		}
	}
}

// refuse has a node lose its connection, and get no other until somebody else is refused.
func (b *bus) refuse(n *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = n
	for _, c := range slices.Clone(b.conns) {
		if c.node == n {
			c.end()
		}
	}
}

// part has a node reach nobody, until somebody else is parted.
func (b *bus) part(n *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parted = n
}

// silence has nobody hear a node, until somebody else is silenced.
func (b *bus) silence(n *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mute = n
}

func (b *bus) setSlow(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slow = bytes
}

func (b *bus) setRefuses(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuses = on
}

func (b *bus) setMaxSize(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.maxSize = bytes
}

func (b *bus) set(down bool) {
	b.mu.Lock()
	b.down = down
	b.mu.Unlock()
	if down {
		b.cut(func(int) bool { return true })
	}
}

// foreign publishes as somebody who is no node.
func (b *bus) foreign(channel string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pass(nil, Message{channel, data})
}

func (b *bus) pass(from *busConn, m Message) {
	for _, c := range b.conns {
		if c != from && c.channels[m.Channel] && (from == nil || b.reaches(from.node, c.node)) {
			c.queue = append(c.queue, Message{m.Channel, bytes.Clone(m.Data)})
			signal(c.wake)
		}
	}
}

func (b *bus) reaches(from, to *node) bool {
	return (b.mute == nil || from != b.mute) && (b.parted == nil || (from == b.parted) == (to == b.parted))
}

type busConn struct {
	bus     *bus
	node    *node
	maxSize int
	broken  chan struct{}
	wake    chan struct{}
	ended   sync.WaitGroup

	// Guarded by bus.mu.
	channels map[string]bool
	queue    []Message
}

func (c *busConn) run(deliver func(channel string, data []byte)) {
	for {
		select {
		case <-c.broken:
			return
		case <-c.wake:
		}
		for {
			c.bus.mu.Lock()
			if len(c.queue) == 0 {
				c.bus.mu.Unlock()
				break
			}
			m, slow := c.queue[0], c.bus.slow
			c.queue = c.queue[1:]
			c.bus.mu.Unlock()
			if slow > 0 {
				time.Sleep(time.Duration(len(m.Data)) * time.Second / time.Duration(slow))
			}
			deliver(m.Channel, m.Data)
			clear(m.Data)
		}
	}
}

// end is called with bus.mu held.
func (c *busConn) end() {
	if i := slices.Index(c.bus.conns, c); i >= 0 {
		c.bus.conns = slices.Delete(c.bus.conns, i, i+1)
		c.queue = nil
		close(c.broken)
	}
}

func (c *busConn) set(channels []string, on bool) error {
	c.bus.mu.Lock()
	defer c.bus.mu.Unlock()
	for _, name := range channels {
		c.channels[name] = on
	}
	return c.alive()
}

func (c *busConn) alive() error {
	if slices.Contains(c.bus.conns, c) {
		return nil
	}
	return errAway
}

func (c *busConn) Subscribe(channels []string) error   { return c.set(channels, true) }
func (c *busConn) Unsubscribe(channels []string) error { return c.set(channels, false) }

func (c *busConn) Publish(messages []Message) error {
	c.bus.mu.Lock()
	defer c.bus.mu.Unlock()
	if c.bus.refuses {
		c.end()
	}
	if c.alive() != nil {
		return errAway
	}
	for _, m := range messages {
		if len(m.Data) > c.MaxSize() {
			c.end()
			return errAway
		}
		c.bus.pass(c, m)
	}
	return nil
}

func (c *busConn) Broken() <-chan struct{} { return c.broken }
func (c *busConn) Err() error              { return errAway }
func (c *busConn) MaxSize() int            { return c.maxSize }

func (c *busConn) Close() {
	c.bus.mu.Lock()
	c.end()
	c.bus.mu.Unlock()
	c.ended.Wait()
}
