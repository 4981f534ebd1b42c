// Package redis carries an engine over Redis: one server, one that Sentinel watches, or a
// Redis Cluster.
package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"switchback/handler/engine"
)

// A Wire is an engine.Wire over Redis pub/sub: nothing has to be set up there, and nothing is
// kept.
type Wire struct {
	prefix string
	option rueidis.ClientOption
}

// New returns a Wire. The nodes of a cluster have the same name, of which the channels are
// made: {sb.NAME}topic-... In a Redis Cluster those have all one slot, and so one order; it
// needs sharded pub/sub, which Redis has from 7.0 on. The URL is as rueidis.ParseURL takes
// it: redis://user:password@host:6379, rediss:// with TLS, ?addr=host:6379 for further nodes
// of a cluster, ?master_set=name for Sentinel.
func New(cluster, url string) (*Wire, error) {
	option, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, errors.New("redis: the URL must be such as redis://user:password@host:6379, rediss://host or redis://host:26379?master_set=name")
	}
	option.ClientName = "switchback"
	option.DisableCache = true
	option.DisableRetry = true
	option.Dialer.Timeout = dialWithin
	option.Dialer.KeepAlive = pingEvery
	option.ConnWriteTimeout = answerWithin
	return &Wire{"{sb." + cluster + "}", option}, nil
}

const (
	dialWithin   = 2 * time.Second
	pingEvery    = time.Second     // finds a server that is gone without a word
	answerWithin = 5 * time.Second // of the server

	// maxSize is what Redis takes by default.
	maxSize = 512 << 20

	// maxChannels are subscribed to by one command.
	maxChannels = 1000
)

// Dial is engine.Wire's. What is published and what comes goes over one connection, so that
// neither is lost without the other.
func (w *Wire) Dial(ctx context.Context, deliver func(channel string, data []byte)) (engine.Conn, error) {
	client, err := rueidis.NewClient(w.option)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	c := &conn{prefix: w.prefix, client: client, sharded: client.Mode() == rueidis.ClientModeCluster, channels: make(map[string]bool), broken: make(chan struct{})}
	c.dedicated, _ = client.Dedicate() // its Close gives it back
	ended := c.dedicated.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage: func(m rueidis.PubSubMessage) {
			deliver(strings.TrimPrefix(m.Channel, c.prefix), []byte(m.Message))
		},
		OnSubscription: func(s rueidis.PubSubSubscription) {
			if s.Kind == "sunsubscribe" && c.has(s.Channel) {
				c.fail(errors.New("redis: the channels of this cluster have moved to another node"))
			}
		},
	})
	c.ended.Go(func() { // ends with the connection
		for err := range ended {
			c.fail(err)
		}
		c.fail(rueidis.ErrClosing)
	})
	if err := c.settled(); err != nil {
		c.Close()
		return nil, fmt.Errorf("redis: %w", err)
	}
	return c, nil
}

// A conn is one connection.
type conn struct {
	prefix    string
	sharded   bool
	client    rueidis.Client
	dedicated rueidis.DedicatedClient
	ended     sync.WaitGroup

	mu       sync.Mutex // guards the rest
	channels map[string]bool

	once   sync.Once
	broken chan struct{}
	err    error // once that is closed
}

func (c *conn) fail(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.broken)
	})
}

func (c *conn) has(channel string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.channels[channel]
}

// settled returns when what has been sent before has had its effect.
func (c *conn) settled() error {
	if c.sharded { // a key sends it to the node of the channels
		return c.dedicated.Do(context.Background(), c.dedicated.B().Exists().Key(c.prefix).Build()).Error()
	}
	return c.dedicated.Do(context.Background(), c.dedicated.B().Ping().Build()).Error()
}

// named returns channels as the server has them, and notes that they are subscribed to, or
// not any more.
func (c *conn) named(channels []string, on bool) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, len(channels))
	for i, channel := range channels {
		names[i] = c.prefix + channel
		if on {
			c.channels[names[i]] = true
		} else {
			delete(c.channels, names[i])
		}
	}
	return names
}

func (c *conn) Subscribe(channels []string) error {
	for names := c.named(channels, true); len(names) > 0; {
		some := names[:min(len(names), maxChannels)]
		names = names[len(some):]
		command := c.dedicated.B().Subscribe().Channel(some...).Build()
		if c.sharded {
			command = c.dedicated.B().Ssubscribe().Channel(some...).Build()
		}
		if err := c.dedicated.Do(context.Background(), command).Error(); err != nil {
			return err
		}
	}
	return c.settled()
}

func (c *conn) Unsubscribe(channels []string) error {
	for names := c.named(channels, false); len(names) > 0; {
		some := names[:min(len(names), maxChannels)]
		names = names[len(some):]
		command := c.dedicated.B().Unsubscribe().Channel(some...).Build()
		if c.sharded {
			command = c.dedicated.B().Sunsubscribe().Channel(some...).Build()
		}
		if err := c.dedicated.Do(context.Background(), command).Error(); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) Publish(messages []engine.Message) error {
	commands := make(rueidis.Commands, 0, len(messages))
	for _, m := range messages {
		channel, data := c.prefix+m.Channel, rueidis.BinaryString(m.Data)
		if c.sharded {
			commands = append(commands, c.dedicated.B().Spublish().Channel(channel).Message(data).Build())
		} else {
			commands = append(commands, c.dedicated.B().Publish().Channel(channel).Message(data).Build())
		}
	}
	for _, result := range c.dedicated.DoMulti(context.Background(), commands...) {
		if err := result.Error(); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) Broken() <-chan struct{} { return c.broken }
func (c *conn) Err() error              { return c.err }
func (c *conn) MaxSize() int            { return maxSize }

func (c *conn) Close() {
	c.dedicated.Close()
	c.client.Close()
	c.ended.Wait()
}
