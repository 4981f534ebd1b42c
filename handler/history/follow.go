package history

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"time"

	"switchback/handler"
	"switchback/session/memory"
)

// holeWait is how long a publication that is missing may be on its way from another node before
// it is read from the store.
const holeWait = 200 * time.Millisecond

// A follower stands between the Hub and those who have subscribed to a topic on this node. What
// is published on any node it gives them in the order of the offsets, each once: what is there
// before its turn is held, and what does not come is read from the store, once for all of them.
//
// One goroutine at a time delivers: who brings the next publication, or who fills a hole.
type follower struct {
	log         *Log
	topic, name string        // in the store, and on the Hub
	begun       chan struct{} // closed when it has subscribed to the Hub, and knows where it is
	err         error         // why it has not; after begun

	mu          sync.Mutex // guards the rest
	subscribers map[handler.Subscriber]struct{}
	busy        bool     // somebody delivers, or asks where to begin
	known       bool     // at is; else the next publication says it
	at          Position // the last that was delivered; Epoch 0: the topic is not there yet
	seen        uint64   // the last that is there, as far as is known
	held        map[uint64]*handler.Publication
	awaited     uint64        // of this node: who publishes it waits for its turn; 0: nobody does
	moved       chan struct{} // closed when there is news for that one; nil: nobody waits
	hole        uint64        // an offset that is missing, or was
	since       time.Time     // that it was known to be
	mending     bool          // who fills holes has the follower on its list
	gone        bool          // the last that has subscribed is; there may be another follower
}

// Subscribe has s get what is published on a topic that is kept from now on, on any node, in
// the order of the offsets: those that publish give name among the topics of the Hub on which
// it is delivered. Of a topic that is not kept s gets what comes on the Hub, as it comes.
//
// Beside other nodes it asks the store where the topic is. While that fails, the next that is
// published is taken for the first.
func (l *Log) Subscribe(ctx context.Context, topic, name string, s handler.Subscriber) error {
	if !l.shared || !l.Keeps(topic) {
		return l.hub.Subscribe(ctx, name, s)
	}
	f, first := l.join(topic, name, s)
	if first { // for all who subscribe: the end of one's context does not cancel it
		f.err = f.begin(context.WithoutCancel(ctx))
		close(f.begun)
	}
	var err error
	select {
	case <-f.begun:
		err = f.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		l.Unsubscribe(ctx, topic, name, s)
	}
	return err
}

// Unsubscribe has s get nothing more of a topic, but for what is being published just then.
func (l *Log) Unsubscribe(ctx context.Context, topic, name string, s handler.Subscriber) error {
	if !l.shared || !l.Keeps(topic) {
		return l.hub.Unsubscribe(ctx, name, s)
	}
	f := l.leaveFollower(topic, s)
	if f == nil {
		return nil
	}
	<-f.begun
	return l.hub.Unsubscribe(context.WithoutCancel(ctx), f.name, f)
}

