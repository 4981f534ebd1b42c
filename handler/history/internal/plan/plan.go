// Package plan decides, for every store alike, what a batch of entries becomes and which
// entries of a topic are too many.
package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"switchback/handler/history"
)

// Unavailable is the error of a database as the contract has it: that of ctx, one of the
// contract's own, or one that wraps history.ErrUnavailable.
func Unavailable(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, history.ErrNoTopic), errors.Is(err, history.ErrExists),
		errors.Is(err, history.ErrOffset), errors.Is(err, history.ErrName), errors.Is(err, history.ErrMembers):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return fmt.Errorf("%w: %w", history.ErrUnavailable, err)
}

// CheckNames returns ErrName if one is not what a topic or a user may be called.
func CheckNames(names ...string) error {
	for _, name := range names {
		if name == "" || len(name) > history.MaxName {
			return history.ErrName
		}
	}
	return nil
}

// Topics returns the names of the topics of a batch, once each and in their order. It
// returns an error for a batch that no store takes.
func Topics(batch []*history.Append) ([]string, error) {
	names := make([]string, 0, 8)
	for _, a := range batch {
		if err := CheckNames(a.Topic); err != nil {
			return nil, err
		}
		if len(a.Entry.ID) > history.MaxName || len(a.Entry.User) > history.MaxName {
			return nil, history.ErrName
		}
		if len(names) == 0 || names[len(names)-1] != a.Topic {
			names = append(names, a.Topic)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Random is a number for an epoch, or for a process that marks topics: not 0, and what an
// int64 holds.
func Random() uint64 { return 1 + rand.Uint64N(math.MaxInt64) }

// Opened is what a process makes of a topic's epoch and mark, which is 0 where there is none,
// by opening it.
func Opened(epoch, mark, process uint64, fast bool) (newEpoch, newMark uint64) {
	if mark != 0 && mark != process {
		epoch, mark = Random(), 0
	}
	if fast {
		mark = process
	}
	return epoch, mark
}

// Time is that of an entry, from its milliseconds.
func Time(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// A Topic is one that a batch is for. Batch changes it as the batch does.
type Topic struct {
	history.Topic
	Key int64 // of the store
}

// A Row is what an entry of a batch becomes.
type Row struct {
	*history.Append
	Of        *Topic
	Offset    uint64
	At        time.Time
	Duplicate bool
}

type id struct {
	topic *Topic
	id    string
}

// Batch plans a batch for its topics. Find looks for an entry by its ID, which is not empty.
// Nothing of the batch is changed before Done.
func Batch(batch []*history.Append, topics map[string]*Topic,
	find func(t *Topic, id string) (offset uint64, at time.Time, found bool, err error),
) ([]Row, error) {
	rows := make([]Row, len(batch))
	seen := make(map[id]*Row)
	for i, a := range batch {
		t := topics[a.Topic]
		row := &rows[i]
		*row = Row{Append: a, Of: t, At: Time(a.Entry.At.UnixMilli())}
		duplicate := func(offset uint64, at time.Time) {
			row.Offset, row.At, row.Duplicate = offset, at, true
			if given := a.Entry.Offset; given < math.MaxInt64 {
				t.Last = max(t.Last, given)
			}
		}
		if a.Entry.ID != "" {
			key := id{t, a.Entry.ID}
			if first := seen[key]; first != nil {
				duplicate(first.Offset, first.At)
				continue
			}
			offset, at, found, err := find(t, a.Entry.ID)
			if err != nil {
				return nil, err
			}
			seen[key] = row
			if found {
				duplicate(offset, at)
				continue
			}
		}
		row.Offset = cmp.Or(a.Entry.Offset, t.Last+1)
		if row.Offset <= t.Last || row.Offset >= math.MaxInt64 {
			return nil, fmt.Errorf("%w: %d after %d", history.ErrOffset, row.Offset, t.Last)
		}
		if t.Count == 0 {
			t.First = row.Offset
		}
		t.Last = row.Offset
		t.Count++
		t.Bytes += int64(len(a.Entry.Data))
	}
	return rows, nil
}

// Done tells the entries of a batch that is stored what they have become.
func Done(rows []Row) {
	for _, row := range rows {
		row.Epoch, row.Append.Duplicate = row.Of.Epoch, row.Duplicate
		row.Entry.Offset, row.Entry.At = row.Offset, row.At
	}
}

// Between is After and Before of a range, as numbers of a database.
func Between(r history.Range) (after, before int64) {
	return int64(min(r.After, math.MaxInt64)), int64(min(cmp.Or(r.Before, math.MaxInt64), math.MaxInt64))
}

// TooMuch tells whether the oldest entry of a topic, which is of a time, is not to be kept.
func TooMuch(t *history.Topic, k history.Keep, now, at time.Time) bool {
	return k.Count > 0 && t.Count > int64(k.Count) ||
		k.Bytes > 0 && t.Bytes > k.Bytes ||
		k.Age > 0 && now.Sub(at) > k.Age
}

// AtOnce is how many entries a store removes in one transaction, for which publications wait.
const AtOnce = 500

// A Removal is that of a topic's oldest entries, AtOnce at most.
type Removal struct {
	Topic   *history.Topic // is changed as entries are taken
	TooMuch func(t *history.Topic, at time.Time) bool
	Removed int
	UpTo    int64 // the offset of the last of them
}

// Take is told of the oldest entry that is left. It returns false where that stays.
func (r *Removal) Take(offset, ms, size int64) bool {
	if !r.TooMuch(r.Topic, Time(ms)) {
		return false
	}
	r.Topic.Count--
	r.Topic.Bytes -= size
	r.Removed++
	r.UpTo = offset
	return true
}
