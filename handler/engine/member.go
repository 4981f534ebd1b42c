package engine

import (
	"fmt"
	"math"
	"time"
)

// A member is another node. It is known from its first announcement on, and what has come
// from it before that, too: its numbers begin there.
type member struct {
	node        uint64
	name        string
	incarnation uint64 // of its connection
	announced   uint64 // the number of its last announcement
	received    uint64 // of its publications all up to this one have come, where they are subscribed to
	confirmed   uint64 // so it is with ours there
	everything  bool   // it has subscribed to handler.Everything
	heard       time.Time
	seen        time.Time // its last announcement

	resent time.Time // the last of what it sends again
	unsure bool      // something may be missing after received
	silent bool      // it does not answer: nobody waits for it until it is heard
}

// A round is a question to all nodes that are known.
type round struct {
	mark    uint64
	waiting map[uint64]struct{} // nodes that have not answered
	done    chan struct{}       // closed when all have
}

// hear notes a sign of a member, which may be nil. e.mu is held.
func (e *Engine) hear(m *member) {
	if m == nil {
		return
	}
	m.heard = time.Now()
	if m.silent {
		m.silent = false
		signal(e.kick)
	}
}

// doubt has a member asked for what may have been missed. e.mu is held.
func (e *Engine) doubt(m *member) {
	if !m.unsure {
		m.unsure = true
		e.stats.Resyncs.Add(1)
		signal(e.kick)
	}
}

// countMembers is called when members, or what is known of them, have changed. e.mu is held.
func (e *Engine) countMembers() {
	everything, confirmed := 0, uint64(math.MaxUint64)
	for _, m := range e.members {
		if m.everything {
			everything++
		}
		confirmed = min(confirmed, m.confirmed)
	}
	e.others.Store(int32(len(e.members)))
	e.everything.Store(int32(everything))
	e.stats.Nodes.Store(int64(len(e.members)))
	e.outbox.confirm(confirmed)
}

// forget has nobody wait for a node any more. e.mu is held.
func (e *Engine) forget(node uint64) {
	delete(e.members, node)
	e.excuse(node)
	e.countMembers()
}

// excuse has the round that goes on not wait for a node any more, and tells whether it has.
// e.mu is held.
func (e *Engine) excuse(node uint64) bool {
	r := e.round
	if r == nil {
		return false
	}
	_, waits := r.waiting[node]
	if delete(r.waiting, node); waits && len(r.waiting) == 0 {
		close(r.done)
	}
	return waits
}

// lose tells of a loss: of publications of a node, or of any. No lock is held.
func (e *Engine) lose(name, why string) {
	e.stats.Losses.Add(1)
	e.log.Warn("engine: publications of other nodes may be lost", "name", name, "why", why)
	if e.lost != nil {
		e.lost(fmt.Errorf("engine: publications of other nodes may be lost: %s %s", name, why))
	}
}

// watch looks for members that are not heard. A node whose announcements do not come may be
// sending what does not come either.
func (e *Engine) watch(now time.Time) {
	e.mu.Lock()
	if now.Sub(e.since) > answerWithin {
		e.outbox.setDrops(true)
	}
	var gone, silent []*member
	for _, m := range e.members {
		if now.Sub(m.seen) > overdue {
			m.silent = m.silent || now.Sub(m.heard) > overdue
			e.doubt(m)
		}
		if m.silent && e.excuse(m.node) {
			silent = append(silent, m)
		}
		if now.Sub(m.seen) > forgetAfter {
			gone = append(gone, m)
		}
	}
	for _, m := range gone {
		e.forget(m.node)
	}
	e.mu.Unlock()
	e.tellSilent(silent)
	for _, m := range gone {
		e.lose(m.name, "it has ended, or cannot be reached: it has not announced itself for "+forgetAfter.String())
	}
}

// tellSilent tells of nodes that somebody has waited for.
func (e *Engine) tellSilent(silent []*member) {
	for _, m := range silent {
		e.log.Warn("engine: a node does not answer; it is not waited for", "node", nodeName(m.node), "name", m.name)
	}
}

// begin is called with a new connection: what has come before it is all that is sure.
func (e *Engine) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.incarnation++
	for _, m := range e.members {
		m.heard, m.seen, m.silent, m.resent = now, now, false, time.Time{}
		e.doubt(m)
	}
	for topic := range e.wanted {
		e.changed[topic] = struct{}{}
	}
	e.answers = nil
}