// follower is that of a topic; nil: nobody here has subscribed to it.
func (l *Log) follower(topic string) *follower {
	if !l.shared {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.followers[topic]
}

// join has s follow a topic. It tells whether it is the first.
func (l *Log) join(topic, name string, s handler.Subscriber) (f *follower, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f = l.followers[topic]; f == nil {
		first = true
		f = &follower{
			log: l, topic: strings.Clone(topic), name: strings.Clone(name), begun: make(chan struct{}), busy: true,
			subscribers: make(map[handler.Subscriber]struct{}), held: make(map[uint64]*handler.Publication),
		}
		l.followers[f.topic] = f
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subscribers[s] = struct{}{}
	return f, first
}

// leaveFollower takes s from those that follow a topic. It returns the follower if that was the
// last: then it has ended.
func (l *Log) leaveFollower(topic string, s handler.Subscriber) *follower {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.followers[topic]
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, is := f.subscribers[s]; !is {
		return nil
	}
	if delete(f.subscribers, s); len(f.subscribers) > 0 {
		return nil
	}
	delete(l.followers, f.topic)
	f.gone = true
	for offset := range f.held {
		f.drop(offset)
	}
	f.wake()
	return f
}

// begin subscribes to the Hub, and then asks where the topic is: what was stored until then was
// published before anybody has subscribed. What comes meanwhile is held.
func (f *follower) begin(ctx context.Context) error {
	if err := f.log.hub.Subscribe(ctx, f.name, f); err != nil {
		return err
	}
	found, err := f.ask(ctx)
	f.mu.Lock()
	if err == nil {
		f.known, f.at = true, found.Position()
	}
	f.straighten()
	f.mu.Unlock()
	f.drain()
	return nil
}

// ask returns what the store has of the topic; zero where there is none.
func (f *follower) ask(ctx context.Context) (found Topic, err error) {
	err = f.log.Ask(ctx, func(ctx context.Context, s Store) (err error) {
		found, err = s.Topic(ctx, f.topic)
		return err
	})
	if errors.Is(err, ErrNoTopic) {
		err = nil
	}
	return found, err
}

// straighten makes one of what is held and where the topic is. f.mu is held.
func (f *follower) straighten() {
	first := f.ahead()
	if p := f.held[first]; p != nil && !f.known {
		f.known, f.at = true, Position{p.Epoch, p.Offset - 1}
	} else if p != nil && f.at.Epoch == 0 {
		f.at.Epoch = p.Epoch
	}
	for offset, p := range f.held {
		if p.Epoch != f.at.Epoch || offset <= f.at.Offset {
			f.drop(offset)
		}
	}
}

// ahead is the first offset that is held, or awaited; the highest number without one. f.mu is
// held.
func (f *follower) ahead() uint64 {
	first := uint64(math.MaxUint64)
	if f.awaited > 0 {
		first = f.awaited
	}
	for offset := range f.held {
		first = min(first, offset)
	}
	return first
}

// Receive gives a publication whose turn it is to all who have subscribed, and what is held of
// those behind it.
func (f *follower) Receive(p *handler.Publication) {
	if p.Epoch == 0 || p.Offset == 0 { // it is not kept
		f.give(p)
	} else if f.place(p) {
		f.give(p)
		f.gave(Position{p.Epoch, p.Offset})
		f.drain()
	}
}

// place tells whether it is a publication's turn: nobody else delivers then. One that is too
// early is held.
func (f *follower) place(p *handler.Publication) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.meet(p); f.gone || f.known && p.Offset <= f.at.Offset {
		return false // it has been delivered
	}
	f.seen = max(f.seen, p.Offset)
	if f.known && !f.busy && p.Offset == f.at.Offset+1 {
		f.busy = true
		return true
	}
	f.hold(p)
	f.look()
	return false
}

// meet takes over the epoch of a publication. f.mu is held.
func (f *follower) meet(p *handler.Publication) {
	switch {
	case !f.known && !f.busy:
		f.known, f.at = true, Position{p.Epoch, p.Offset - 1}
	case f.known && f.at.Epoch == 0:
		f.at.Epoch = p.Epoch
	case f.known && f.at.Epoch != p.Epoch: // it was removed, and made again: a gap for who follows
		f.at, f.seen, f.awaited = Position{p.Epoch, p.Offset - 1}, 0, 0
		f.straighten()
		f.wake()
	}
}

// hold keeps a publication, if there is room. f.mu is held.
func (f *follower) hold(p *handler.Publication) {
	if f.held[p.Offset] != nil {
		return
	}
	kept := p.Clone()
	size := int64(heldSize(kept))
	if held := &f.log.stats.Held; held.Add(size) > int64(f.log.options.HeldLimit) {
		held.Add(-size)
		return
	}
	memory.Add(int(size))
	f.held[p.Offset] = kept
}

func heldSize(p *handler.Publication) int { return len(p.Text) + itemCost }

// drop lets go of a publication that is held. f.mu is held.
func (f *follower) drop(offset uint64) {
	if p := f.held[offset]; p != nil {
		f.log.stats.Held.Add(-int64(heldSize(p)))
		memory.Add(-heldSize(p))
		delete(f.held, offset)
	}
}

// recipients are buffers for those who have subscribed.
var recipients = sync.Pool{New: func() any { return new([]handler.Subscriber) }}

// give gives a publication to all who have subscribed.
func (f *follower) give(p *handler.Publication) {
	to := recipients.Get().(*[]handler.Subscriber)
	f.mu.Lock()
	for s := range f.subscribers {
		*to = append(*to, s)
	}
	f.mu.Unlock()
	for _, s := range *to {
		s.Receive(p)
	}
	clear(*to)
	*to = (*to)[:0]
	recipients.Put(to)
}

// gave notes how far it has come: all up to there was delivered, or is given up.
func (f *follower) gave(at Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.Epoch != f.at.Epoch || at.Offset <= f.at.Offset {
		return
	}
	f.at = at
	f.drop(at.Offset) // it has come while it was read from the store
	if f.awaited <= at.Offset {
		f.awaited = 0
	}
}

// drain gives what is held of what comes next, and ends being busy.
func (f *follower) drain() {
	for p := f.next(); p != nil; p = f.next() {
		f.give(p)
		f.gave(Position{p.Epoch, p.Offset})
	}
}

func (f *follower) next() *handler.Publication {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.held[f.at.Offset+1]; p != nil && f.known {
		f.drop(p.Offset)
		return p
	}
	f.busy = false
	f.wake()
	f.look()
	return nil
}

// wake wakes who waits for a turn. f.mu is held.
func (f *follower) wake() {
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
}

// await returns when it is the turn of a publication of this node, or when there are none.
// There is one at a time of a topic.
func (f *follower) await(p *handler.Publication) {
	for {
		f.mu.Lock()
		if f.known {
			f.meet(p)
		}
		if f.gone || !f.busy && (!f.known || p.Offset <= f.at.Offset+1) {
			f.mu.Unlock()
			return
		}
		if f.known && p.Offset > f.at.Offset {
			f.awaited, f.seen = p.Offset, max(f.seen, p.Offset)
			f.look()
		}
		if f.moved == nil {
			f.moved = make(chan struct{})
		}
		moved := f.moved
		f.mu.Unlock()
		select {
		case <-moved:
		case <-f.log.stopped:
			return
		}
	}
}

// isHoled tells whether the next publication is missing. f.mu is held.
func (f *follower) isHoled() bool {
	next := f.at.Offset + 1
	return f.known && !f.gone && !f.busy && f.seen >= next && f.held[next] == nil && f.awaited != next
}

// look looks for a hole, and has it filled. f.mu is held.
func (f *follower) look() {
	if !f.isHoled() {
		return
	}
	if next := f.at.Offset + 1; f.hole != next {
		f.hole, f.since = next, time.Now()
		f.log.stats.Holes.Add(1)
	}
	if !f.mending {
		f.mending = true
		f.log.report(f)
	}
}
