package handler

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"

	"switchback/session"
	"switchback/session/memory"
)

// A Subscriber is given what is published on the topics that it has subscribed to: a session,
// by ForSession, or what stands for many. It is compared by ==, and so must be able to be:
// a pointer mostly.
type Subscriber interface {
	// Receive must not block. Calls for one publication come one after the other, those
	// for several at once.
	Receive(p *Publication)
}

// ForSession returns the Subscriber that sends s the text of each publication. Those of
// the same session are the same.
func ForSession(s session.Session) Subscriber { return sessionSubscriber{s} }

type sessionSubscriber struct{ session session.Session }

// Receive drops the error: it is the session's, which has closed.
func (s sessionSubscriber) Receive(p *Publication) {
	p.Sending(s.session)
	s.session.SendPrepared(p.prepare())
}

// A Hub joins the subscribers of this node to topics, over an Engine. Its methods
// may be called from any goroutine. It delivers on its own node itself, and the engine to
// the other nodes. It holds no lock while it delivers or calls the engine, but for Publish
// of the engine: so one slow client or a slow engine stops no other topic.
type Hub struct {
	engine Engine
	alone  bool   // the engine carries nothing
	origin uint64 // of this node's publications
	seed   maphash.Seed
	shards [64]hubShard

	carrying sync.Mutex // held while the engine is given a publication; guards counter
	counter  uint64     // of the last one

	once   window // of what has a Once
	losses struct {
		sync.Mutex
		told []func(err error)
	}
}

type hubShard struct {
	mu     sync.Mutex
	topics map[string]*topic
}

// A topic is the subscribers on this node that get what is published on it.
type topic struct {
	name string

	mu          sync.Mutex // guards the rest
	subscribers []Subscriber
	index       map[Subscriber]int // in subscribers
	have        bool               // the engine is subscribed
	engaged     chan struct{}      // closed when the call to the engine that goes on ends; nil without one
}

// NewHub returns a Hub over an engine, which it starts and from then on owns.
func NewHub(engine Engine) (*Hub, error) {
	_, alone := engine.(*Memory)
	h := &Hub{engine: engine, alone: alone, origin: rand.Uint64(), seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].topics = make(map[string]*topic)
	}
	if l, ok := engine.(Lossy); ok {
		l.OnLoss(h.lost)
	}
	return h, engine.Start(h.receive)
}

// Alone tells whether there are no other nodes, nor can be.
func (h *Hub) Alone() bool { return h.alone }

// Close closes the engine.
func (h *Hub) Close() error { return h.engine.Close() }

// OnLoss has f called each time that publications of other nodes may have been missed; the
// error says why. It must not block.
func (h *Hub) OnLoss(f func(err error)) {
	h.losses.Lock()
	defer h.losses.Unlock()
	h.losses.told = append(h.losses.told, f)
}

func (h *Hub) lost(err error) {
	h.losses.Lock()
	told := slices.Clone(h.losses.told)
	h.losses.Unlock()
	for _, f := range told {
		f(err)
	}
}

// Subscribe has s get what is published on a topic from now on. To subscribe
// twice is to subscribe once.
func (h *Hub) Subscribe(ctx context.Context, name string, s Subscriber) error {
	t := h.join(name, s)
	err := h.settle(ctx, t)
	if err != nil {
		h.Unsubscribe(context.WithoutCancel(ctx), name, s) // it may be the last of those that have waited
		h.sweep(t)
	}
	return err
}

// Unsubscribe has s get nothing more of a topic, but for what is being published just
// then. It does nothing if s has not subscribed.
func (h *Hub) Unsubscribe(ctx context.Context, name string, s Subscriber) error {
	t := h.leave(name, s)
	if t == nil {
		return nil
	}
	return h.settle(ctx, t)
}

// Publish sends text to all who have subscribed to a topic, on any node: see PublishTo.
func (h *Hub) Publish(ctx context.Context, name string, text []byte) error {
	return h.PublishTo(ctx, &Publication{Text: text}, name)
}

// PublishTo gives p to all who have subscribed to one of the topics, on any node: to those
// of this one before it returns, as it is, and encoded to the engine. Who has subscribed to
// several gets it several times. What one goroutine publishes is delivered in its order.
//
// Where the process holds as much for clients as it may, PublishTo waits until some of them
// have taken what they have, ctx is done, or 15 seconds are over: see memory.Reserve.
//
// An error is that of a wait, session.ErrMemory for one, the engine's, or an ID that is too
// long: then nobody on this node has got p, though others may have. The Hub stamps p, and
// keeps nothing of it.
func (h *Hub) PublishTo(ctx context.Context, p *Publication, topics ...string) error {
	r, err := h.Reserve(ctx, p)
	if err != nil {
		return err
	}
	defer r.Release()
	if err := h.Carry(ctx, p, topics...); err != nil {
		return err
	}
	h.DeliverHere(p, topics...)
	return nil
}

// A Reservation is memory for what a publication becomes on its way to clients.
type Reservation struct{ size int }

// Reserve waits as PublishTo does until there is room for p, for who does the rest of it in
// steps: Deliver, or Carry and DeliverHere, and Release after them.
func (h *Hub) Reserve(ctx context.Context, p *Publication) (Reservation, error) {
	if len(p.ID) > MaxID || len(p.User) > MaxID {
		return Reservation{}, errLong
	}
	r := Reservation{p.size() * encodings}
	return r, memory.Reserve(ctx, r.size)
}

