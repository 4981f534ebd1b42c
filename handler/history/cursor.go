package history

import (
	"context"
	"errors"
	"sync"

	"switchback/handler"
	"switchback/session/memory"
)

// A Cursor is how far a subscriber has come in a topic. The zero Cursor is for one that has
// subscribed to the Hub and is about to be brought up to the present: it holds back what is
// published meanwhile, of which it remembers no more than the position. Its methods may be
// called from any goroutine.
type Cursor struct {
	mu    sync.Mutex
	live  bool     // nothing is held back
	known bool     // at is where the subscriber is; else the next publication says it
	at    Position // epoch 0: of a topic that is not there yet
	seen  Position // the last that was held back
	gap   bool     // something before the next publication is missing
}

// Follow lets all through from now on, for a subscriber that is not brought up to the
// present: whatever comes first is its first.
func (c *Cursor) Follow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = true
}

// Take tells whether the subscriber is given a publication of its topic, and then whether
// others before it are missing. It is called for each, in order. One without a position is
// always given.
func (c *Cursor) Take(p *handler.Publication) (ok, gap bool) {
	if p.Epoch == 0 {
		return true, false
	}
	at := Position{p.Epoch, p.Offset}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.live:
		c.seen = at
		return false, false
	case c.known && at.Epoch == c.at.Epoch && at.Offset <= c.at.Offset:
		return false, false
	}
	gap = c.gap
	if c.known {
		gap = gap || at.Offset != c.at.Offset+1 || c.at.Epoch != 0 && at.Epoch != c.at.Epoch
	}
	c.at, c.known, c.gap = at, true, false
	return true, gap
}

// join ends the holding back where nothing after a position was held back. Otherwise it
// returns what was.
func (c *Cursor) join(at Position) (seen Position, joined bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.Epoch != 0 && (c.seen.Epoch != at.Epoch || c.seen.Offset > at.Offset) {
		return c.seen, false
	}
	c.live, c.known, c.at = true, true, at
	return at, true
}

// jump ends the holding back though something is missing.
func (c *Cursor) jump() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live, c.known, c.at, c.gap = true, true, c.seen, true
}

// From is where a subscriber begins. The zero From is the present.
type From struct {
	Since *Position // after the last that it has
	Last  int       // or so many before the present, at most ResumeLimit
}

// Caught is how far a subscriber has been brought.
type Caught struct {
	At  Position // zero: there is no such topic yet
	Gap bool     // not all since what it had could be given
}

// maxRounds is how often the store is read for one subscriber, for what comes while it is
// given the page before. If that does not get it to the present it is told of a gap.
const maxRounds = 20

// CatchUp brings a subscriber up to the present: it calls send with what the subscriber
// begins with, then with what has come meanwhile, until nothing has. From then on the Cursor
// lets through what is published. So with c.Take it is given each entry once, in order, and
// none is missing between. It has subscribed to the Hub before, with c, which is new.
//
// send is called at least once, maybe with no entries, from the goroutine of the caller and
// with no lock held; it may wait for the client. With each call Caught.At is the position
// after the entries, and Gap tells that entries before them are missing: because there are
// more than ResumeLimit and ResumeBytes allow, or they are not kept any more; or the
// position that the subscriber had is not of this topic, or of an epoch before: then it is
// given none. What is returned is the last position, and whether there was a gap.
//
// After an error, which is send's, the store's or memory.Reserve's, c still holds back.
func (l *Log) CatchUp(ctx context.Context, topic string, c *Cursor, from From, send func(Caught, []Entry) error) (Caught, error) {
	policy := l.policy(topic)
	if policy == nil {
		return Caught{}, ErrNotKept
	}
	u := catchUp{log: l, topic: topic, fast: policy.Fast}
	if err := u.begin(ctx, from); err != nil {
		return Caught{}, err
	}
	var all Caught
	for range maxRounds {
		if err := u.page(ctx, send); err != nil {
			return all, err
		}
		all = Caught{u.at, all.Gap || u.gap}
		seen, joined := c.join(u.at)
		if joined {
			l.caughtUp(all)
			return all, nil
		}
		if err := u.follow(ctx, seen); err != nil {
			return all, err
		}
	}
	c.jump()
	all.Gap = true
	l.caughtUp(all)
	return all, nil
}

