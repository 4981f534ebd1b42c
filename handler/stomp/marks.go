package stomp

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"switchback/handler/history"
	"switchback/handler/stomp/antpath"
	"switchback/handler/stomp/frame"
)

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
		if at == (history.Position{}) { // before the first MESSAGE: nothing is read
			return nil
		}
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
