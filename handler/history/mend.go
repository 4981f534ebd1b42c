package history

import (
	"context"
	"errors"
	"time"
)

// One goroutine fills the holes that publications of other nodes leave: each when it is older
// than holeWait. It also finds out what has come last in all topics that have subscribers here,
// where the engine tells of a loss: there may be nothing behind it that shows a hole.

// report has the holes of a follower filled. Its lock is held, and no other.
func (l *Log) report(f *follower) {
	l.reports.Lock()
	l.holed = append(l.holed, f)
	l.reports.Unlock()
	l.signalHoles()
}

// miss notes that publications of other nodes may not have come.
func (l *Log) miss() {
	l.reports.Lock()
	l.missed = true
	l.reports.Unlock()
	l.signalHoles()
}

func (l *Log) signalHoles() {
	select {
	case l.holes <- struct{}{}:
	default:
	}
}

func (l *Log) mend(ctx context.Context) {
	var all []*follower
	missed := false
	for ctx.Err() == nil {
		l.reports.Lock()
		all = append(all, l.holed...)
		missed = missed || l.missed
		l.holed, l.missed = nil, false
		l.reports.Unlock()
		wait := forever
		if missed = missed && l.lookAll(ctx) != nil; missed {
			wait = firstRetry
		}
		rest := all[:0]
		for _, f := range all {
			if again := f.mend(ctx); again > 0 {
				wait = min(wait, again)
				rest = append(rest, f)
			}
		}
		clear(all[len(rest):])
		all = rest
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-l.holes:
		case <-t.C:
		}
		t.Stop()
	}
}

// lookAll has each follower know what is there.
func (l *Log) lookAll(ctx context.Context) error {
	l.mu.Lock()
	all := make([]*follower, 0, len(l.followers))
	for _, f := range l.followers {
		all = append(all, f)
	}
	l.mu.Unlock()
	for _, f := range all {
		found, err := f.ask(ctx)
		if err != nil {
			return err
		}
		f.learn(found.Position())
	}
	return nil
}

// learn tells of the last that is there.
func (f *follower) learn(last Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known && f.at.Epoch == 0 {
		f.at.Epoch = last.Epoch
	}
	if f.known && f.at.Epoch == last.Epoch {
		f.seen = max(f.seen, last.Offset)
		f.look()
	}
}

// mend fills a hole that is old enough. It returns how long to wait until it is to be looked at
// again; 0: it has none.
func (f *follower) mend(ctx context.Context) (again time.Duration) {
	f.mu.Lock()
	f.look()
	age := time.Since(f.since)
	switch {
	case !f.isHoled():
		f.mending = false
		f.mu.Unlock()
		return 0
	case age < holeWait:
		f.mu.Unlock()
		return holeWait - age
	}
	f.busy = true
	at, before := f.at, min(f.ahead(), f.seen+1)
	f.mu.Unlock()
	err := f.fill(ctx, at, before)
	if err != nil && age < doubtFor && ctx.Err() == nil {
		again = firstRetry
	} else {
		f.gave(Position{at.Epoch, before - 1})
		if err != nil {
			f.log.stats.Abandoned.Add(1)
		}
	}
	f.drain()
	return max(again, time.Nanosecond) // there may be another
}

// fill delivers what the store has after a position and before an offset. Nothing of it may be
// kept any more, nor the epoch. Of a hole that is very large it is the end.
func (f *follower) fill(ctx context.Context, at Position, before uint64) error {
	o := &f.log.options
	if most := uint64(maxRounds * o.ResumeLimit); before-at.Offset > most {
		at.Offset = before - most
	}
	for at.Offset+1 < before {
		var entries []Entry
		err := f.log.Ask(ctx, func(ctx context.Context, s Store) error {
			t, err := s.Topic(ctx, f.topic)
			if errors.Is(err, ErrNoTopic) {
				return nil
			}
			if err == nil && t.Epoch == at.Epoch {
				entries, err = s.Read(ctx, f.topic, Range{After: at.Offset, Before: before, Limit: o.ResumeLimit, Bytes: int64(o.ResumeBytes)})
			}
			return err
		})
		if err != nil {
			return err
		}
		for i := range entries {
			p := entries[i].Publication(at.Epoch)
			room, err := f.log.hub.Reserve(ctx, p)
			if err != nil {
				return err
			}
			f.give(p)
			room.Release()
			at.Offset = p.Offset
			f.gave(at)
			f.log.stats.Fetched.Add(1)
		}
		if len(entries) == 0 {
			f.log.stats.Abandoned.Add(1)
			return nil
		}
	}
	return nil
}
