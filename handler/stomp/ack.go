package stomp

import (
	"cmp"
	"slices"
	"strings"

	"switchback/handler/stomp/frame"
)

// acknowledge answers ACK and NACK. Messages of topics are not acknowledged: for
// them it has no effect.
func (c *conn) acknowledge(f *frame.Frame) error {
	id, err := c.acknowledged(f)
	if id == "" || err != nil {
		return err
	}
	number, tag, ok := deliveryOf(id)
	if !ok || !strings.HasPrefix(id, c.client.ID+"-") {
		if c.hasUnnamed() {
			return nil
		}
		return c.drop(f, "Unknown message: "+id)
	}
	for _, s := range c.subscriptions {
		if s.number == number && s.consumer != nil && s.consumer.acknowledge(tag, f.Command) {
			return nil
		}
	}
	return c.drop(f, "Unknown message: "+id)
}

// acknowledged returns what an ACK or NACK is for: in 1.2 by the header id, before
// by message-id, and in 1.1 of a subscription (STOMP 1.1 and 1.2, ACK). A broker
// that is not strict takes either, and asks for no subscription. It is empty for
// a frame without effect.
func (c *conn) acknowledged(f *frame.Frame) (id string, err error) {
	v, strict := c.client.Version, c.broker.options.Strict
	name, other := "id", "message-id"
	if v != frame.V12 {
		name, other = other, name
	}
	id = f.Headers.Value(name)
	if id == "" && !strict {
		id = f.Headers.Value(other)
	}
	if id == "" {
		return "", c.drop(f, "Missing header '"+name+"'")
	}
	if v != frame.V11 || !strict {
		return id, nil
	}
	switch of := f.Headers.Value("subscription"); {
	case of == "":
		return "", c.drop(f, "Missing header 'subscription'")
	case c.subscription(of, "") == nil && !c.hasUnnamed():
		return "", c.drop(f, "Unknown subscription: "+of)
	}
	return id, nil
}

// hasUnnamed tells whether the client may have messages whose names are not kept:
// those of topics, also of one that it has left meanwhile, and the answers to
// SUBSCRIBE.
func (c *conn) hasUnnamed() bool { return c.asked || c.followed }

// acknowledge ends a delivery, or in mode client all up to it: an ACK forgets
// the message, a NACK gives it to somebody else. It returns false for a delivery
// that is not there to be acknowledged.
func (c *consumer) acknowledge(tag uint64, command frame.Command) bool {
	q := c.queue
	q.mu.Lock()
	begin, end := c.through(tag)
	if command == frame.Ack {
		for _, d := range c.unacked[begin:end] {
			q.done(d.letter)
		}
		c.unacked = slices.Delete(c.unacked, begin, end)
	} else {
		c.giveBack(begin, end)
	}
	q.mu.Unlock()
	q.dispatch()
	return begin < end
}

// through returns the part of unacked that an acknowledgement is for. The
// queue's lock is held.
func (c *consumer) through(tag uint64) (begin, end int) {
	i, found := slices.BinarySearchFunc(c.unacked, tag, func(d delivered, tag uint64) int {
		return cmp.Compare(d.tag, tag)
	})
	switch {
	case !found:
		return 0, 0
	case c.subscription.mode == ackClient:
		return 0, i + 1
	}
	return i, i + 1
}
