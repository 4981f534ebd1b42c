package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"switchback/handler"
	"switchback/session/option"
)

// A Wire reaches the server.
type Wire interface {
	// Dial connects. From then on deliver is called, in one goroutine, for what comes on
	// channels that are subscribed to on the connection.
	Dial(ctx context.Context, deliver func(channel string, data []byte)) (Conn, error)
}

// A Conn is one connection to the server. What is published on it is delivered to each other
// node in that order, whatever the channels; to the node itself or not.
type Conn interface {
	// Subscribe has the connection get what is published on channels. A node that has got
	// what is published here after Subscribe has returned is heard on the channels: what
	// it publishes from then on comes.
	Subscribe(channels []string) error
	Unsubscribe(channels []string) error

	// Publish may wait for the network.
	Publish(messages []Message) error

	// Broken is closed when the connection has ended. Err says why then. ErrMissed is that
	// there may be holes in what was delivered: elsewhere all that is missing comes after it.
	Broken() <-chan struct{}
	Err() error

	// MaxSize is how many bytes the data of a message may have.
	MaxSize() int

	// Close sends what is published. Nothing is delivered after it has returned.
	Close()
}

// ErrMissed is the Err of a Conn on which something was lost before what has been delivered.
var ErrMissed = errors.New("engine: this node was too slow for what came")

// Options are the settings of an Engine. The zero value has the defaults.
type Options struct {
	// Name is the node's, for people. The default is the name of the host.
	Name string

	// Outbox is how many bytes of publications are kept for other nodes that have not
	// confirmed them. While the server is connected what has been sent makes room for more;
	// while it is not, and in the first two seconds after, nothing is dropped, and Publish
	// returns ErrFull. They count as held by the process, see package memory. The default is
	// 8 MiB.
	Outbox int `default:"8MiB" unit:"bytes"`

	// Logger gets what happens: warn for an outage and for a loss, each once, info for
	// nodes that come and go. The default is slog.Default() as New finds it.
	Logger *slog.Logger
}

// The times of the protocol.
const (
	announceEvery = 250 * time.Millisecond
	overdue       = 3 * announceEvery // of an announcement: then something may be lost. Who says nothing is not waited for
	watchEvery    = 100 * time.Millisecond
	askAgain      = 100 * time.Millisecond
	dialWithin    = 2 * time.Second        // a connection is made, or not
	answerWithin  = 2 * time.Second        // or the node is not waited for any more, though it is heard
	forgetAfter   = 15 * time.Second       // of a node that does not announce itself
	greetFor      = 300 * time.Millisecond // Start waits so long to hear of all others
	startWithin   = 3 * time.Second        // Start waits so long for the server
	drainWithin   = 2 * time.Second        // Close waits so long for the outbox
	redialFirst   = 50 * time.Millisecond  // then twice as long each time
	redialLast    = 100 * time.Millisecond // and as much again by chance
	redialRefused = 5 * time.Second        // the same, where connections are made and do not last
)

// An Engine is a handler.Engine over a Wire.
type Engine struct {
	wire    Wire
	options Options
	log     *slog.Logger
	node    uint64 // the number of this one
	own     string // the channel on which it is answered
	stats   Stats
	outbox  *outbox
	deliver func(topic string, data []byte) error
	lost    func(err error) // nil: nobody wants to hear of it

	ctx   context.Context // ends with Close
	close context.CancelFunc
	ended sync.WaitGroup
	wake  chan struct{} // of who sends
	kick  chan struct{} // of who keeps the connection
	most  atomic.Int64  // bytes that the server takes; 0: not known yet

	others     atomic.Int32 // nodes that are known
	everything atomic.Int32 // of those, that have subscribed to handler.Everything

	mu          sync.Mutex // guards the rest
	wanted      map[string]struct{}
	changed     map[string]struct{} // in wanted, or out of it, since the connection was told
	waiting     []chan struct{}     // Subscribes; closed when it has been, and all have given a sign
	up          bool                // there is a connection
	since       time.Time           // that it is so
	incarnation uint64              // of the connection
	announced   uint64              // announcements so far
	watched     time.Time           // when members were last looked at
	members     map[uint64]*member
	away        map[uint64]*member // those that were forgotten and may come back
	round       *round             // of asking that goes on; or nil
	asking      bool               // it is to be asked now
	announcing  bool               // out of turn
	answers     []packet           // that are due: asks
}

var (
	_ handler.Engine = (*Engine)(nil)
	_ handler.Lossy  = (*Engine)(nil)
)

