package history

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// One goroutine stores: what waits is cut into batches, and while one is being written the
// next gathers.
const (
	batchCount = 1000
	batchBytes = 1 << 20

	// fastDelay is how long publications of fast topics gather: half of the second within
	// which they are stored.
	fastDelay = 500 * time.Millisecond
)

// A batch is what is stored at once.
type batch struct {
	queue, late []*item
	tried       int // of late: they may be stored already
}

func (l *Log) commits() {
	for {
		b, wait := l.cut()
		switch {
		case b != nil:
			l.write(b)
		case wait == 0:
			return
		default:
			l.pause(wait)
		}
	}
}

// forever is longer than anybody waits.
const forever = time.Hour

// pause waits for something to be stored.
func (l *Log) pause(most time.Duration) {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-l.wake:
	case <-t.C:
	}
}

// cut returns the next batch or, where it is not time for one, how long to wait for it: not
// at all where the log has closed and nothing is left.
func (l *Log) cut() (*batch, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.due()
	if wait > 0 || len(l.queue)+len(l.late) == 0 {
		return nil, wait
	}
	b := &batch{}
	size := 0
	cutOff := func(all []*item) []*item {
		n := 0
		for n < len(all) && n < batchCount && (n == 0 || size < batchBytes) {
			size += all[n].size()
			n++
		}
		return all[:n:n]
	}
	b.queue = cutOff(l.queue)
	if l.queue = l.queue[len(b.queue):]; len(l.queue) == 0 {
		l.queue = nil
	}
	b.late = cutOff(l.late)
	b.tried, l.tried = min(l.tried, len(b.late)), max(l.tried, len(b.late))
	l.writing = true
	return b, 0
}

// due is how long until something is to be written. l.mu is held.
func (l *Log) due() time.Duration {
	switch {
	case len(l.queue) > 0:
		return 0
	case len(l.late) == 0 && l.closed:
		return 0
	case len(l.late) == 0:
		return forever
	case l.closed:
		return 0
	case l.failures > 0:
		return max(0, time.Until(l.retry))
	case l.flush, l.pending > batchBytes:
		return 0
	}
	return max(0, fastDelay-time.Since(l.late[0].given))
}

// write stores a batch, and lets those who wait for it go on. It returns false where that
// is not known.
func (l *Log) write(b *batch) bool {
	ctx, cancel := context.WithTimeout(context.Background(), l.options.StoreTimeout)
	defer cancel()
	late, err := l.untaken(ctx, b)
	all := make([]*Append, 0, len(b.queue)+len(late))
	for _, it := range b.queue {
		all = append(all, &it.append)
	}
	for _, it := range late {
		a := it.append // what it has been delivered with stays as it is
		all = append(all, &a)
	}
	if err == nil && len(all) > 0 {
		err = l.store.Append(ctx, all)
	}
	switch {
	case err == nil:
		l.works()
		l.took(b, all)
	case errors.Is(err, ErrUnavailable), ctx.Err() != nil:
		l.failed(err)
		l.lose(b)
		return false
	case len(b.queue)+len(b.late) > 1:
		return l.writeApart(b)
	default:
		l.refuse(ctx, b, err)
	}
	return true
}

// writeApart stores the items of a batch one by one: the store has refused one of them, and
// with it all.
func (l *Log) writeApart(b *batch) bool {
	for i := range b.queue {
		if !l.write(&batch{queue: b.queue[i : i+1]}) {
			l.lose(&batch{queue: b.queue[i+1:]})
			return false
		}
	}
	for i := range b.late {
		if !l.write(&batch{late: b.late[i : i+1], tried: min(1, max(0, b.tried-i))}) {
			return false
		}
	}
	return true
}

