package history

import (
	"context"
	"errors"
	"time"
)

const (
	round = time.Second // of what is to be done in the background

	// All topics of the store are looked through for what is too old, and once when the
	// log begins for what is more than may be kept: one sweep is this long after another.
	minSweep = time.Second
	maxSweep = 10 * time.Minute

	sweepPage = 1000 // topics that are looked at together
)

// keep does what nobody waits for: it removes what is not to be kept any more, and finds out
// what has been stored where that was not known.
func (l *Log) keep(ctx context.Context) {
	every := l.sweepEvery()
	sweep := time.Now()
	t := time.NewTicker(round)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		l.settleDoubts(ctx)
		l.trimGrown(ctx)
		if !sweep.IsZero() && !time.Now().Before(sweep) && l.sweep(ctx) == nil {
			sweep = time.Time{}
			if every > 0 {
				sweep = time.Now().Add(every)
			}
		}
	}
}

// sweepEvery is how often what is too old is looked for; 0: nothing ever is.
func (l *Log) sweepEvery() (every time.Duration) {
	for i := range l.options.Policies {
		if age := l.options.Policies[i].Age; age > 0 {
			d := min(max(age/10, minSweep), maxSweep)
			if every == 0 || d < every {
				every = d
			}
		}
	}
	return every
}

// grow notes what has been stored. The log's lock is held.
func (l *Log) grow(it *item) {
	if it.append.Duplicate {
		return
	}
	t := it.topic
	t.count++
	t.bytes += int64(len(it.append.Entry.Data))
	if t.policy.over(t.count, t.bytes) {
		l.grown[t] = struct{}{}
	}
}

// over tells whether more is kept than may be, and a tenth of that.
func (k *Keep) over(count, bytes int64) bool {
	return k.Count > 0 && count > int64(k.Count+k.Count/10) || k.Bytes > 0 && bytes > k.Bytes+k.Bytes/10
}

// trimGrown trims the topics that have grown.
func (l *Log) trimGrown(ctx context.Context) {
	l.mu.Lock()
	grown := l.grown
	l.grown = make(map[*topic]struct{})
	l.mu.Unlock()
	for t := range grown {
		if l.trim(ctx, t.name, t.policy) != nil {
			l.mu.Lock()
			l.grown[t] = struct{}{}
			l.mu.Unlock()
		}
	}
}

// trim removes what is not to be kept of a topic.
func (l *Log) trim(ctx context.Context, name string, policy *Policy) error {
	_, err := l.Trim(ctx, name, policy.Keep)
	if errors.Is(err, ErrNoTopic) {
		return nil
	}
	return err
}

// Trim removes the oldest entries of a topic that are more than is to be kept, as Store.Trim
// does, and returns what the topic is then. There may be millions: it takes as long as ctx
// allows, whatever StoreTimeout is, and what is removed until then is.
func (l *Log) Trim(ctx context.Context, name string, keep Keep) (after Topic, err error) {
	var before Topic
	err = l.Ask(ctx, func(ctx context.Context, s Store) (err error) {
		before, err = s.Topic(ctx, name)
		return err
	})
	if err == nil {
		err = l.ask(ctx, ctx, func(ctx context.Context, s Store) (err error) {
			after, err = s.Trim(ctx, name, keep, time.Now())
			return err
		})
	}
	if err != nil {
		return Topic{}, err
	}
	l.stats.Trimmed.Add(max(0, before.Count-after.Count))
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.topics[name]; t != nil {
		t.measure(&after)
	}
	return after, nil
}

// sweep looks through all topics.
func (l *Log) sweep(ctx context.Context) error {
	for after := ""; ; {
		var page []Topic
		err := l.Ask(ctx, func(ctx context.Context, s Store) (err error) {
			page, err = s.Topics(ctx, after, sweepPage)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			found := &page[i]
			after = found.Name
			policy := l.policy(found.Name)
			if policy == nil || found.Count == 0 || policy.Age == 0 && !policy.over(found.Count, found.Bytes) {
				continue
			}
			if err := l.trim(ctx, found.Name, policy); err != nil {
				return err
			}
		}
	}
}
