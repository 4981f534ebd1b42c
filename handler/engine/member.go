package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A member is another node. It is known from its first announcement on, and what has come
// from it before that, too: its numbers begin there.
type member struct {
	node        uint64
	name        string // it stays
	incarnation uint64 // of its connection
	announced   uint64 // the number of its last announcement; 0: not known on this connection
	received    uint64 // of its publications all up to this one have come, where they are subscribed to
	confirmed   uint64 // so it is with ours there
	everything  bool   // it has subscribed to handler.Everything
	heard       time.Time
	seen        time.Time // its last announcement
	listed      bool      // it knows this node, as that says
	omitted     bool      // it was forgotten: from one announcement without it it sees that

	unsure bool      // something may be missing after received
	marks  []uint64  // of the asks for that: what it sends again under one of them is believed
	due    time.Time // when it is asked under another
	resent time.Time // the last of what it sends again
	torn   bool      // something was missing in that

	silent bool // it does not answer: nobody waits for it until it is heard
	told   bool // so the log says

	asked   uint64 // the mark of the last ask by which it wants something sent again
	askedAt uint64 // after what
}

// maxMarks is how many asks of a member are answered late and believed. From one to the next it
// has twice as long.
const maxMarks = 4

// asks tells whether a member is asked under a mark for what may be missing: not while that
// comes, or may be on its way.
func (m *member) asks(mark uint64, now time.Time) bool {
	switch {
	case !m.unsure || now.Sub(m.resent) <= answerWithin/2:
		return false
	case slices.Contains(m.marks, mark):
		return true // it may have met nobody
	case now.Before(m.due):
		return false
	case len(m.marks) == maxMarks:
		m.marks = slices.Delete(m.marks, 0, 1)
	}
	m.marks = append(m.marks, mark)
	m.due = now.Add(answerWithin << (len(m.marks) - 1))
	return true
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

// meet returns the member that an announcement is of. One that was forgotten is in doubt, and
// goes on from there. e.mu is held.
func (e *Engine) meet(p packet) *member {
	m := e.away[p.node]
	delete(e.away, p.node)
	if m == nil || p.sent < m.received { // else it has gone back: the loss is told
		m = &member{node: p.node, name: string(p.text), received: p.sent, confirmed: e.outbox.last()}
	} else {
		m.omitted = true
	}
	m.incarnation, m.announced, m.listed = p.incarnation, p.number-1, false
	e.members[p.node] = m
	return m
}

// doubt has a member asked for what may have been missed. e.mu is held.
func (e *Engine) doubt(m *member) {
	if !m.unsure {
		m.unsure = true
		e.askAnew(m)
		e.stats.Resyncs.Add(1)
		signal(e.kick)
	}
}

// askAnew has a member asked at once, and under a mark that it has not been asked under: what it
// sends for earlier asks is not believed any more. e.mu is held.
func (e *Engine) askAnew(m *member) {
	m.marks, m.due, m.resent = nil, time.Time{}, time.Time{}
	if e.round != nil {
		e.round.mark, e.asking = rand.Uint64(), true
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

// lose tells of a loss: of publications of a node, or of any where m is nil. No lock is held.
func (e *Engine) lose(m *member, why string) {
	e.stats.Losses.Add(1)
	log, of := e.log, "other nodes"
	if m != nil {
		log, of = log.With("node", nodeName(m.node), "name", m.name), "node "+m.name
	}
	log.Warn("engine: publications of other nodes may be lost", "why", why)
	if e.lost != nil {
		e.lost(fmt.Errorf("engine: publications of %s may be lost: %s", of, why))
	}
}

// watch looks for members that are not heard. A node whose announcements do not come may be
// sending what does not come either.
func (e *Engine) watch() {
	e.mu.Lock()
	now := time.Now()
	if now.Sub(e.since) > answerWithin {
		e.outbox.setDrops(true)
	}
	stood := now.Sub(e.watched) > overdue // the process did: what came meanwhile is yet to be read
	e.watched = now
	var gone, silent []*member
	for _, m := range e.members {
		if stood {
			m.heard, m.seen = now, now
		}
		if now.Sub(m.seen) > overdue {
			m.silent = m.silent || now.Sub(m.heard) > overdue
			e.doubt(m)
		}
		if m.silent && e.excuse(m.node) && m.isNews() {
			silent = append(silent, m)
		}
		if now.Sub(m.seen) > forgetAfter && now.Sub(m.resent) > forgetAfter {
			gone = append(gone, m)
		}
	}
	for _, m := range gone {
		e.forget(m.node)
		e.remember(m)
	}
	e.mu.Unlock()
	e.tellSilent(silent)
	for _, m := range gone {
		e.lose(m, "it has ended, or cannot be reached: it has not announced itself for "+forgetAfter.String())
	}
}

// remember keeps what is known of a node that was forgotten, which may come back. e.mu is held.
func (e *Engine) remember(m *member) {
	e.away[m.node] = m
	if len(e.away) > maxNodes {
		oldest := m
		for _, other := range e.away {
			if other.seen.Before(oldest.seen) {
				oldest = other
			}
		}
		delete(e.away, oldest.node)
	}
}

// isNews tells whether the log is to have that a member is silent: once until it has answered.
// The engine's mu is held.
func (m *member) isNews() bool {
	told := m.told
	m.told = true
	return !told
}

// tellSilent tells of nodes that somebody has waited for. No lock is held.
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
	e.watched = now
	for _, m := range e.members {
		m.heard, m.seen, m.announced, m.silent = now, now, 0, false
		e.doubt(m)
		e.askAnew(m)
	}
	for topic := range e.wanted {
		e.changed[topic] = struct{}{}
	}
	e.answers = nil
}
