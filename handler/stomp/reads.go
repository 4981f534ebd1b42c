package stomp

import (
	"context"
	"encoding/json"

	"switchback/handler"
	"switchback/handler/history"
)

// readsTopic is the topic of the Hub by which nodes tell each other what users have read. No key
// of a destination begins as it does.
const readsTopic = "stomp-read"

// A reading is what they tell: what is unread of a topic, up to an offset, since its user has read
// some of it.
type reading struct {
	User, Topic string
	Unread      int
	UpTo        uint64
}

// reads is a Broker as a Subscriber of what users have read on other nodes.
type reads Broker

// hearReads has the broker hear of that, where there may be other nodes.
func (b *Broker) hearReads() error {
	if b.options.History == nil || b.hub.Alone() {
		return nil
	}
	return b.hub.Subscribe(context.Background(), readsTopic, (*reads)(b))
}

func (b *Broker) unhearReads() {
	if b.options.History != nil && !b.hub.Alone() {
		b.hub.Unsubscribe(context.Background(), readsTopic, (*reads)(b))
	}
}

// tellNodes tells the other nodes. One that does not hear of it has the count too high until the
// user's next mark.
func (b *Broker) tellNodes(ctx context.Context, user string, n history.Unread) {
	if b.hub.Alone() {
		return
	}
	text, err := json.Marshal(reading{user, n.Topic, n.Count, n.Last})
	if err == nil {
		err = b.hub.Publish(ctx, readsTopic, text)
	}
	if err != nil {
		b.log.Warn("stomp: other nodes are not told what a user has read", "error", err)
	}
}

// Receive lowers the counts of the user's subscriptions here: their next MESSAGE has it.
func (r *reads) Receive(p *handler.Publication) {
	b := (*Broker)(r)
	var read reading
	if err := json.Unmarshal(p.Text, &read); err != nil {
		b.log.Error("stomp: another node tells in a way that is not known what a user has read", "error", err)
		return
	}
	b.eachFeed(read.User, read.Topic, func(d *feed) { d.lower(read.Unread, read.UpTo) })
}

// lower takes over a count, with all that has come here since: who said that is not known, so
// that the user's own may be among it until the next mark.
func (d *feed) lower(unread int, upTo uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		return
	}
	if d.upTo > upTo {
		unread += int(min(d.upTo-upTo, unreadLimit))
	}
	if unread < d.unread {
		d.unread = unread
		d.upTo = max(d.upTo, upTo)
	}
}
