package stomp

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"switchback/handler/stomp/antpath"
	"switchback/handler/stomp/frame"
	"switchback/session"
)

// An ackMode says how a client acknowledges the messages of a queue.
type ackMode uint8

const (
	ackAuto       ackMode = iota // not at all
	ackClient                    // each with all before it
	ackIndividual                // each for itself
)

// ackModeOf reads the header ack. An unknown mode is auto, as Spring has it.
func ackModeOf(value string) (mode ackMode, known bool) {
	switch value {
	case "", "auto":
		return ackAuto, true
	case "client":
		return ackClient, true
	case "client-individual":
		return ackIndividual, true
	}
	return ackAuto, false
}

// A subscription is what a client has subscribed to. It is not changed once it
// is in its session's list.
type subscription struct {
	conn        *conn
	id          string // empty: a client of 1.0 gave none
	destination string
	number      uint64 // in the session
	mode        ackMode
	pattern     bool
	topics      []*topic
	feed        *feed     // of what is kept; or nil
	consumer    *consumer // of a queue; or nil
}

// A Subscription is what a client has subscribed to.
type Subscription struct {
	Client      *Client
	ID          string // empty: a client of 1.0 gave none
	Destination string // as the client names it
}

// size is about the number of bytes that a subscription holds: itself, and its
// destination here, as a key, and in the Hub. Of a pattern each byte counts as
// half a segment, for the session and for its user.
func (s *subscription) size() int {
	const own, segments, kept = 400, 64, 250
	n := own + len(s.id) + 3*len(s.destination)
	if s.feed != nil {
		n += kept + len(s.feed.name)
	}
	if s.pattern {
		n += segments * len(s.destination)
	}
	return n
}

func (s *subscription) public() Subscription {
	return Subscription{Client: &s.conn.client, ID: s.id, Destination: s.destination}
}

// subscribe answers SUBSCRIBE. It returns headers of its RECEIPT.
func (c *conn) subscribe(f *frame.Frame) (frame.Headers, error) {
	destination := f.Headers.Value("destination")
	id := f.Headers.Value("id")
	mode, known := ackModeOf(f.Headers.Value("ack"))
	switch {
	case destination == "":
		return nil, c.drop(f, "Missing header 'destination'")
	case id == "" && c.client.Version != frame.V10:
		return nil, c.drop(f, "Missing header 'id'")
	case !known && c.broker.options.Strict:
		return nil, c.drop(f, "Unknown ack mode")
	case c.subscription(id, destination) != nil:
		return nil, c.drop(f, "Subscription exists already")
	}
	if err := c.permit(f.Command, destination); err != nil {
		return nil, err
	}
	c.numbers++
	s := &subscription{
		conn: c, id: strings.Clone(id), destination: strings.Clone(destination), number: c.numbers, mode: mode,
	}
	if err := c.join(f, s); err != nil {
		return nil, err
	}
	return s.feed.receipt(), nil
}

// join brings a subscription to where its messages come from.
func (c *conn) join(f *frame.Frame, s *subscription) error {
	b := c.broker
	keys, err := c.keys(s.destination)
	if err != nil {
		return err
	}
	if path, ok := b.appPath(s.destination); ok {
		c.asked = true
		return c.request(f, s, path)
	}
	if len(keys) == 0 && !b.isQueue(s.destination) {
		return c.drop(f, "Unknown destination: "+s.destination)
	}
	s.pattern = len(keys) > 0 && antpath.IsPattern(s.destination)
	if s.feed, err = c.newFeed(f, s, keys); err != nil {
		return err
	}
	if err := c.checkLimits(s); err != nil {
		return err
	}
	if !b.kept.take(s.size()) {
		return c.outOfMemory()
	}
	if err := c.source(s, keys); err != nil {
		c.leave(s)
		return err
	}
	c.mu.Lock()
	c.subscriptions = append(c.subscriptions, s)
	c.mu.Unlock()
	b.stats.Subscriptions.Add(1)
	if s.consumer != nil {
		s.consumer.start()
	}
	b.options.Events.subscribe(s.public())
	if s.feed != nil {
		return c.follow(s)
	}
	return nil
}