// Release gives the room back, once. Of a Reserve that failed there is nothing to give back.
func (r Reservation) Release() { memory.Add(-r.size) }

// Deliver gives p, for which there is room, to all who have subscribed to one of the topics:
// to those of this node in any case. It is for what is kept already. An error is the
// engine's: then others have to find p where it is kept.
func (h *Hub) Deliver(ctx context.Context, p *Publication, topics ...string) error {
	err := h.Carry(ctx, p, topics...)
	h.DeliverHere(p, topics...)
	return err
}

// DeliverHere gives p, for which there is room, to those of this node alone.
func (h *Hub) DeliverHere(p *Publication, topics ...string) {
	for _, name := range topics {
		h.deliver(name, p)
	}
}

// encodings is how much larger than a text its usual encodings are together, at most: in
// JSON a byte becomes \u0001, and natively it stays. What old transports make of that is
// counted once it is there.
const encodings = 7

// buffers are memory for what engines are given.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled is the size over which such memory is left to the collector.
const maxPooled = 64 << 10

// Carry stamps a publication and gives it to the engine, for the other nodes alone. DeliverHere
// comes after it. The lock has stamps rise in the order in which the engine has them.
func (h *Hub) Carry(ctx context.Context, p *Publication, topics ...string) error {
	p.prepared, p.watch, p.Origin = nil, session.Stopwatch{}, h.origin
	if h.alone {
		return nil
	}
	b := buffers.Get().(*[]byte)
	defer func() {
		if cap(*b) <= maxPooled {
			buffers.Put(b)
		}
	}()
	*b = p.append((*b)[:0])
	h.carrying.Lock()
	defer h.carrying.Unlock()
	h.counter++
	p.Counter = h.counter
	binary.BigEndian.PutUint64((*b)[counterAt:], p.Counter)
	for _, name := range topics {
		if err := h.engine.Publish(ctx, name, *b); err != nil {
			return err
		}
	}
	return nil
}

// receive delivers what the engine brings, but for what this node has published.
func (h *Hub) receive(name string, data []byte) error {
	p, err := decodePublication(data)
	if err == nil && p.Origin != h.origin {
		h.deliver(name, p)
	}
	return err
}

// Subscribers is the number of those on this node that have subscribed to a topic.
func (h *Hub) Subscribers(name string) int {
	t := h.find(name)
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.subscribers)
}

func (h *Hub) shard(name string) *hubShard {
	return &h.shards[maphash.String(h.seed, name)%uint64(len(h.shards))]
}

func (h *Hub) find(name string) *topic {
	d := h.shard(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.topics[name]
}

// recipients are buffers for the subscribers of a topic.
var recipients = sync.Pool{New: func() any { return new([]Subscriber) }}

// deliver gives a publication to the subscribers of a topic.
func (h *Hub) deliver(name string, p *Publication) {
	t := h.find(name)
	if t == nil || p.Once != 0 && !h.once.first(name, p.Once) {
		return
	}
	to := recipients.Get().(*[]Subscriber)
	t.mu.Lock()
	*to = append((*to)[:0], t.subscribers...)
	t.mu.Unlock()
	for _, s := range *to {
		s.Receive(p)
	}
	clear(*to)
	recipients.Put(to)
}

// join adds s to a topic, and the topic to the hub.
func (h *Hub) join(name string, s Subscriber) *topic {
	d := h.shard(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.topics[name]
	if t == nil {
		t = &topic{name: name, index: make(map[Subscriber]int)}
		d.topics[name] = t
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.index[s]; !ok {
		t.index[s] = len(t.subscribers)
		t.subscribers = append(t.subscribers, s)
	}
	return t
}

// leave takes s out of a topic, which it returns if that was its last.
func (h *Hub) leave(name string, s Subscriber) *topic {
	t := h.find(name)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.index[s]
	if !ok {
		return nil
	}
	last := len(t.subscribers) - 1
	t.subscribers[i] = t.subscribers[last]
	t.index[t.subscribers[i]] = i
	t.subscribers[last] = nil
	t.subscribers = t.subscribers[:last]
	delete(t.index, s)
	if last > 0 {
		return nil
	}
	return t
}

// settle brings the engine's subscription in line with whether the topic has
// subscribers. One goroutine at a time calls the engine for a topic; those that
// come meanwhile wait for it and look again.
func (h *Hub) settle(ctx context.Context, t *topic) error {
	for {
		t.mu.Lock()
		want, engaged := len(t.subscribers) > 0, t.engaged
		if engaged == nil && want == t.have {
			t.mu.Unlock()
			h.sweep(t)
			return nil
		}
		if engaged == nil {
			t.engaged = make(chan struct{})
			t.mu.Unlock()
			if err := h.engage(ctx, t, want); err != nil {
				return err
			}
			continue
		}
		t.mu.Unlock()
		select {
		case <-engaged:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// engage makes one call to the engine.
func (h *Hub) engage(ctx context.Context, t *topic, want bool) (err error) {
	if want {
		err = h.engine.Subscribe(ctx, t.name)
	} else {
		err = h.engine.Unsubscribe(ctx, t.name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.have = want
	}
	close(t.engaged)
	t.engaged = nil
	return err
}

// sweep forgets a topic without subscribers.
func (h *Hub) sweep(t *topic) {
	d := h.shard(t.name)
	d.mu.Lock()
	defer d.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.subscribers) == 0 && !t.have && t.engaged == nil && d.topics[t.name] == t {
		delete(d.topics, t.name)
	}
}
