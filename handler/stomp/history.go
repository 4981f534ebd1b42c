package stomp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/stomp/antpath"
	"switchback/handler/stomp/frame"
)

// keptName is the name of a destination in Options.History; empty where it is not kept. A
// topic is kept under its destination, and a user's under that by which others send to it:
// /user/bob/queue/x. What goes to one session is not kept, nor is a topic that is a user's,
// too: that one is.
func (b *Broker) keptName(to destinationOf) string {
	l := b.options.History
	if l == nil {
		return ""
	}
	name := to.destination
	switch to.kind[0] {
	case 's':
		return ""
	case 'u':
		_, user, _ := strings.Cut(to.kind[len("u:"):], ":")
		name = b.userPath(user) + to.destination
	default:
		if b.isUser(name) {
			return ""
		}
	}
	if !l.Keeps(name) {
		return ""
	}
	return name
}

// keptOf is the name of the one of a subscription's keys that is kept; or empty.
func (b *Broker) keptOf(keys []destinationOf) string {
	for _, k := range keys {
		if name := b.keptName(k); name != "" {
			return name
		}
	}
	return ""
}

// notStored is the Error for a SEND whose message could not be stored.
func (c *conn) notStored(destination string, err error) error {
	e := &Error{Message: "Not stored: " + destination, Body: historyText(err), Err: err, counter: &c.broker.stats.Unavailable}
	if errors.Is(err, history.ErrUnavailable) {
		e.Body += "; this message may have been stored"
	}
	return e
}

// historyText is what a client is told of an error of package history: what wraps it is for
// the log.
func historyText(err error) string {
	for _, known := range historyErrors {
		if errors.Is(err, known) {
			return strings.TrimPrefix(known.Error(), "history: ")
		}
	}
	return "the store has failed"
}

var historyErrors = []error{history.ErrUnavailable, history.ErrBusy, history.ErrFull, history.ErrName, history.ErrClosed}

// isHistory tells whether an error is one of package history.
func isHistory(err error) bool {
	return slices.ContainsFunc(historyErrors, func(known error) bool { return errors.Is(err, known) })
}

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

