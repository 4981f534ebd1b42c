package stomp

import (
	"context"
	"strconv"
	"sync"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/stomp/frame"
)

// A feed is how far a subscription to what is kept has come.
type feed struct {
	cursor history.Cursor
	name   string
	from   history.From
	asked  bool // the client has asked for what is before
	counts bool // for a user, what is unread
	user   string

	caught history.Caught // set by catchUp, or by count

	mu     sync.Mutex // guards the rest
	missed bool       // the next MESSAGE tells of a gap
	known  bool       // unread is
	unread int
	upTo   uint64 // the offset up to which unread counts
}

// unreadLimit is up to how many is counted what a user has not read.
const unreadLimit = 1000

// newFeed returns the feed of a SUBSCRIBE; nil where nothing of it is kept.
func (c *conn) newFeed(f *frame.Frame, s *subscription, keys []destinationOf) (*feed, error) {
	l := c.broker.options.History
	if l == nil {
		return nil, nil
	}
	d := &feed{user: c.client.User()}
	var err error
	if d.from, d.asked, err = fromOf(f.Headers); err != nil {
		return nil, err
	}
	if !s.pattern {
		d.name = c.broker.keptOf(keys)
	}
	switch {
	case d.asked && s.pattern:
		return nil, &Error{Message: "A pattern has no history: " + s.destination, Body: "since and history are for one destination"}
	case d.asked && d.name == "":
		return nil, &Error{Message: "No history is kept of " + s.destination}
	case d.name == "":
		return nil, nil
	}
	if d.counts = d.user != "" && l.Counts(d.name); !d.asked {
		d.cursor.Follow()
	}
	return d, nil
}

// fromOf reads the headers since and history of a SUBSCRIBE.
func fromOf(h frame.Headers) (from history.From, asked bool, err error) {
	since, again := h.Lookup("since")
	last, late := h.Lookup("history")
	switch {
	case again && late:
		return from, true, &Error{Message: "A SUBSCRIBE has one of since and history"}
	case again:
		at, err := history.ParsePosition(since)
		if err != nil {
			return from, true, &Error{Message: "Illegal header 'since'", Body: "it is the offset of the last MESSAGE, as it came", Err: err}
		}
		from.Since = &at
	case late:
		n, err := strconv.ParseUint(last, 10, 31)
		if err != nil {
			return from, true, &Error{Message: "Illegal header 'history'", Body: "it is how many messages before the present are asked for, from 0", Err: err}
		}
		from.Last = int(n)
	}
	return from, again || late, nil
}

// follow brings a new subscription up to the present, where the client has asked for that,
// and counts what its user has not read.
func (c *conn) follow(s *subscription) error {
	d, l := s.feed, c.broker.options.History
	ctx := c.session.Context()
	if d.counts {
		if err := d.count(ctx, l); err != nil && d.asked {
			return c.noHistory(s.destination, err)
		}
	}
	if !d.asked {
		return nil
	}
	var err error
	d.caught, err = l.CatchUp(ctx, d.name, &d.cursor, d.from, func(now history.Caught, entries []history.Entry) error {
		return c.sendEntries(s, now, entries)
	})
	if err != nil {
		return c.noHistory(s.destination, err)
	}
	return nil
}

// sendEntries sends a subscription what is kept.
func (c *conn) sendEntries(s *subscription, now history.Caught, entries []history.Entry) error {
	gap := now.Gap
	for i := range entries {
		if err := c.drain(len(entries[i].Data)); err != nil {
			return err
		}
		p := entries[i].Publication(now.At.Epoch)
		m := c.broker.open(p)
		if m == nil {
			continue
		}
		m.look()
		f := c.broker.fanout(m, p)
		f.deliver(s, s.feed.note(p, gap))
		c.broker.stats.Messages.Add(int64(f.sent))
		gap = false
	}
	if gap {
		s.feed.miss()
	}
	return nil
}

// patience is how long a client that is sent what is kept may read nothing. Then it is sent
// the rest at once, and closed where that is more than it may leave unread.
const patience = 30 * time.Second

// drain waits until the client has taken what it has, but for a part.
func (c *conn) drain(size int) error {
	least, since := c.session.Queued(), time.Now()
	for queued := least; queued > 0 && queued+size > window && time.Since(since) < patience; queued = c.session.Queued() {
		if queued < least {
			least, since = queued, time.Now()
		}
		t := time.NewTimer(retryDelay)
		select {
		case <-t.C:
		case <-c.session.Context().Done():
			t.Stop()
			return c.session.Context().Err()
		}
	}
	return nil
}

// A note is what a MESSAGE of a feed tells beside its offset.
type note struct {
	gap    bool
	unread string // empty: it is not counted
}

// take tells whether a subscription gets what is being published, and what it tells.
func (d *feed) take(p *handler.Publication) (note, bool) {
	ok, gap := d.cursor.Take(p)
	if !ok {
		return note{}, false
	}
	return d.note(p, gap), true
}

func (d *feed) note(p *handler.Publication, gap bool) note {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := note{gap: gap || d.missed}
	d.missed = false
	if !d.known {
		return n
	}
	if p.Offset > d.upTo {
		if d.upTo = p.Offset; p.User != d.user {
			d.unread = min(d.unread+1, unreadLimit)
		}
	}
	n.unread = strconv.Itoa(d.unread)
	return n
}

// miss has the next MESSAGE tell of a gap.
func (d *feed) miss() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.missed = true
}

// count asks how much is unread and, unless catchUp will, of which epoch that is.
func (d *feed) count(ctx context.Context, l *history.Log) error {
	n, err := unreadOf(ctx, l, d.user, d.name)
	if err != nil {
		return err
	}
	if d.set(n); d.asked || n.Last == 0 {
		return nil
	}
	return l.Ask(ctx, func(ctx context.Context, s history.Store) error {
		t, err := s.Topic(ctx, d.name)
		d.caught.At.Epoch = t.Epoch
		return err
	})
}

func unreadOf(ctx context.Context, l *history.Log, user, name string) (n history.Unread, err error) {
	err = l.Ask(ctx, func(ctx context.Context, s history.Store) error {
		all, err := s.Unread(ctx, user, []string{name}, unreadLimit)
		if err == nil {
			n = all[0]
		}
		return err
	})
	return n, err
}

// set takes over a count, unless it is older than what is known. It tells whether it was.
func (d *feed) set(n history.Unread) (taken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known && n.Last < d.upTo {
		return false
	}
	d.known, d.unread, d.upTo = true, n.Count, n.Last
	return true
}

// receipt are the headers of a SUBSCRIBE's RECEIPT.
func (d *feed) receipt() (h frame.Headers) {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.caught.At
	if !d.asked {
		at.Offset = d.upTo
	}
	if d.asked || at.Epoch != 0 {
		h = append(h, frame.Header{Name: "offset", Value: at.String()})
	}
	if d.caught.Gap {
		h = append(h, frame.Header{Name: "gap", Value: "true"})
	}
	if d.known {
		h = append(h, frame.Header{Name: "unread", Value: strconv.Itoa(d.unread)})
	}
	return h
}
