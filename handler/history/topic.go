package history

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"switchback/handler"
)

// A topic is what the log knows of one that is kept, guarded by the log's lock.
//
// What has an offset waits in queue, in the order of the offsets, and is delivered by who
// publishes it: one at a time, who wakes the next when it is done.
type topic struct {
	name   string
	policy *Policy
	turn   chan struct{} // held by who opens it
	users  int           // who publish on it, and what of it is to be stored
	epoch  uint64        // 0: it is not open
	last   uint64        // the last offset that is in queue, or was
	saved  uint64        // of a fast topic: the last that is stored
	count  int64         // about what is stored of it
	bytes  int64
	queue  []*item

	// When it was last not known whether something is stored; zero: it is known. What is
	// found to be stored is delivered on to. It is looked for when the store works again,
	// and once more when the doubt ends.
	doubt  time.Time
	looked bool
	to     []string
}

// doubtFor is how long it may take until what has failed turns out to be stored.
const doubtFor = time.Minute

func (t *topic) doubted() bool { return !t.doubt.IsZero() }

// use returns a topic that stays known until leave. It is open.
func (l *Log) use(ctx context.Context, name string, policy *Policy) (*topic, error) {
	t, err := l.find(name, policy)
	if err == nil {
		if err = l.open(ctx, t); err != nil {
			l.leave(t)
		}
	}
	return t, err
}

func (l *Log) find(name string, policy *Policy) (*topic, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[name]
	if t == nil {
		if len(l.topics) >= l.options.TopicLimit && !l.forget() {
			return nil, ErrBusy
		}
		t = &topic{name: strings.Clone(name), policy: policy, turn: make(chan struct{}, 1)}
		l.topics[t.name] = t
		l.stats.Topics.Store(int64(len(l.topics)))
	}
	t.users++
	return t, nil
}

func (l *Log) leave(t *topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.users--
}

// forget makes room for another topic: one is forgotten of which nothing is on its way. It
// looks at a few of them, any.
func (l *Log) forget() bool {
	const few = 100
	looked := 0
	for name, t := range l.topics {
		if t.users == 0 {
			delete(l.topics, name)
			delete(l.grown, t)
			return true
		}
		if looked++; looked == few {
			break
		}
	}
	return false
}

// open asks the store for what has to be known of a topic before the first publication.
func (l *Log) open(ctx context.Context, t *topic) error {
	if l.isOpen(t) {
		return nil
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-t.turn }()
	if l.isOpen(t) {
		return nil
	}
	return l.Ask(ctx, func(ctx context.Context, s Store) error {
		found, err := s.Open(ctx, t.name, t.policy.Fast)
		if err == nil {
			l.mu.Lock()
			t.know(&found)
			l.mu.Unlock()
		}
		return err
	})
}

func (l *Log) isOpen(t *topic) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return t.epoch != 0
}

// know takes over what the store has.
func (t *topic) know(found *Topic) {
	t.epoch, t.last, t.saved = found.Epoch, found.Last, found.Last
	t.measure(found)
}

// measure takes over how much the store has.
func (t *topic) measure(found *Topic) {
	t.count, t.bytes = found.Count, found.Bytes
}

// enqueue has an item delivered when all before it are. The log's lock is held.
func (t *topic) enqueue(it *item) {
	it.queued = true
	if t.queue = append(t.queue, it); len(t.queue) == 1 {
		it.ready <- struct{}{}
	}
}

// take places what the store has taken, or had already, among what is to be delivered. The
// log's lock is held. Beside other nodes one that is there already is delivered again: the
// node that has stored it may have ended before it could.
func (t *topic) take(it *item, shared bool) {
	a := &it.append
	if a.Epoch != t.epoch { // it was removed, and made again
		t.epoch, t.last = a.Epoch, a.Entry.Offset-1
	}
	if shared && a.Duplicate {
		it.p, it.after, it.hole = nil, a.Entry.Offset-1, true
		t.last = max(t.last, a.Entry.Offset)
		t.enqueue(it)
		return
	}
	if a.Entry.Offset <= t.last {
		it.ready <- struct{}{} // delivered already
		return
	}
	it.after, it.hole = t.last, t.doubted()
	t.last = a.Entry.Offset
	if a.Duplicate {
		it.p = nil
		it.hole = it.hole && it.after < a.Entry.Offset
	} else {
		it.hole = it.hole && it.after+1 < a.Entry.Offset
	}
	t.enqueue(it)
}

// deliver delivers an item whose turn it is, and gives the turn to the next.
func (l *Log) deliver(ctx context.Context, it *item) {
	if !it.queued {
		return
	}
	defer l.pass(it.topic)
	ctx = context.WithoutCancel(ctx)
	if it.hole {
		l.fill(ctx, it)
	}
	if it.p == nil {
		return
	}
	it.p.Epoch, it.p.Offset, it.p.At = it.append.Epoch, it.append.Entry.Offset, it.append.Entry.At
	l.carry(ctx, it.topic, it.p, it.to)
}

