package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/gorilla/websocket"
)

// writeBuffers are used by all WebSockets, each while it writes a message.
var writeBuffers sync.Pool

// dialWebSocket makes the handshake at an http or https URL. It returns when
// ctx is done.
func dialWebSocket(ctx context.Context, o *Options, u *url.URL, subprotocols []string) (*websocket.Conn, error) {
	g := guard{ctx: ctx}
	defer g.release()
	t := transportOf(o.HTTPClient)
	d := websocket.Dialer{
		NetDialContext:  g.dial(t.DialContext),
		Proxy:           t.Proxy,
		Jar:             o.HTTPClient.Jar,
		Subprotocols:    subprotocols,
		ReadBufferSize:  1 << 10,
		WriteBufferSize: 16 << 10,
		WriteBufferPool: &writeBuffers,
	}
	ws := *u
	ws.Scheme = "ws"
	if u.Scheme == "https" {
		ws.Scheme = "wss"
		d.TLSClientConfig = tlsConfig(t)
	}
	conn, res, err := d.DialContext(ctx, ws.String(), o.Header)
	if err != nil && res != nil {
		return nil, fmt.Errorf("%w: %w", err, statusError(res.StatusCode))
	}
	return conn, err
}

// transportOf is where the network settings of WebSockets come from.
func transportOf(c *http.Client) *http.Transport {
	if t, ok := c.Transport.(*http.Transport); ok {
		return t
	}
	return sharedClient().Transport.(*http.Transport)
}

// tlsConfig is t's, without the HTTP/2 that net/http adds to it.
func tlsConfig(t *http.Transport) *tls.Config {
	config := t.Clone().TLSClientConfig // Clone waits for net/http to be done with it
	if config != nil {
		config.NextProtos = nil
	}
	return config
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// A guard closes the connection of a handshake when ctx is done: the handshake
// itself looks at no more than its deadline.
type guard struct {
	ctx  context.Context
	stop func() bool
}

// dial is next, or the usual one where that is nil, under guard.
func (g *guard) dial(next dialFunc) dialFunc {
	if next == nil {
		next = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := next(ctx, network, address)
		if err == nil {
			g.stop = context.AfterFunc(g.ctx, func() { conn.Close() })
		}
		return conn, err
	}
}

func (g *guard) release() {
	if g.stop != nil {
		g.stop()
	}
}
