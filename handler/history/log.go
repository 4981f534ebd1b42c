package history

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"switchback/handler"
	"switchback/session/option"
)

// Options are the settings of a Log. A zero number or duration stands for its default.
type Options struct {
	// Policies say which topics are kept. The default is none.
	Policies []Policy

	// Separator stands between the segments of a topic's name in patterns. The default is
	// "/".
	Separator string `default:"/"`

	// ResumeLimit and ResumeBytes are how many entries, and how many bytes of them, a
	// subscriber is given that comes back or asks for the last ones. Where it has missed
	// more it gets the last of them and is told of a gap. The defaults are 1,000 and 256 KiB.
	ResumeLimit int `default:"1000"`
	ResumeBytes int `default:"256KiB" unit:"bytes"`

	// PendingLimit is how many bytes of publications may wait for the store. The default
	// is 16 MiB.
	PendingLimit int `default:"16MiB" unit:"bytes"`

	// HeldLimit is how many bytes of publications of other nodes may wait for those before
	// them. What comes beyond it is read from the store when it is its turn. The default is
	// 16 MiB.
	HeldLimit int `default:"16MiB" unit:"bytes"`

	// TopicLimit is how many topics may have something on its way at once, and are
	// remembered. The default is 100,000.
	TopicLimit int `default:"100000"`

	// StoreTimeout is how long a call to the store may take. The default is 5 seconds.
	StoreTimeout time.Duration `default:"5s"`

	// Logger gets what happens: warn for the first error of a store, info for its end. The
	// default is slog.Default() as New finds it.
	Logger *slog.Logger
}

var (
	// ErrBusy is the error for a publication at PendingLimit or TopicLimit.
	ErrBusy = errors.New("history: too much waits for the store; publish again later")

	// ErrClosed is the error of a Log that has closed.
	ErrClosed = errors.New("history: the log has closed")

	// ErrNotKept is the error for a topic that no policy keeps.
	ErrNotKept = errors.New("history: the topic is not kept: no policy matches its name")
)

// A Log keeps what is published on topics in a Store, and delivers it over a Hub: in the
// order of the offsets, and what is to be durable once it is stored. Its methods may be
// called from any goroutine. No lock is held while it calls the store or the Hub.
//
// Publications of many goroutines are stored together: while one batch is being written
// the next gathers. While the store fails, publications are refused at once, but for one at
// a time that tries; the log tells of the first error and of its end.
type Log struct {
	store   Store
	hub     *handler.Hub
	options Options
	log     *slog.Logger
	stats   Stats
	wake    chan struct{} // of the goroutine that stores
	shared  bool          // there may be other nodes, which store and deliver, too
	holes   chan struct{} // wakes the goroutine that fills them
	stopped <-chan struct{}
	stop    context.CancelFunc
	tasks   sync.WaitGroup

	mu       sync.Mutex // guards the rest, and all topics
	topics   map[string]*topic
	queue    []*item             // to be stored, then delivered
	late     []*item             // of fast topics: delivered, and to be stored
	tried    int                 // of late, from the front: in a batch of which it is not known whether it is stored
	pending  int                 // bytes of queue, of late and of the batch that is being written
	writing  bool                // a batch is being written
	flush    bool                // late is to be stored now: somebody waits for it
	written  chan struct{}       // closed, and replaced, when a batch has ended
	doubtful map[*topic]struct{} // see topic.doubt
	grown    map[*topic]struct{} // over what is to be kept
	failures int                 // of the store, since it last took something
	retry    time.Time           // before that it is not called after a failure
	closed   bool
	lost     int            // that Close could not store
	calls    sync.WaitGroup // to the store, by others than the log's own goroutines

	followers map[string]*follower // by topic: of those that have subscribers here

	reports sync.Mutex  // guards the rest
	holed   []*follower // that have holes, and are new to who fills them
	missed  bool        // publications of other nodes may be
}

// New returns a Log over a store, which it owns from then on, and which it closes if there is
// an error.
func New(store Store, hub *handler.Hub, o Options) (*Log, error) {
	option.SetDefaults(&o)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	l := &Log{
		store: store, hub: hub, options: o, log: o.Logger,
		wake: make(chan struct{}, 1), written: make(chan struct{}),
		holes: make(chan struct{}, 1), followers: make(map[string]*follower),
		topics: make(map[string]*topic), doubtful: make(map[*topic]struct{}), grown: make(map[*topic]struct{}),
	}
	if err := l.options.check(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	l.shared = !hub.Alone()
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	l.stopped = ctx.Done()
	l.tasks.Go(l.commits) // all end with Close
	l.tasks.Go(func() { l.keep(ctx) })
	if l.shared {
		hub.OnLoss(func(error) { l.miss() })
		l.tasks.Go(func() { l.mend(ctx) })
	}
	return l, nil
}

// check parses the policies.
func (o *Options) check() (err error) {
	if name, value := option.Negative(*o); name != "" {
		return fmt.Errorf("history: %s is %d; it must not be negative", name, value)
	}
	o.Policies = slices.Clone(o.Policies)
	for i := range o.Policies {
		if o.Policies[i], err = o.Policies[i].parse(o.Separator); err != nil {
			return err
		}
	}
	return nil
}

// Close stores what is on its way and closes the store. It takes a few StoreTimeouts at
// most. What is published afterwards is refused. It is called once.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.wakeUp()
	l.tasks.Wait()
	l.calls.Wait()
	var err error
	if l.lost > 0 {
		err = fmt.Errorf("history: %d publications of fast topics are not stored", l.lost)
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), l.options.StoreTimeout)
		defer cancel()
		err = l.store.Settle(ctx)
	}
	return errors.Join(err, l.store.Close())
}