// source joins the topics of keys or, where there are none, the queue.
func (c *conn) source(s *subscription, keys []destinationOf) error {
	if len(keys) == 0 {
		return c.consume(s)
	}
	c.followed = true
	for _, k := range keys {
		if err := c.joinTopic(s, k); err != nil {
			return err
		}
	}
	return nil
}

// joinTopic joins the topic of a key, or those of a pattern of keys.
func (c *conn) joinTopic(s *subscription, k destinationOf) error {
	var t *topic
	var err error
	ctx := c.session.Context()
	if s.pattern {
		var p *antpath.Pattern
		if p, err = antpath.ParseUntrusted(k.destination, c.broker.options.Separator); err != nil {
			return &Error{Message: "Illegal pattern: " + s.destination, Body: strings.TrimPrefix(err.Error(), "antpath: "), Err: err}
		}
		t, err = c.broker.topics.joinPattern(ctx, keyPattern{kind: k.kind, pattern: p}, s)
	} else {
		t, err = c.broker.topics.join(ctx, k, s)
	}
	if err != nil {
		return notAvailable(err)
	}
	s.topics = append(s.topics, t)
	return nil
}

// notAvailable is the Error for an engine's.
func notAvailable(err error) error { return &Error{Message: "Broker not available.", Err: err} }

func (c *conn) checkLimits(s *subscription) error {
	o := &c.broker.options
	patterns := 0
	for _, other := range c.subscriptions {
		if other.pattern {
			patterns++
		}
	}
	counter := &c.broker.stats.SubscriptionLimit
	switch {
	case len(c.subscriptions) >= o.SubscriptionLimit:
		return &Error{Message: fmt.Sprintf("The limit of %d subscriptions has been reached", o.SubscriptionLimit), counter: counter}
	case s.pattern && o.PatternLimit < 0:
		return &Error{Message: "Patterns are not allowed: " + s.destination, counter: counter}
	case s.pattern && patterns >= o.PatternLimit:
		return &Error{Message: fmt.Sprintf("The limit of %d subscriptions to patterns has been reached", o.PatternLimit), counter: counter}
	}
	return nil
}

// subscription returns the one with an id or, without one, to a destination; or
// nil.
func (c *conn) subscription(id, destination string) *subscription {
	for _, s := range c.subscriptions {
		if s.id == id && (id != "" || s.destination == destination) {
			return s
		}
	}
	return nil
}

// unsubscribe answers UNSUBSCRIBE. In 1.0 a destination is as good as an id.
func (c *conn) unsubscribe(f *frame.Frame) error {
	id, destination := f.Headers.Value("id"), f.Headers.Value("destination")
	s := c.subscription(id, destination)
	switch {
	case id == "" && (destination == "" || c.client.Version != frame.V10):
		return c.drop(f, "Missing header 'id'")
	case s == nil && c.asked:
		return nil // it may be for what the application has answered
	case s == nil:
		return c.drop(f, "Unknown subscription: "+cmp.Or(id, destination))
	}
	c.mu.Lock()
	i := slices.Index(c.subscriptions, s)
	c.subscriptions = slices.Delete(c.subscriptions, i, i+1)
	c.mu.Unlock()
	c.leave(s)
	c.broker.stats.Subscriptions.Add(-1)
	c.broker.options.Events.unsubscribe(s.public())
	return nil
}

// leaveAll ends all subscriptions, and returns them.
func (c *conn) leaveAll() []*subscription {
	c.mu.Lock()
	all := c.subscriptions
	c.subscriptions = nil
	c.mu.Unlock()
	for _, s := range all {
		c.leave(s)
	}
	c.broker.stats.Subscriptions.Add(-int64(len(all)))
	return all
}

// leave takes a subscription from where its messages come from.
func (c *conn) leave(s *subscription) {
	for _, t := range s.topics {
		c.broker.topics.leave(t, s)
	}
	if s.consumer != nil {
		s.consumer.leave()
	}
	c.broker.kept.give(s.size())
}

// tellLeft tells that subscriptions have ended with their session.
func (c *conn) tellLeft(gone []*subscription) {
	for _, s := range gone {
		c.tell(func() { c.broker.options.Events.unsubscribe(s.public()) })
	}
}

// tell calls a function of Events at the session's end, when all is released. A
// panic is logged: the others are told in any case.
func (c *conn) tell(event func()) {
	var err error
	defer c.hookPanicked(&err)
	defer session.Recovered(&err)
	event()
}
