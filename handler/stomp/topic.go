package stomp

import (
	"context"
	"sync"

	"switchback/handler"
	"switchback/handler/stomp/frame"
)

// Topics are known to the Hub by keys, which clients cannot choose: what kind of
// destination it is, and the destination.
//
//	d:/topic/a            a destination of Options.Topics
//	u:3:bob/queue/a       a destination of the user bob's sessions
//	s:8:X7GA2-1f/queue/a  a destination of one session
//
// On handler.Everything all is published, too, for the nodes that have patterns. On this one
// that is no more than to look for subscribers.

// A topic is the subscriptions of this node to one key, or to the keys that a
// pattern matches. It is the Hub's subscriber for all of them.
type topic struct {
	broker *Broker
	key    string
	kept   string      // its name in Options.History; empty: it is not kept
	match  *keyPattern // nil: the key alone
	turn   turn        // to subscribe to the Hub; nil in a pattern

	mu            sync.Mutex
	subscriptions map[*subscription]struct{}
}

// Receive delivers to the subscriptions.
func (t *topic) Receive(p *handler.Publication) {
	if m := t.broker.open(p); m != nil {
		t.deliver(m, p)
	}
}

// recipients are buffers for the subscriptions of a topic.
var recipients = sync.Pool{New: func() any { return new([]*subscription) }}

func (t *topic) deliver(p *publication, from *handler.Publication) {
	to := recipients.Get().(*[]*subscription)
	t.mu.Lock()
	for s := range t.subscriptions {
		*to = append(*to, s)
	}
	t.mu.Unlock()
	p.look()
	f := t.broker.fanout(p, from)
	f.many = len(*to) > 1
	for _, s := range *to {
		f.send(s)
	}
	t.broker.stats.Messages.Add(int64(f.sent))
	clear(*to)
	*to = (*to)[:0]
	recipients.Put(to)
}

// A turn is held by whoever subscribes to the Hub what many clients share, so that one
// at a time does. If that fails, the Hub has forgotten it, and the next subscribes it
// anew.
type turn chan struct{}

// subscribe waits no longer than ctx for its turn, but the call to the Hub, or to the history
// over it, is for all who share what subscribes: the end of one client does not cancel it.
func (t turn) subscribe(ctx context.Context, subscribe func(context.Context) error) error {
	select {
	case t <- struct{}{}:
	default: // only who has to wait asks the context, which takes memory then
		select {
		case t <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-t }()
	return subscribe(context.WithoutCancel(ctx))
}

// topics are those of this node that have subscriptions.
type topics struct {
	broker *Broker

	mu       sync.Mutex // guards the rest
	keys     map[string]*topic
	patterns *patterns // nil: there are none
}

func (g *topics) init(b *Broker) { g.broker, g.keys = b, make(map[string]*topic) }

// subscribe has the topic of a key get what is published on it.
func (t *topic) subscribe(ctx context.Context) error {
	if t.kept != "" {
		return t.broker.options.History.Subscribe(ctx, t.kept, t.key, t)
	}
	return t.broker.hub.Subscribe(ctx, t.key, t)
}

func (t *topic) unsubscribe() {
	if t.kept != "" {
		t.broker.options.History.Unsubscribe(context.Background(), t.kept, t.key, t)
	} else {
		t.broker.hub.Unsubscribe(context.Background(), t.key, t)
	}
}

// join has s get what is published on a key from now on.
func (g *topics) join(ctx context.Context, to destinationOf, s *subscription) (*topic, error) {
	key := to.key()
	g.mu.Lock()
	t := g.keys[key]
	if t == nil {
		t = &topic{broker: g.broker, key: key, kept: g.broker.keptName(to), turn: make(turn, 1), subscriptions: make(map[*subscription]struct{})}
		g.keys[key] = t
	}
	t.add(s)
	g.mu.Unlock()
	err := t.turn.subscribe(ctx, t.subscribe)
	if err != nil {
		g.leave(t, s)
	}
	return t, err
}

// joinPattern has s get what is published on the keys that a pattern matches.
func (g *topics) joinPattern(ctx context.Context, match keyPattern, s *subscription) (*topic, error) {
	g.mu.Lock()
	if g.patterns == nil {
		g.patterns = newPatterns(g.broker)
	}
	all := g.patterns
	t := all.topic(match)
	t.add(s)
	g.mu.Unlock()
	err := all.turn.subscribe(ctx, func(ctx context.Context) error {
		return g.broker.hub.Subscribe(ctx, handler.Everything, all)
	})
	if err != nil {
		g.leave(t, s)
	}
	return t, err
}

// leave undoes join or joinPattern.
func (g *topics) leave(t *topic, s *subscription) {
	g.mu.Lock()
	last := t.remove(s)
	all := g.patterns
	switch {
	case !last:
	case t.match == nil:
		delete(g.keys, t.key)
	case all.remove(t):
		g.patterns = nil
	default:
		last = false
	}
	g.mu.Unlock()
	switch {
	case !last:
	case t.match == nil:
		t.unsubscribe()
	default:
		g.broker.hub.Unsubscribe(context.Background(), handler.Everything, all)
	}
}

func (t *topic) add(s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscriptions[s] = struct{}{}
}

// remove returns whether s was the last.
func (t *topic) remove(s *subscription) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscriptions, s)
	return len(t.subscriptions) == 0
}

// outgoing is memory for a publication of this node.
type outgoing struct {
	header  handler.Publication
	message publication
}

var outgoings = sync.Pool{New: func() any { return new(outgoing) }}

// publish sends a message to all who have subscribed to a destination, on any node, and
// keeps it where that is kept. from is the session that sends it, or nil.
func (b *Broker) publish(ctx context.Context, from *conn, to destinationOf, h frame.Headers, body []byte) (err error) {
	key := to.key()
	o := outgoings.Get().(*outgoing)
	o.message = publication{key: key, headers: h, body: body}
	id := h.Value("message-id") // of a Message that has one
	if id == "" {
		id = b.messageID()
	}
	o.header = handler.Publication{ID: id, Payload: &o.message}
	if name := b.keptName(to); name != "" {
		o.header.User = userOf(from)
		_, _, err = b.options.History.Publish(ctx, name, &o.header, key, handler.Everything)
	} else {
		if h.Value("message-id") != "" { // whose publisher may repeat it
			o.header.Once = handler.Once(key, id)
		}
		err = b.hub.PublishTo(ctx, &o.header, key, handler.Everything)
	}
	*o = outgoing{}
	outgoings.Put(o)
	return err
}