// Store is where the log keeps it all. Who calls it goes by Ask where it can.
func (l *Log) Store() Store { return l.store }

// Hub is where the log delivers.
func (l *Log) Hub() *handler.Hub { return l.hub }

// Separator stands between the segments of names.
func (l *Log) Separator() string { return l.options.Separator }

// Publish keeps p in a topic, by the topic's policy, and delivers it on the topics of the
// Hub that are given, which must always be the same for one topic: as Hub.PublishTo does,
// with its position, and with the time of now where it has none. A topic that no policy
// keeps is only delivered on; then the position is zero.
//
// It returns once p is stored and delivered; of a fast topic, once it is delivered. A
// publication with an ID that its topic has is not stored again and not delivered again: its
// position is that of the first, and duplicate is true.
//
// After an error nobody on this node has got p. After ErrUnavailable it is not known whether
// it is stored: if it turns out to be, it is delivered then, before all that comes later. So
// who publishes it again gives it the same ID. The end of ctx ends the wait for memory, but
// not that for the store.
//
// It waits for those who publish on the topic before it, and so must not be called by a
// Subscriber's Receive. The log keeps nothing of p, and copies what it stores.
func (l *Log) Publish(ctx context.Context, topic string, p *handler.Publication, to ...string) (at Position, duplicate bool, err error) {
	policy := l.policy(topic)
	if policy == nil {
		return Position{}, false, l.hub.PublishTo(ctx, p, to...)
	}
	if len(topic) > MaxName || topic == "" {
		return Position{}, false, ErrName
	}
	r, err := l.hub.Reserve(ctx, p)
	if err != nil {
		return Position{}, false, err
	}
	defer r.Release()
	t, err := l.use(ctx, topic, policy)
	if err != nil {
		return Position{}, false, l.refused(err)
	}
	defer l.leave(t)
	it := newItem(t, p, to)
	if err := l.enter(it); err != nil {
		return Position{}, false, l.refused(err)
	}
	<-it.ready
	if it.err != nil {
		return Position{}, false, l.refused(it.err)
	}
	l.deliver(ctx, it)
	return Position{it.append.Epoch, it.append.Entry.Offset}, it.append.Duplicate, nil
}

// refused counts a publication that is.
func (l *Log) refused(err error) error {
	switch {
	case errors.Is(err, ErrBusy):
		l.stats.Busy.Add(1)
	case errors.Is(err, ErrFull):
		l.stats.Full.Add(1)
	case errors.Is(err, ErrUnavailable):
		l.stats.Unavailable.Add(1)
	}
	return err
}

// An item is a publication on its way into the store and to subscribers.
type item struct {
	topic  *topic
	append Append
	given  time.Time
	p      *handler.Publication // nil: there is only the hole before it to be filled
	to     []string

	// What is stored after this offset and before the item's own was not delivered.
	after uint64
	hole  bool

	queued bool          // in the topic's queue
	err    error         // it is refused
	ready  chan struct{} // gets one when it is its turn to be delivered, or nothing is left to do
}

// itemCost is about what an item takes beside its data.
const itemCost = 400

func newItem(t *topic, p *handler.Publication, to []string) *item {
	data := bytes.Clone(p.Text)
	if data == nil && p.Payload != nil {
		data = p.Payload.Append(make([]byte, 0, p.Payload.Size()))
	}
	now := time.Now()
	at := p.At
	if at.IsZero() {
		at = now
	}
	return &item{
		topic: t, p: p, to: to, given: now, ready: make(chan struct{}, 1),
		append: Append{Topic: t.name, Entry: Entry{
			At: at.UTC().Truncate(time.Millisecond), ID: strings.Clone(p.ID), User: strings.Clone(p.User), Data: data,
		}},
	}
}

// size is what counts for PendingLimit.
func (it *item) size() int { return len(it.append.Entry.Data) + itemCost }

// enter takes an item that there is room for: to be stored and, of a fast topic, to be
// delivered at once.
func (l *Log) enter(it *item) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	fast := it.topic.policy.Fast
	switch {
	case l.closed:
		return ErrClosed
	case !fast && !l.tries():
		return ErrUnavailable
	case l.pending+it.size() > l.options.PendingLimit:
		return ErrBusy
	}
	l.pending += it.size()
	l.stats.Pending.Store(int64(l.pending))
	if !fast {
		l.queue = append(l.queue, it)
		l.wakeUp()
		return nil
	}
	t := it.topic
	t.last++
	it.append.Epoch, it.append.Entry.Offset = t.epoch, t.last
	t.users++ // until it is stored
	if l.late = append(l.late, it); len(l.late) == 1 || l.pending > batchBytes {
		l.wakeUp()
	}
	t.enqueue(it)
	return nil
}

// wakeUp wakes the goroutine that stores.
func (l *Log) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
