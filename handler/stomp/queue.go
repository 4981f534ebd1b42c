package stomp

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"switchback/handler/stomp/frame"
)

// A letter is a message in a queue.
type letter struct {
	number      uint64 // in the queue: the order in which it came
	headers     frame.Headers
	body        []byte
	content     content
	size        int // bytes, as they are counted
	redelivered bool
}

// letterCost is what a letter takes beside its headers and body.
const letterCost = 160

// A queue gives each message to one of its consumers, in turn. A message that
// its consumer did not acknowledge goes back to its place. Nothing is sent while
// the lock is held; one goroutine at a time sends.
type queue struct {
	broker *Broker
	name   string
	retry  alarm // while all consumers have too much unread

	mu        sync.Mutex // guards the rest
	waiting   []*letter  // in order
	consumers []*consumer
	turn      int // whose it is
	number    uint64
	count     int // letters: waiting, on their way and unacknowledged
	bytes     int
	busy      bool          // a goroutine is sending
	ended     bool          // its broker has closed
	touched   time.Duration // when it last got a letter, or one back
}

// queues are those of this node that have letters or consumers.
type queues struct {
	broker *Broker

	patrol alarm // while there are queues: drops the idle ones

	mu    sync.Mutex // guards the rest; taken before a queue's
	names map[string]*queue
}

func (g *queues) init(b *Broker) {
	g.broker, g.names = b, make(map[string]*queue)
	g.patrol.owner = g
}

// locked returns a queue with its lock held, a new one where there is none; nil
// where there are too many.
func (g *queues) locked(name string) *queue {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.names[name]
	if q == nil {
		if len(g.names) >= g.broker.options.QueueCountLimit {
			return nil
		}
		q = &queue{broker: g.broker, name: strings.Clone(name)}
		q.retry.owner = q
		g.broker.stats.Queues.Add(1)
		if g.names[q.name] = q; len(g.names) == 1 {
			g.broker.clock.set(&g.patrol, g.broker.clock.now()+g.round())
		}
	}
	q.mu.Lock()
	return q
}

// sweep forgets a queue that has nothing.
func (g *queues) sweep(q *queue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 && len(q.consumers) == 0 && g.names[q.name] == q {
		g.forget(q)
	}
}

// forget takes out a queue. Both locks are held.
func (g *queues) forget(q *queue) {
	delete(g.names, q.name)
	g.broker.stats.Queues.Add(-1)
	g.broker.clock.end(&q.retry)
	if len(g.names) == 0 {
		g.broker.clock.unset(&g.patrol)
	}
}

// send puts a message into a queue.
func (g *queues) send(name string, h frame.Headers, body []byte) error {
	f := (&frame.Frame{Headers: h, Body: body}).Clone()
	l := &letter{headers: f.Headers, body: f.Body, content: contentOf(f.Headers, f.Body), size: f.Size() + letterCost}
	l.size += len(l.content.valid)
	if !g.broker.queued.take(l.size) {
		return ErrMemory
	}
	pushed := false
	if q := g.locked(name); q != nil {
		pushed = q.push(l)
		q.mu.Unlock()
		q.dispatch()
	}
	if !pushed {
		g.broker.queued.give(l.size)
		return ErrQueueFull
	}
	return nil
}

// push adds a letter, if limits allow it. q.mu is held.
func (q *queue) push(l *letter) bool {
	o := &q.broker.options
	if q.count >= o.QueueLimit || q.bytes+l.size > o.QueueByteLimit {
		return false
	}
	q.number++
	l.number = q.number
	q.waiting = append(q.waiting, l)
	q.count++
	q.bytes += l.size
	q.broker.stats.Queued.Add(1)
	q.touched = q.broker.clock.now()
	return true
}

// done forgets a letter. q.mu is held.
func (q *queue) done(l *letter) {
	if q.ended {
		return
	}
	q.count--
	q.bytes -= l.size
	q.broker.stats.Queued.Add(-1)
	q.broker.queued.give(l.size)
}

// back puts letters back to their places. q.mu is held.
func (q *queue) back(letters ...*letter) {
	q.touched = q.broker.clock.now()
	byNumber := func(a, b *letter) int { return cmp.Compare(a.number, b.number) }
	if len(letters) == 1 {
		at, _ := slices.BinarySearchFunc(q.waiting, letters[0], byNumber)
		q.waiting = slices.Insert(q.waiting, at, letters[0])
		return
	}
	q.waiting = append(q.waiting, letters...)
	slices.SortFunc(q.waiting, byNumber)
}

// maxRun is the number of letters that one goroutine sends, before another one
// goes on: the first has a session of its own to serve.
const maxRun = 256

// dispatch sends what waits to consumers that can take it, and forgets a queue
// that has nothing.
func (q *queue) dispatch() {
	if q.run() {
		q.broker.queues.sweep(q)
	}
}

// run returns whether the queue has nothing any more.
func (q *queue) run() (empty bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy {
		return false
	}
	q.busy = true
	for range maxRun {
		c, l := q.next()
		if c == nil {
			q.busy = false
			return q.count == 0 && len(q.consumers) == 0
		}
		tag, redelivered := c.tags, l.redelivered
		q.mu.Unlock()
		err := c.send(l, tag, redelivered)
		q.mu.Lock()
		c.sent(l, err)
		if errors.Is(err, ErrMemory) {
			q.busy = false
			return false
		}
	}
	q.busy = false
	q.broker.calls.Go(q.dispatch)
	return false
}

// next takes the next letter for the consumer whose turn it is. q.mu is held.
func (q *queue) next() (*consumer, *letter) {
	if len(q.waiting) == 0 {
		return nil, nil
	}
	l, again := q.waiting[0], false
	for i := range q.consumers {
		at := (q.turn + i) % len(q.consumers)
		c := q.consumers[at]
		switch c.readiness(l.size) {
		case ready:
			q.turn = at + 1
			q.waiting[0] = nil
			q.waiting = q.waiting[1:]
			c.take(l)
			return c, l
		case unread:
			again = true
		}
	}
	if again {
		q.later()
	}
	return nil, nil
}

// later has the queue go on in a while. q.mu is held.
func (q *queue) later() { q.broker.clock.set(&q.retry, q.broker.clock.now()+retryDelay) }

// retryDelay is how long a queue waits for clients that have much unread, and for memory.
const retryDelay = 20 * time.Millisecond

// ring goes on when consumers may have read what they had.
func (q *queue) ring(time.Duration) time.Duration {
	q.dispatch()
	return 0
}