func (l *Log) caughtUp(c Caught) {
	l.stats.CatchUps.Add(1)
	if c.Gap {
		l.stats.Gaps.Add(1)
	}
}

// A catchUp is how far one call of CatchUp has come.
type catchUp struct {
	log   *Log
	topic string
	fast  bool
	at    Position
	gap   bool
	last  int      // the first page is so many at most, whatever is before them; 0: from at on
	up    Position // the next page has to reach this
	read  bool     // there is something to read
}

func (u *catchUp) begin(ctx context.Context, from From) error {
	var t Topic
	err := u.log.flushed(ctx, u.topic)
	if err != nil {
		return err
	}
	err = u.log.Ask(ctx, func(ctx context.Context, s Store) (err error) {
		if t, err = s.Topic(ctx, u.topic); err == nil && u.fast { // a process before may have lost some of it
			t, err = s.Open(ctx, u.topic, false)
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrNoTopic) {
		return err
	}
	u.at, u.up, u.last, u.read, u.gap = t.Position(), t.Position(), 0, false, false
	switch since := from.Since; {
	case since != nil && *since == (Position{}):
		u.at.Offset, u.read = 0, t.Last > 0
	case since != nil && since.Epoch == t.Epoch && since.Offset <= t.Last:
		u.at, u.read = *since, since.Offset < t.Last
	case since != nil:
		u.gap = true
	case from.Last > 0 && t.Last > 0:
		u.last, u.read, u.at.Offset = from.Last, true, 0
	}
	return nil
}

// page reads a page and sends it. While it is held it counts with what clients have yet to
// take.
func (u *catchUp) page(ctx context.Context, send func(Caught, []Entry) error) error {
	if !u.read {
		return send(Caught{u.at, u.gap}, nil)
	}
	room := u.log.options.ResumeBytes
	if err := memory.Reserve(ctx, room); err != nil {
		return err
	}
	defer func() { memory.Add(-room) }()
	entries, err := u.next(ctx)
	if err != nil {
		return err
	}
	size := 0
	for i := range entries {
		size += len(entries[i].Data)
	}
	memory.Add(size - room)
	room = size
	u.log.stats.CaughtUp.Add(int64(len(entries)))
	return send(Caught{u.at, u.gap}, entries)
}

// next reads a page.
func (u *catchUp) next(ctx context.Context) ([]Entry, error) {
	o := &u.log.options
	r := Range{After: u.at.Offset, Newest: true, Limit: o.ResumeLimit, Bytes: int64(o.ResumeBytes)}
	if u.last > 0 {
		r.Limit = min(u.last, o.ResumeLimit)
	}
	var entries []Entry
	err := u.log.Ask(ctx, func(ctx context.Context, s Store) (err error) {
		entries, err = s.Read(ctx, u.topic, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	first := u.at.Offset + 1
	if len(entries) > 0 {
		first = entries[0].Offset
	}
	u.gap = u.last == 0 && first != u.at.Offset+1
	if n := len(entries); n > 0 {
		u.at.Offset = entries[n-1].Offset
	}
	if u.at.Offset < u.up.Offset { // it is not kept any more
		u.at, u.gap = u.up, u.gap || u.last == 0
	}
	return entries, nil
}

// follow goes on to what has been published meanwhile, which is stored at the latest when
// flushed returns.
func (u *catchUp) follow(ctx context.Context, seen Position) error {
	switch u.at.Epoch {
	case 0: // the topic was not there
		u.at = Position{Epoch: seen.Epoch}
	case seen.Epoch:
	default:
		since := u.at
		return u.begin(ctx, From{Since: &since})
	}
	u.last, u.gap, u.read, u.up = 0, false, true, seen
	return u.log.flushed(ctx, u.topic)
}