// noHistory is the Error for a SUBSCRIBE, or for a mark of what is read, of which the
// history cannot be asked.
func (c *conn) noHistory(destination string, err error) error {
	return &Error{Message: "The history of " + destination + " is not available", Body: historyText(err), Err: err, counter: &c.broker.stats.Unavailable}
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
	if at.Epoch != 0 {
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

// marks tells whether a SEND marks what is read.
func (b *Broker) marks(f *frame.Frame) bool {
	return b.options.History != nil && f.Headers.Value("destination") == b.options.ReadDestination
}

// A mark is the body of a SEND to Options.ReadDestination.
type mark struct {
	Destination string `json:"destination"` // as the client subscribes to it
	Offset      string `json:"offset"`      // of the last MESSAGE that is read
}

// markRead answers a SEND to Options.ReadDestination. It returns headers of its RECEIPT.
func (c *conn) markRead(f *frame.Frame) (frame.Headers, error) {
	if err := c.checkRate(); err != nil {
		return nil, err
	}
	var m mark
	if err := json.Unmarshal(f.Body, &m); err != nil || m.Destination == "" {
		return nil, &Error{Message: "Illegal body for " + c.broker.options.ReadDestination, Body: `it is {"destination":"/topic/x","offset":"EPOCH/OFFSET"}`, Err: err}
	}
	if err := c.permit(frame.Subscribe, m.Destination); err != nil {
		return nil, err
	}
	at, err := history.ParsePosition(m.Offset)
	if err != nil {
		return nil, &Error{Message: "Illegal offset for " + m.Destination, Body: "it is the offset of a MESSAGE, as it came", Err: err}
	}
	name, err := c.countedName(m.Destination)
	if err != nil {
		return nil, err
	}
	n, err := c.storeRead(name, at)
	switch {
	case errors.Is(err, errEpoch):
		return nil, &Error{Message: "The offset is not of " + m.Destination, Body: "its history has begun anew: it is to be read again", Err: err}
	case err != nil:
		return nil, c.noHistory(m.Destination, err)
	}
	return frame.Headers{{Name: "unread", Value: strconv.Itoa(n)}}, nil
}

// countedName is the name of a destination of which it is counted what the client's user has
// not read.
func (c *conn) countedName(destination string) (string, error) {
	keys, err := c.keys(destination)
	if err != nil {
		return "", err
	}
	name := c.broker.keptOf(keys)
	switch {
	case antpath.IsPattern(destination):
		return "", &Error{Message: "A pattern is not read: " + destination}
	case name == "" || !c.broker.options.History.Counts(name):
		return "", &Error{Message: "Nothing unread is counted of " + destination}
	case c.client.User() == "":
		return "", &Error{Message: "Nothing unread is counted for a client without user"}
	}
	return name, nil
}

var errEpoch = errors.New("stomp: the position is of another epoch")

// storeRead stores that the client's user has read a topic up to a position, and tells all
// the user's subscriptions how much is unread then.
func (c *conn) storeRead(name string, at history.Position) (unread int, err error) {
	l, user := c.broker.options.History, c.client.User()
	ctx := c.session.Context()
	err = l.Ask(ctx, func(ctx context.Context, s history.Store) error {
		t, err := s.Topic(ctx, name)
		switch {
		case errors.Is(err, history.ErrNoTopic), err == nil && t.Epoch != at.Epoch:
			return errEpoch
		case err != nil:
			return err
		}
		_, err = s.MarkRead(ctx, name, user, at.Offset)
		return err
	})
	if err != nil {
		return 0, err
	}
	const often = 3 // where something is published meanwhile
	var n history.Unread
	for range often {
		if n, err = unreadOf(ctx, l, user, name); err != nil {
			return 0, err
		}
		unread = n.Count
		if c.broker.tellUnread(user, n) {
			break
		}
	}
	c.broker.tellNodes(ctx, user, n)
	return unread, nil
}

// tellUnread tells all subscriptions of a user on this node, and whether none has come
// further.
func (b *Broker) tellUnread(user string, n history.Unread) bool {
	taken := true
	b.eachFeed(user, n.Topic, func(d *feed) { taken = d.set(n) && taken })
	return taken
}

// eachFeed calls f for the subscriptions of a user on this node for which it is counted what is
// unread of a topic.
func (b *Broker) eachFeed(user, topic string, f func(d *feed)) {
	b.users.mu.RLock()
	all := slices.Clone(b.users.names[user])
	b.users.mu.RUnlock()
	for _, c := range all {
		c.mu.Lock()
		list := slices.Clone(c.subscriptions)
		c.mu.Unlock()
		for _, s := range list {
			if s.feed != nil && s.feed.counts && s.feed.name == topic {
				f(s.feed)
			}
		}
	}
}

// userOf is the name under which what a session sends is kept.
func userOf(from *conn) string {
	if from == nil || len(from.client.User()) > handler.MaxID {
		return ""
	}
	return from.client.User()
}

// checkHistory returns what is wrong with the history of options.
func (o *Options) checkHistory() error {
	l := o.History
	switch {
	case l == nil:
		return nil
	case l.Separator() != o.Separator:
		return &OptionError{"History", -1, l.Separator(), "have the Separator of these options, " + strconv.Quote(o.Separator)}
	case cmp.Or(o.Hub, l.Hub()) != l.Hub():
		return &OptionError{"History", -1, "of another Hub", "be over the Hub of these options"}
	case !strings.HasPrefix(o.ReadDestination, "/") || antpath.IsPattern(o.ReadDestination):
		return &OptionError{"ReadDestination", -1, o.ReadDestination, "be a destination"}
	}
	return nil
}
