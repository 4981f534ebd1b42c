package engine

import (
	"maps"
	"slices"
	"time"

	"switchback/handler"
)

// send is the one goroutine that publishes on the connection.
func (l *link) send(stop chan struct{}) {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	var batch []Message
	for due := true; ; {
		select {
		case <-tick.C:
			due = true
		default:
		}
		if batch = l.gather(batch[:0], due); len(batch) > 0 {
			due = false
			if l.err = l.publish(batch); l.err != nil {
				close(l.failed)
				return
			}
			clear(batch)
			continue
		}
		select {
		case <-l.wake:
		case <-tick.C:
			due = true
		case <-stop:
			l.leave(batch)
			return
		}
	}
}

// publish has no message wait until all others are there.
func (l *link) publish(batch []Message) error {
	for some := range slices.Chunk(batch, maxBatch) {
		if err := l.conn.Publish(some); err != nil {
			return err
		}
	}
	return nil
}

// leave sends what is left when the engine closes, and says goodbye.
func (l *link) leave(batch []Message) {
	if l.ctx.Err() == nil {
		return
	}
	for end := time.Now().Add(drainWithin); !l.outbox.empty() && time.Now().Before(end); {
		if batch = l.take(batch[:0]); l.conn.Publish(batch) != nil {
			return
		}
	}
	p := packet{kind: goodbye, node: l.node}
	l.conn.Publish([]Message{{nodesChannel, p.append(nil)}})
}

// take appends publications. Others are told of those that this server does not take as of
// any that do not come: by a hole in the announcements.
func (l *link) take(batch []Message) []Message {
	before, most := len(batch), int(l.most.Load())
	batch, skipped := l.outbox.take(batch, most)
	batch = batch[:before+len(merge(batch[before:], most))]
	if skipped {
		l.mu.Lock()
		l.announced++
		l.announcing = true
		l.mu.Unlock()
		signal(l.wake)
		l.log.Error("engine: publications are dropped, which are larger than this server takes", "most", most)
	}
	return batch
}

// gather appends what is to be sent now: an announcement where one is due, questions, an
// answer, which may be long, and publications.
func (l *link) gather(batch []Message, due bool) []Message {
	full := l.outbox.asks()
	l.mu.Lock()
	if due || l.announcing || l.asking || full {
		p := l.announce()
		if full {
			p.flags |= confirmFlag
		}
		batch = append(batch, Message{nodesChannel, p.append(nil)})
	}
	if l.asking && l.round != nil {
		p := l.question()
		batch = append(batch, Message{nodesChannel, p.append(nil)})
	}
	l.asking, l.announcing = false, false
	var asked *packet
	if len(l.answers) > 0 {
		asked, l.answers = &l.answers[0], l.answers[1:]
	}
	a := packet{kind: answer, node: l.node, incarnation: l.incarnation, number: l.announced}
	l.mu.Unlock()
	if asked != nil {
		batch = l.appendAnswer(batch, *asked, a, int(l.most.Load()))
	}
	return l.take(batch)
}

// announce returns what this node says of itself. e.mu is held.
func (e *Engine) announce() packet {
	e.announced++
	p := packet{kind: announcement, node: e.node, number: e.announced, incarnation: e.incarnation, sent: e.outbox.last(), text: []byte(e.options.Name)}
	if _, ok := e.wanted[handler.Everything]; ok {
		p.flags = everythingFlag
	}
	for _, node := range slices.Sorted(maps.Keys(e.members)) {
		if m := e.members[node]; m.omitted {
			m.omitted = false
		} else {
			p.positions = append(p.positions, position{node, m.received})
		}
	}
	return p
}

// question returns the ask of the round: a node from which something comes is not asked again
// for it. e.mu is held.
func (e *Engine) question() packet {
	p, now := packet{kind: ask, node: e.node, mark: e.round.mark}, time.Now()
	for _, node := range slices.Sorted(maps.Keys(e.members)) {
		if m := e.members[node]; m.asks(p.mark, now) {
			p.positions = append(p.positions, position{node, m.received})
		}
	}
	return p
}

// appendAnswer appends the answer to an ask, after what it asks for. a has what all answers
// say, most is what the server takes.
func (e *Engine) appendAnswer(batch []Message, asked, a packet, most int) []Message {
	a.mark, a.sent = asked.mark, e.outbox.last()
	to := ownChannel(asked.node)
	if at, wants := asked.after(e.node); wants {
		a.flags = resentFlag
		messages, whole := e.outbox.since(at, most)
		if !whole {
			a.flags |= holedFlag
		}
		e.stats.Resent.Add(int64(len(messages)))
		for _, m := range merge(messages, most-resentSize) {
			again := packet{kind: resent, node: e.node, mark: asked.mark, data: m.Data}
			batch = append(batch, Message{to, again.append(nil)})
		}
	}
	return append(batch, Message{to, a.append(nil)})
}
