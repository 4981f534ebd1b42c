package http1

import (
	"cmp"
	"context"
	"net/http"
	"sync"

	"switchback/transport/internal/netpoll"
)

// An exchangeContext is cancelled when the client has gone or the handler has
// returned. Few handlers wait for that, so what it takes is made when one does; and the
// socket is asked for the connection's local address when a handler asks.
type exchangeContext struct {
	context.Context // of the server and the connection
	conn            *netpoll.Conn

	mu     sync.Mutex      // guards the rest
	err    error           // that it ended with while nobody waited
	child  context.Context // of Context, nil until somebody waits
	cancel context.CancelFunc
}

func (c *exchangeContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil {
		c.child, c.cancel = context.WithCancel(c.parent())
		if c.err != nil {
			c.cancel()
		}
	}
	return c.child.Done()
}

func (c *exchangeContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	return c.now().Err()
}

func (c *exchangeContext) Value(key any) any {
	if key == http.LocalAddrContextKey {
		return c.conn.NetConn().LocalAddr()
	}
	c.mu.Lock()
	ctx := c.now()
	c.mu.Unlock()
	return ctx.Value(key)
}

// now returns the context that knows most of this one. c.mu is held.
func (c *exchangeContext) now() context.Context {
	if c.child != nil {
		return c.child
	}
	return c.parent()
}

// parent is Context. Once this context has ended, the end of Context is hidden, so that
// Err never changes. c.mu is held.
func (c *exchangeContext) parent() context.Context {
	if c.err != nil {
		return context.WithoutCancel(c.Context)
	}
	return c.Context
}

// end cancels the context.
func (c *exchangeContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.child != nil:
		c.cancel()
	case c.err == nil:
		c.err = cmp.Or(c.Context.Err(), context.Canceled)
	}
}
