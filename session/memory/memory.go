// Package memory counts what clients have this process hold: what they send and what
// they have yet to take. There is one limit for all of it, as there is one memory.
//
// Who holds bytes counts them: by Add where they are there anyway, by a Share's Take
// where they can be refused. A publisher asks by Reserve before it has many hold a
// message: it waits while too much is held. So what is held stays within the limit, and
// who reads is closed for nobody; but a client that alone holds more than Alone while
// publishers have to wait is, for those would wait for it for ever.
//
// A message that goes to many is encoded once in each form (Forms), held by all who
// have to write it, and counted once. Pieces are what is written: own bytes, with forms
// between them.
//
// memory.go counts, and has publishers wait; forms.go and pieces.go are what is held.
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

const (
	// patience is how long a publisher waits: until clients that read nothing, or hold
	// much, have been closed.
	patience = 15 * time.Second

	// pressure is how long publishers have waited when clients that hold much are closed.
	pressure = 5 * time.Second

	// Alone is how many bytes a client may hold that nobody holds with it, under
	// pressure: of a form that several hold each holds its part.
	Alone = 1 << 20

	// overtakes is the size up to which a publisher does not wait behind others, whose
	// messages may be for other topics.
	overtakes = 256 << 10
)

var (
	limit atomic.Int64
	used  atomic.Int64

	waiting atomic.Int32 // len(waiters)
	since   atomic.Int64 // when the first of them came, in nanoseconds; 0: there is none
	mu      sync.Mutex   // guards the rest
	waiters []*waiter    // in the order in which they came
)

type waiter struct {
	size    int64
	came    int64         // in nanoseconds
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

// take counts bytes in n, unless that would go over a limit.
func take(n *atomic.Int64, bytes, limit int64) bool {
	for {
		now := n.Load()
		if now+bytes > limit {
			return false
		}
		if n.CompareAndSwap(now, now+bytes) {
			return true
		}
	}
}

// Pressed tells whether publishers have waited for so long that clients that hold much are
// to be closed.
func Pressed() bool {
	first := since.Load()
	return first != 0 && time.Now().UnixNano()-first >= int64(pressure)
}

// TryReserve counts bytes that may be needed for a while, unless that would go over the
// limit. They are given back by Add.
func TryReserve(bytes int) error {
	if !take(&used, int64(bytes), limit.Load()) {
		return ErrFull
	}
	return nil
}

// Reserve is TryReserve that waits where the limit is in the way, and behind those who
// wait already where it is for more than 256 KiB: for at most 15 seconds, after which the
// error is ErrFull, or until ctx is done, whose error it returns then.
func Reserve(ctx context.Context, bytes int) error {
	size := int64(bytes)
	if size > limit.Load() {
		return ErrFull
	}
	if (waiting.Load() == 0 || size <= overtakes) && take(&used, size, limit.Load()) {
		return nil
	}
	w := &waiter{size, time.Now().UnixNano(), make(chan struct{})}
	mu.Lock()
	waiters = append(waiters, w)
	changed()
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
		changed()
	}
	return i >= 0
}

// changed follows a change of the waiters. mu is held.
func changed() {
	waiting.Store(int32(len(waiters)))
	if len(waiters) == 0 {
		since.Store(0)
	} else {
		since.Store(waiters[0].came)
	}
}

// grant lets those go on who wait, as many as there is room for.
func grant() {
	mu.Lock()
	defer mu.Unlock()
	defer changed()
	for len(waiters) > 0 && take(&used, waiters[0].size, limit.Load()) {
		close(waiters[0].granted)
		waiters = slices.Delete(waiters, 0, 1)
	}
}

// A Share is one kind of what is held, of which there may be a quarter of the limit: so
// no kind keeps the others out, nor publishers.
type Share struct{ used atomic.Int64 }

var (
	Received Share // what is coming from clients and is not whole yet, and what is being handled
	Kept     Share // what handlers keep for clients: transactions, subscriptions
	Queued   Share // messages in queues that wait for somebody to take them
)

// Take counts bytes of a kind, which Give gives back. It returns false, and counts none,
// where that would be over the limit, or over a quarter of it for the kind.
func (s *Share) Take(bytes int) bool {
	if !take(&s.used, int64(bytes), limit.Load()/shares) {
		return false
	}
	if !take(&used, int64(bytes), limit.Load()) {
		s.used.Add(int64(-bytes))
		return false
	}
	return true
}

const shares = 4

// Scarce tells whether there is little left for the kind.
func (s *Share) Scarce() bool { return s.used.Load() > limit.Load()/shares/2 }

// Give gives back bytes that Take has counted.
func (s *Share) Give(bytes int) {
	s.used.Add(int64(-bytes))
	Add(-bytes)
}

// Used is the number of bytes of the kind.
func (s *Share) Used() int64 { return s.used.Load() }
