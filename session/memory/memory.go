// Package memory counts what clients have this process hold: what they send and what
// they have yet to take. There is one limit for all of it, as there is one memory.
//
// Who holds bytes counts them: by Add where they are there anyway, by a Share's Take
// where they can be refused. A publisher asks by Reserve before it has many hold a
// message: it waits while too much is held. So what is held stays within the limit, and
// who reads is closed for nobody.
//
// A message that goes to many is encoded once in each form (Forms), held by all who
// have to write it, and counted once. Pieces are what is written: own bytes, with forms
// between them.
package memory

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultLimit is the limit until SetLimit sets another, in bytes.
const DefaultLimit = 1 << 30

// ErrFull is the answer where something would go over the limit.
var ErrFull = errors.New("memory: as much is held as may be")

// patience is how long a publisher waits: longer than a client may take nothing of what
// is written to it, so that it does not wait in vain for one that does not read.
const patience = 15 * time.Second

var (
	limit atomic.Int64
	used  atomic.Int64

	waiting atomic.Int32 // len(waiters)
	mu      sync.Mutex   // guards the rest
	waiters []*waiter    // in the order in which they came
)

type waiter struct {
	size    int64
	granted chan struct{} // closed when size is counted
}

func init() { limit.Store(DefaultLimit) }

// SetLimit sets how many bytes this process may hold for its clients, and returns the
// limit before. What is held already stays.
func SetLimit(bytes int64) (before int64) {
	before = limit.Swap(bytes)
	grant()
	return before
}

// Limit is the limit in bytes.
func Limit() int64 { return limit.Load() }

// Used is the number of bytes that are held now.
func Used() int64 { return used.Load() }

// Over tells whether more is held than may be.
func Over() bool { return used.Load() > limit.Load() }

// Add counts bytes that are held from now on or, where it is negative, no more.
func Add(bytes int) {
	used.Add(int64(bytes))
	if bytes < 0 && waiting.Load() > 0 {
		grant()
	}
}

// take counts bytes, unless that would go over the limit.
func take(bytes int64) bool {
	if used.Add(bytes) <= limit.Load() {
		return true
	}
	Add(int(-bytes))
	return false
}

// TryReserve counts bytes that may be needed for a while, unless that would go over the
// limit. They are given back by Add.
func TryReserve(bytes int) error {
	if !take(int64(bytes)) {
		return ErrFull
	}
	return nil
}

// Reserve is TryReserve that waits where the limit is in the way, behind those who wait
// already: for at most 15 seconds, after which the error is ErrFull, or until ctx is
// done, whose error it returns then.
func Reserve(ctx context.Context, bytes int) error {
	size := int64(bytes)
	if size > limit.Load() {
		return ErrFull
	}
	if waiting.Load() == 0 && take(size) {
		return nil
	}
	w := &waiter{size, make(chan struct{})}
	mu.Lock()
	waiters = append(waiters, w)
	waiting.Add(1)
	mu.Unlock()
	grant() // what was given back meanwhile
	t := time.NewTimer(patience)
	defer t.Stop()
	var err error
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-t.C:
		err = ErrFull
	}
	if !w.leave() { // granted meanwhile
		return nil
	}
	grant() // those behind may need less
	return err
}

// leave takes a waiter out, unless it has been granted.
func (w *waiter) leave() bool {
	mu.Lock()
	defer mu.Unlock()
	i := slices.Index(waiters, w)
	if i >= 0 {
		waiters = slices.Delete(waiters, i, i+1)
		waiting.Add(-1)
	}
	return i >= 0
}

// grant lets those go on who wait, as many as there is room for.
func grant() {
	mu.Lock()
	defer mu.Unlock()
	for len(waiters) > 0 {
		w := waiters[0]
		if used.Add(w.size) > limit.Load() {
			used.Add(-w.size)
			return
		}
		waiters = slices.Delete(waiters, 0, 1)
		waiting.Add(-1)
		close(w.granted)
	}
}

// A Share is one kind of what is held, of which there may be half of the limit: so no
// kind keeps the others out.
type Share struct{ used atomic.Int64 }

var (
	Received Share // what is coming from clients and is not whole yet, and what their handlers have yet to take
	Kept     Share // what handlers keep for clients: queues, transactions, subscriptions
)

// Take counts bytes of a kind, which Give gives back. It returns false, and counts none,
// where that would be over the limit, or over half of it for the kind.
func (s *Share) Take(bytes int) bool {
	if s.used.Add(int64(bytes)) <= limit.Load()/2 && take(int64(bytes)) {
		return true
	}
	s.used.Add(int64(-bytes))
	return false
}

// Give gives back bytes that Take has counted.
func (s *Share) Give(bytes int) {
	s.used.Add(int64(-bytes))
	Add(-bytes)
}

// Used is the number of bytes of the kind.
func (s *Share) Used() int64 { return s.used.Load() }