// refuse is told that the store does not take a batch, of one item. Where that is delivered
// already its topic is given another epoch.
func (l *Log) refuse(ctx context.Context, b *batch, err error) {
	if len(b.queue) > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ended(b.queue)
		b.queue[0].err = err
		b.queue[0].ready <- struct{}{}
		return
	}
	it := b.late[0]
	a := it.append
	if errors.Is(err, ErrOffset) { // somebody else stores in this topic, too
		a.Entry.Offset = 0
		err = l.store.Append(ctx, []*Append{&a})
	}
	if err == nil {
		l.took(b, []*Append{&a})
	} else {
		l.stats.Lost.Add(1)
		l.took(b, nil)
	}
	l.log.Error("history: a fast topic gets another epoch: the store did not take what was delivered", "topic", it.topic.name, "error", err)
	found, err := l.store.Renew(ctx, it.topic.name)
	if err != nil {
		l.failed(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	it.topic.epoch, it.topic.last = found.Epoch, max(it.topic.last, found.Last)
}

// untaken returns the late items of a batch that are to be stored. Of those that have been
// in a batch that failed some may be.
func (l *Log) untaken(ctx context.Context, b *batch) ([]*item, error) {
	if b.tried == 0 {
		return b.late, nil
	}
	last := make(map[*topic]uint64)
	var rest []*item
	for _, it := range b.late[:b.tried] {
		offset, known := last[it.topic]
		if !known {
			found, err := l.store.Topic(ctx, it.topic.name)
			if err != nil && !errors.Is(err, ErrNoTopic) {
				return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			offset = found.Last
			last[it.topic] = offset
		}
		if it.append.Entry.Offset > offset {
			rest = append(rest, it)
		}
	}
	return append(rest, b.late[b.tried:]...), nil
}

// took is told that a batch is stored.
func (l *Log) took(b *batch, all []*Append) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended(b.queue)
	l.ended(b.late)
	l.late = l.late[len(b.late):]
	l.tried = max(0, l.tried-len(b.late))
	if len(l.late) == 0 {
		l.late, l.flush = nil, false
	}
	for _, it := range b.queue {
		it.topic.take(it, l.shared)
		l.grow(it)
	}
	for _, it := range b.late {
		it.topic.users--
		it.topic.saved = max(it.topic.saved, it.append.Entry.Offset)
		l.grow(it)
	}
	l.stats.Batches.Add(1)
	for _, a := range all {
		if a.Duplicate {
			l.stats.Duplicates.Add(1)
		} else {
			l.stats.Stored.Add(1)
		}
	}
}

// lose is told that it is not known whether a batch is stored. Those who wait for it, and
// for those behind it, are refused; what is late is tried again, unless the log has closed.
func (l *Log) lose(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, it := range b.queue {
		l.doubts(it)
	}
	behind := l.queue
	l.queue = nil
	l.ended(b.queue)
	l.ended(behind)
	for _, it := range append(b.queue, behind...) {
		it.err = ErrUnavailable
		it.ready <- struct{}{}
	}
	if l.closed {
		l.lost, l.late = len(l.late), nil
	}
}

// ended is told that items do not wait any more. l.mu is held.
func (l *Log) ended(items []*item) {
	for _, it := range items {
		l.pending -= it.size()
	}
	l.stats.Pending.Store(int64(l.pending))
	if l.writing {
		l.writing = false
		close(l.written)
		l.written = make(chan struct{})
	}
}

// flushed returns when all of a fast topic that has been delivered is stored.
func (l *Log) flushed(ctx context.Context, name string) error {
	l.mu.Lock()
	t := l.topics[name]
	if t == nil || !t.policy.Fast {
		l.mu.Unlock()
		return nil
	}
	last := t.last
	for t.saved < last && l.failures == 0 && !l.closed {
		l.flush = true
		l.wakeUp()
		written := l.written
		l.mu.Unlock()
		select {
		case <-written:
		case <-ctx.Done():
			return ctx.Err()
		}
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	if t.saved < last {
		return ErrUnavailable
	}
	return nil
}