// New returns an Engine over a wire, which is used when a Hub starts it.
func New(wire Wire, o Options) *Engine {
	option.SetDefaults(&o)
	if o.Name == "" {
		o.Name, _ = os.Hostname()
	}
	o.Name = o.Name[:min(len(o.Name), handler.MaxID)]
	e := &Engine{
		wire: wire, options: o, log: cmp.Or(o.Logger, slog.Default()), node: rand.Uint64(),
		wake: make(chan struct{}, 1), kick: make(chan struct{}, 1), since: time.Now(),
		wanted: make(map[string]struct{}), changed: make(map[string]struct{}), members: make(map[uint64]*member),
		away: make(map[uint64]*member),
	}
	e.own = ownChannel(e.node)
	e.outbox = newOutbox(o.Outbox, &e.stats)
	e.ctx, e.close = context.WithCancel(context.Background())
	return e
}

// Stats are the engine's counters.
func (e *Engine) Stats() *Stats { return &e.stats }

// OnLoss is handler.Lossy's.
func (e *Engine) OnLoss(lost func(err error)) { e.lost = lost }

// Start connects. It waits a little for the server and to hear of all other nodes; where the
// server is away, that is logged, and the engine goes on trying.
func (e *Engine) Start(deliver func(topic string, data []byte) error) error {
	e.deliver = deliver
	met := make(chan struct{})
	e.ended.Go(func() { e.run(met) }) // ends with Close
	select {
	case <-met:
	case <-time.After(startWithin):
	}
	return nil
}

var errClosed = errors.New("engine: it is closed")

// Subscribe is handler.Engine's.
func (e *Engine) Subscribe(ctx context.Context, topic string) error {
	if e.ctx.Err() != nil {
		return errClosed
	}
	e.mu.Lock()
	e.wanted[topic] = struct{}{}
	e.changed[topic] = struct{}{}
	if !e.up {
		e.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	e.waiting = append(e.waiting, done)
	e.mu.Unlock()
	signal(e.kick)
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		e.Unsubscribe(ctx, topic)
		return ctx.Err()
	}
}

// Unsubscribe is handler.Engine's.
func (e *Engine) Unsubscribe(_ context.Context, topic string) error {
	e.mu.Lock()
	delete(e.wanted, topic)
	e.changed[topic] = struct{}{}
	e.mu.Unlock()
	signal(e.kick)
	return nil
}

// Publish is handler.Engine's. It returns ErrFull, or an error for what is larger than the
// server takes.
func (e *Engine) Publish(_ context.Context, topic string, data []byte) error {
	if e.others.Load() == 0 && e.outbox.pass() || topic == handler.Everything && e.everything.Load() == 0 {
		return nil
	}
	p := newPublication(e.node, topic, data)
	if most := e.most.Load(); most > 0 && int64(len(p)+resentSize) > most {
		e.stats.Refused.Add(1)
		return fmt.Errorf("engine: a publication of %d bytes is larger than the server takes, which is %d", len(p), most)
	}
	if err := e.outbox.add(Message{topicChannel(topic), p}); err != nil {
		return err
	}
	e.stats.Published.Add(1)
	signal(e.wake)
	return nil
}

// resentSize is how much larger a publication is when it is sent again.
const resentSize = headSize

// Close is handler.Engine's.
func (e *Engine) Close() error {
	e.close()
	e.ended.Wait()
	if left := e.outbox.close(); left > 0 && e.others.Load() > 0 {
		e.log.Warn("engine: publications are lost to other nodes: the server has not taken them in time", "publications", left)
	}
	return nil
}

// signal wakes who waits on a channel, or will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Channels have no dot and no sign that means something to a server.
const nodesChannel = "nodes" // of what is for all nodes

func ownChannel(node uint64) string { return fmt.Sprintf("node-%016x", node) }

// maxChannel is how long a topic may be that is a channel by itself.
const maxChannel = 128

func topicChannel(topic string) string {
	if len(topic) > maxChannel {
		sum := sha256.Sum256([]byte(topic))
		return "hash-" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return "topic-" + base64.RawURLEncoding.EncodeToString([]byte(topic))
}

// A Status is what an engine knows of the cluster.
type Status struct {
	Node      string    // the number of this node, as the log has it
	Name      string    // its name
	Connected bool      // to the server
	Since     time.Time // that is so
	Nodes     []Node    // the others, by name
}

// A Node is another node.
type Node struct {
	Node, Name string
	Heard      time.Time // the last sign of it
	Missing    bool      // it is asked for what may have been missed
}

// Status returns what is known now.
func (e *Engine) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{Node: nodeName(e.node), Name: e.options.Name, Connected: e.up, Since: e.since}
	for _, m := range e.members {
		s.Nodes = append(s.Nodes, Node{nodeName(m.node), m.name, m.heard, m.unsure})
	}
	slices.SortFunc(s.Nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Node, b.Node)) })
	return s
}

func nodeName(node uint64) string { return fmt.Sprintf("%016x", node) }
