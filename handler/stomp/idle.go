package stomp

import "time"

// round is the time between two looks for idle queues.
func (g *queues) round() time.Duration { return max(g.broker.options.QueueIdle/10, time.Millisecond) }

// ring drops the queues that have been idle for too long.
func (g *queues) ring(now time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range g.names {
		q.mu.Lock()
		if q.idle(now) {
			q.drop()
			g.forget(q)
		}
		q.mu.Unlock()
	}
	if len(g.names) == 0 {
		return 0
	}
	return now + g.round()
}

// end forgets all queues. What is in them is lost, which is logged.
func (g *queues) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	lost := 0
	for _, q := range g.names {
		q.mu.Lock()
		lost += q.count
		q.broker.stats.Queued.Add(int64(-q.count))
		q.broker.queued.give(q.bytes)
		q.waiting, q.count, q.bytes, q.ended = nil, 0, 0, true
		g.forget(q)
		q.mu.Unlock()
	}
	if lost > 0 {
		g.broker.log.Warn("stomp: messages in queues are lost", "messages", lost)
	}
}

// idle tells whether nobody has used the queue for QueueIdle. q.mu is held.
func (q *queue) idle(now time.Duration) bool {
	return len(q.consumers) == 0 && !q.busy && now-q.touched >= q.broker.options.QueueIdle
}

// drop forgets all letters of a queue without consumers, which are all waiting.
// q.mu is held.
func (q *queue) drop() {
	q.broker.stats.Expired.Add(int64(len(q.waiting)))
	for _, l := range q.waiting {
		q.done(l)
	}
	q.waiting = nil
}
