package stomp

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"switchback/handler/stomp/antpath"
	"switchback/handler/stomp/frame"
)

// A consumer is a subscription to a queue, whose lock guards it.
type consumer struct {
	queue        *queue
	subscription *subscription
	tags         uint64 // of deliveries, so far
	unacked      []delivered
	open         bool // it takes letters: it has started and has not gone
}

// delivered is a letter that its consumer has to acknowledge.
type delivered struct {
	tag    uint64
	letter *letter
}

// consume makes a subscription a consumer of its queue.
func (c *conn) consume(s *subscription) error {
	if antpath.IsPattern(s.destination) {
		return &Error{Message: "A queue cannot be subscribed to by a pattern: " + s.destination}
	}
	q := c.broker.queues.locked(s.destination)
	if q == nil {
		return &Error{Message: "Too many queues", Err: ErrQueueFull, counter: &c.broker.stats.QueueLimit}
	}
	s.consumer = &consumer{queue: q, subscription: s}
	q.consumers = append(q.consumers, s.consumer)
	q.mu.Unlock()
	return nil
}

// start has the consumer take messages.
func (c *consumer) start() {
	c.queue.mu.Lock()
	c.open = true
	c.queue.mu.Unlock()
	c.queue.dispatch()
}

// leave gives back what the consumer has not acknowledged.
func (c *consumer) leave() {
	q := c.queue
	q.mu.Lock()
	c.open = false
	if i := slices.Index(q.consumers, c); i >= 0 {
		q.consumers = slices.Delete(q.consumers, i, i+1)
		if q.turn > i {
			q.turn--
		}
	}
	c.giveBack(0, len(c.unacked))
	q.mu.Unlock()
	q.dispatch()
}

// giveBack puts a part of the unacknowledged letters back into the queue. The
// queue's lock is held.
func (c *consumer) giveBack(begin, end int) {
	letters := make([]*letter, 0, end-begin)
	for _, d := range c.unacked[begin:end] {
		d.letter.redelivered = true
		letters = append(letters, d.letter)
	}
	c.unacked = slices.Delete(c.unacked, begin, end)
	c.queue.back(letters...)
}

type readiness uint8

const (
	ready  readiness = iota
	full             // of unacknowledged messages, or gone
	unread           // the client has to read first
)

// window is what a client may have unread when it gets another message of a
// queue: to send it all that waits would be to lose it as a slow client.
const window = 64 << 10

// readiness tells whether the consumer can take a letter of a size. The queue's
// lock is held.
func (c *consumer) readiness(size int) readiness {
	if !c.open || c.subscription.conn.at() != connected || len(c.unacked) >= c.queue.broker.options.UnackedLimit {
		return full
	}
	queued := c.subscription.conn.session.Queued()
	if queued > 0 && queued+size > window {
		return unread
	}
	return ready
}

// take notes that a letter is on its way. The queue's lock is held.
func (c *consumer) take(l *letter) {
	c.tags++
	if c.subscription.mode != ackAuto {
		c.unacked = append(c.unacked, delivered{c.tags, l})
	}
}

// send sends a letter. The names of deliveries are unique in the session, and
// tell whose they are.
func (c *consumer) send(l *letter, tag uint64, redelivered bool) error {
	s := c.subscription
	id := s.conn.client.ID + "-" + strconv.FormatUint(s.number, 10) + "-" + strconv.FormatUint(tag, 10)
	d := frame.Delivery{Subscription: s.id, MessageID: id, Redelivered: redelivered}
	if s.mode != ackAuto {
		d.Ack = id
	}
	err := s.conn.deliver(d, l.headers, l.body, l.content)
	if err == nil {
		s.conn.pulse.sent.Store(int64(s.conn.broker.clock.now()))
		s.conn.broker.stats.Messages.Add(1)
	}
	return err
}

// sent ends a letter's way. Where there was no memory for it the client may get it
// later; after another error it has gone. The queue's lock is held.
func (c *consumer) sent(l *letter, err error) {
	if err == nil {
		if c.subscription.mode == ackAuto {
			c.queue.done(l)
		}
		return
	}
	if errors.Is(err, ErrMemory) {
		c.queue.later()
	} else {
		c.open = false
	}
	if c.subscription.mode == ackAuto {
		c.queue.back(l)
		return
	}
	for i := range c.unacked {
		if c.unacked[i].letter == l {
			c.unacked = slices.Delete(c.unacked, i, i+1)
			c.queue.back(l)
			return
		}
	} // else it went back when the consumer left
}

// deliveryOf reads the name of a delivery.
func deliveryOf(id string) (subscription, tag uint64, ok bool) {
	i := strings.LastIndexByte(id, '-')
	if i < 0 {
		return 0, 0, false
	}
	j := strings.LastIndexByte(id[:i], '-')
	subscription, err1 := strconv.ParseUint(id[j+1:i], 10, 64)
	tag, err2 := strconv.ParseUint(id[i+1:], 10, 64)
	return subscription, tag, err1 == nil && err2 == nil
}
