package stomp

import (
	"cmp"
	"slices"
	"strings"

	"switchback/handler/stomp/frame"
)

// acknowledge answers ACK and NACK. What names no delivery of a queue has no
// effect: messages of topics are not acknowledged.
func (c *conn) acknowledge(f *frame.Frame) error {
	id, ok := f.Headers.Lookup("id") // 1.2
	if !ok {
		id, ok = f.Headers.Lookup("message-id")
	}
	if !ok {
		return c.drop(f, "Missing header 'id'")
	}
	number, tag, ok := deliveryOf(id)
	if !ok || !strings.HasPrefix(id, c.client.ID+"-") {
		return nil
	}
	for _, s := range c.subscriptions {
		if s.number == number && s.consumer != nil {
			s.consumer.acknowledge(tag, f.Command)
		}
	}
	return nil
}

// acknowledge ends a delivery, or in mode client all up to it: an ACK forgets
// the message, a NACK gives it to somebody else.
func (c *consumer) acknowledge(tag uint64, command frame.Command) {
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
