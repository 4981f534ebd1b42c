// Package nats carries an engine over NATS: a server, or a cluster of them.
package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"switchback/handler/engine"
)

// A Wire is an engine.Wire over NATS core: nothing has to be set up there, and nothing is
// kept. Where the server has permissions, it needs to publish and subscribe to PREFIX.>.
type Wire struct {
	prefix  string
	url     string
	options []nats.Option
}

// New returns a Wire. The nodes of a cluster have the same name, of which the subjects are
// made: sb.NAME.topic-... URLs are as nats.Connect takes them: one or more with commas
// between them, with a user and a password, or a token, where the server asks for those.
// Options are further ones, for certificates, say.
func New(cluster, urls string, options ...nats.Option) *Wire {
	return &Wire{prefix: "sb." + cluster + ".", url: urls, options: options}
}

const (
	// pingEvery finds a server that is gone without a word, and pings at most so many at a
	// time that are not answered.
	pingEvery = 5 * time.Second
	pings     = 2

	dialWithin  = 2 * time.Second
	writeWithin = 5 * time.Second

	// queueLength is how many messages may wait for the engine: over that, some are lost.
	// Over queueBytes, which is looked at with each that is delivered, the connection ends.
	queueLength = 1 << 16
	queueBytes  = 64 << 20
)

// Dial is engine.Wire's.
func (w *Wire) Dial(_ context.Context, deliver func(channel string, data []byte)) (engine.Conn, error) {
	c := &conn{
		prefix: w.prefix, subscriptions: make(map[string]*nats.Subscription),
		queue: make(chan *nats.Msg, queueLength), broken: make(chan struct{}),
	}
	options := append([]nats.Option{
		nats.Name("switchback"), nats.NoReconnect(), nats.NoEcho(), nats.Timeout(dialWithin), nats.FlusherTimeout(writeWithin),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pings),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.fail(err) }),
		nats.ClosedHandler(func(nc *nats.Conn) { c.fail(nc.LastError()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				err = engine.ErrMissed
			}
			c.fail(err)
		}),
	}, w.options...)
	var err error
	if c.nats, err = nats.Connect(w.url, options...); err != nil {
		return nil, fmt.Errorf("nats: %s: %w", redacted(w.url), err)
	}
	c.ended.Go(func() { c.read(deliver) }) // ends with the connection
	return c, nil
}

// redacted is a text of URLs without what is secret in them.
func redacted(urls string) string {
	list := strings.Split(urls, ",")
	for i, text := range list {
		u, err := url.Parse(strings.TrimSpace(text))
		switch {
		case err != nil:
			list[i] = "?"
		case u.User != nil:
			u.User = url.User("xxxxx")
			list[i] = u.String()
		}
	}
	return strings.Join(list, ",")
}

// A conn is one connection to a server.
type conn struct {
	prefix        string
	nats          *nats.Conn
	subscriptions map[string]*nats.Subscription // of who subscribes, which is one goroutine
	queue         chan *nats.Msg                // of all subscriptions: it keeps the order over all of them
	ended         sync.WaitGroup

	once   sync.Once
	broken chan struct{}
	err    error // once that is closed
}

func (c *conn) fail(err error) {
	c.once.Do(func() {
		if err == nil {
			err = errors.New("nats: the connection has ended")
		}
		c.err = err
		close(c.broken)
	})
}

var errSlow = errors.New("nats: this node was too slow for what came")

func (c *conn) read(deliver func(channel string, data []byte)) {
	var delivered uint64 // bytes, or what was left out because nobody subscribes to it any more
	for {
		select {
		case <-c.broken:
			return
		case m := <-c.queue:
			deliver(strings.TrimPrefix(m.Subject, c.prefix), m.Data)
			delivered += uint64(len(m.Data))
			if in := atomic.LoadUint64(&c.nats.InBytes); len(c.queue) == 0 {
				delivered = in
			} else if int64(in-delivered) > queueBytes {
				c.fail(errSlow)
			}
		}
	}
}

func (c *conn) Subscribe(channels []string) error {
	for _, channel := range channels {
		s, err := c.nats.ChanSubscribe(c.prefix+channel, c.queue)
		if err != nil {
			return err
		}
		c.subscriptions[channel] = s
	}
	return nil
}

func (c *conn) Unsubscribe(channels []string) error {
	for _, channel := range channels {
		if err := c.subscriptions[channel].Unsubscribe(); err != nil {
			return err
		}
		delete(c.subscriptions, channel)
	}
	return nil
}

func (c *conn) Publish(messages []engine.Message) error {
	for _, m := range messages {
		if err := c.nats.Publish(c.prefix+m.Channel, m.Data); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) Broken() <-chan struct{} { return c.broken }
func (c *conn) Err() error              { return c.err }
func (c *conn) MaxSize() int            { return int(c.nats.MaxPayload()) }

func (c *conn) Close() {
	c.nats.FlushTimeout(dialWithin) // so the server has all; where it is away there is no more to do
	c.nats.Close()
	c.fail(nil)
	c.ended.Wait()
}