// carry has a publication delivered: on other nodes, and when it is its turn here.
func (l *Log) carry(ctx context.Context, t *topic, p *handler.Publication, to []string) {
	if err := l.hub.Carry(ctx, p, to...); err != nil {
		l.stats.Uncarried.Add(1)
	}
	if f := l.follower(t.name); f != nil {
		f.await(p)
	}
	l.hub.DeliverHere(p, to...)
}

func (l *Log) pass(t *topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.queue[0] = nil
	if t.queue = t.queue[1:]; len(t.queue) > 0 {
		t.queue[0].ready <- struct{}{}
	} else {
		t.queue = nil
	}
}

// fill delivers what is stored before an item and was not delivered: the store had reported
// an error. A duplicate is among it. It waits for a store that fails, but not for ever: who
// follows the topic by a Cursor is told of a gap then.
func (l *Log) fill(ctx context.Context, it *item) {
	a := &it.append
	r := Range{After: it.after, Before: a.Entry.Offset, Limit: l.options.ResumeLimit, Bytes: int64(l.options.ResumeBytes)}
	if it.p == nil {
		r.Before++
	}
	until := time.Now().Add(doubtFor)
	for r.After+1 < r.Before {
		var entries []Entry
		err := l.Ask(ctx, func(ctx context.Context, s Store) (err error) {
			entries, err = s.Read(ctx, a.Topic, r)
			return err
		})
		switch {
		case errors.Is(err, ErrUnavailable) && time.Now().Before(until):
			time.Sleep(firstRetry)
			continue
		case err != nil || len(entries) == 0:
			return
		}
		for i := range entries {
			r.After = entries[i].Offset
			if l.fillWith(ctx, it.topic, entries[i].Publication(a.Epoch), it.to) != nil {
				return
			}
		}
	}
}

func (l *Log) fillWith(ctx context.Context, t *topic, p *handler.Publication, to []string) error {
	room, err := l.hub.Reserve(ctx, p)
	if err != nil {
		return err
	}
	defer room.Release()
	l.carry(ctx, t, p, to)
	l.stats.Filled.Add(1)
	return nil
}

// Publication is the entry of an epoch as it is delivered.
func (e *Entry) Publication(epoch uint64) *handler.Publication {
	return &handler.Publication{ID: e.ID, User: e.User, Epoch: epoch, Offset: e.Offset, At: e.At, Text: e.Data}
}

// doubts notes that it is not known whether an item is stored. The log's lock is held.
func (l *Log) doubts(it *item) {
	t := it.topic
	if _, already := l.doubtful[t]; !already {
		l.doubtful[t] = struct{}{}
		t.users++ // until it is settled
		t.to = slices.Clone(it.to)
		for i := range t.to {
			t.to[i] = strings.Clone(t.to[i])
		}
	}
	t.doubt, t.looked = time.Now(), false
}

// settleDoubts delivers what turns out to be stored of the topics of which it is not known.
func (l *Log) settleDoubts(ctx context.Context) {
	l.mu.Lock()
	var all []*topic
	for t := range l.doubtful {
		if !t.looked || time.Since(t.doubt) >= doubtFor {
			all = append(all, t)
		}
	}
	l.mu.Unlock()
	for _, t := range all {
		if l.settleDoubt(ctx, t) != nil {
			return
		}
	}
}

func (l *Log) settleDoubt(ctx context.Context, t *topic) error {
	l.mu.Lock()
	since := t.doubt
	l.mu.Unlock()
	var found Topic
	err := l.Ask(ctx, func(ctx context.Context, s Store) (err error) {
		found, err = s.Topic(ctx, t.name)
		return err
	})
	if err != nil && !errors.Is(err, ErrNoTopic) {
		return err
	}
	l.mu.Lock()
	it := &item{topic: t, to: t.to, ready: make(chan struct{}, 1), append: Append{Topic: t.name, Epoch: found.Epoch, Entry: Entry{Offset: found.Last}}}
	hole := found.Epoch == t.epoch && found.Last > t.last
	if hole {
		it.hole, it.after = true, t.last
		t.last = found.Last
		t.enqueue(it)
	}
	t.looked = t.doubt.Equal(since)
	if t.looked && time.Since(since) >= doubtFor {
		delete(l.doubtful, t)
		t.doubt, t.to = time.Time{}, nil
		t.users--
	}
	l.mu.Unlock()
	if hole {
		<-it.ready
		l.deliver(ctx, it)
	}
	return nil
}
