package engine

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"switchback/handler"
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

// receive takes what has come on a channel.
func (e *Engine) receive(channel string, data []byte) {
	p, err := decode(data)
	if err != nil {
		e.broken(err)
		return
	}
	if p.node == e.node {
		return // it comes back
	}
	switch p.kind {
	case publication, run:
		e.receivePublications(p, false)
	case resent:
		e.receiveResent(p)
	case announcement:
		e.receiveAnnouncement(p)
	case ask:
		e.receiveAsk(p)
	case answer:
		e.receiveAnswer(p)
	case goodbye:
		e.receiveGoodbye(p)
	}
}

// broken counts what somebody has sent who is no node. The first is logged.
func (e *Engine) broken(err error) {
	if e.stats.Broken.Add(1) == 1 {
		e.log.Error("engine: a message is left out, as are others like it", "error", err)
	}
}

// crowd counts what a node has announced for which there is no room. The first is logged.
func (e *Engine) crowd() {
	if e.stats.Crowded.Add(1) == 1 {
		e.log.Error("engine: there are more nodes than may be; those that came last are not waited for, and may miss publications", "most", maxNodes)
	}
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

// receivePublications takes a publication, or a run of them.
func (e *Engine) receivePublications(p packet, again bool) {
	if p.kind == publication {
		e.receivePublication(p, again)
	} else if err := p.each(func(one packet) { e.receivePublication(one, again) }); err != nil {
		e.broken(err)
	}
}

// receivePublication delivers what is new. Of a node that is not known yet all is.
func (e *Engine) receivePublication(p packet, again bool) {
	e.mu.Lock()
	m := e.members[p.node]
	e.hear(m)
	fresh := m == nil || p.number > m.received && (again || !m.unsure)
	if fresh && m != nil {
		m.received = p.number
	}
	_, wanted := e.wanted[string(p.text)]
	e.mu.Unlock()
	switch {
	case !fresh:
		e.stats.Late.Add(1)
	case wanted:
		e.stats.Received.Add(1)
		if err := e.deliver(string(p.text), p.data); err != nil {
			e.broken(err)
		}
	}
}

// receiveResent delivers what this node has asked for, and not what it has asked for before:
// of that the front may be missing.
func (e *Engine) receiveResent(p packet) {
	e.mu.Lock()
	m := e.members[p.node]
	asked := e.round != nil && e.round.mark == p.mark && m != nil && m.unsure
	if asked {
		m.resent = time.Now()
	}
	e.mu.Unlock()
	inner, err := decode(p.data)
	switch {
	case err != nil || inner.kind != publication && inner.kind != run || inner.node != p.node:
		e.broken(errPacket)
	case asked:
		e.receivePublications(inner, true)
	}
}

// goneBack tells of a process that goes on from a copy of its memory, say.
const goneBack = "it has begun again at an earlier number"

// receiveAnnouncement meets a node, and sees whether one was missed before this.
func (e *Engine) receiveAnnouncement(p packet) {
	e.mu.Lock()
	m := e.members[p.node]
	met := m == nil
	if met && len(e.members) == maxNodes {
		e.mu.Unlock()
		e.crowd()
		return
	}
	if met {
		m = &member{
			node: p.node, name: string(p.text), incarnation: p.incarnation, announced: p.number - 1,
			received: p.sent, confirmed: e.outbox.last(),
		}
		e.members[p.node] = m
		e.announcing = true // so it meets us
	}
	if p.incarnation < m.incarnation {
		e.mu.Unlock()
		return // it has been on its way longer than the node's new connection
	}
	e.hear(m)
	back := !m.unsure && p.sent < m.received // else it may have been on its way for long: an answer tells
	if back {
		m.incarnation, m.announced, m.received = p.incarnation, p.number-1, p.sent
	}
	missed := p.number != m.announced+1
	holed := missed && p.incarnation == m.incarnation && !m.unsure // what has come after the hole is taken
	if missed || p.incarnation != m.incarnation {
		e.doubt(m)
		e.asking = e.asking || e.round != nil // it may not have been there when it was asked
	}
	e.announcing = e.announcing || p.flags&confirmFlag != 0
	m.seen, m.incarnation, m.announced, m.everything = m.heard, p.incarnation, p.number, p.flags&everythingFlag != 0
	if !m.unsure {
		m.received = max(m.received, p.sent)
	}
	for _, c := range p.positions {
		if c.node == e.node {
			m.confirmed = max(m.confirmed, c.at)
		}
	}
	e.countMembers()
	e.mu.Unlock()
	signal(e.wake)
	if met {
		e.log.Info("engine: a node is there", "node", nodeName(m.node), "name", m.name)
	}
	if back {
		e.lose(m.name, goneBack)
	}
	if holed {
		e.lose(m.name, "messages of it have not come")
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

// receiveAsk notes that a node waits for an answer, which has announced itself before.
func (e *Engine) receiveAsk(p packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.members[p.node]
	if m == nil {
		return
	}
	e.hear(m)
	e.answers = slices.DeleteFunc(e.answers, func(a packet) bool { return a.node == p.node }) // it asks again
	e.answers = append(e.answers, p)
	signal(e.wake)
}

// receiveAnswer takes one who was asked off the list.
func (e *Engine) receiveAnswer(p packet) {
	e.mu.Lock()
	m, round := e.members[p.node], e.round
	e.hear(m)
	holed, back := false, false
	if m != nil && round != nil && p.mark == round.mark {
		if m.unsure && p.flags&resentFlag != 0 && p.incarnation >= m.incarnation {
			holed, back = p.flags&holedFlag != 0, p.sent < m.received
			m.unsure = false
			m.incarnation, m.announced, m.received = p.incarnation, p.number, p.sent
		}
		if !m.unsure {
			e.excuse(p.node)
		}
	}
	e.mu.Unlock()
	switch {
	case back:
		e.lose(m.name, goneBack)
	case holed:
		e.lose(m.name, "it does not have any more all that may have been missed")
	}
}

// receiveGoodbye forgets a node that has ended. What was missed of it stays so.
func (e *Engine) receiveGoodbye(p packet) {
	e.mu.Lock()
	m := e.members[p.node]
	unsure := m != nil && m.unsure
	e.forget(p.node)
	e.mu.Unlock()
	switch {
	case unsure:
		e.lose(m.name, "it has ended before it was asked for what may have been missed")
	case m != nil:
		e.log.Info("engine: a node has left", "node", nodeName(m.node), "name", m.name)
	}
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

// announce returns what this node says of itself. e.mu is held.
func (e *Engine) announce() packet {
	e.announced++
	p := packet{kind: announcement, node: e.node, number: e.announced, incarnation: e.incarnation, sent: e.outbox.last(), text: []byte(e.options.Name)}
	if _, ok := e.wanted[handler.Everything]; ok {
		p.flags = everythingFlag
	}
	for _, node := range slices.Sorted(maps.Keys(e.members)) {
		p.positions = append(p.positions, position{node, e.members[node].received})
	}
	return p
}

// question returns the ask of the round: a node from which something comes is not asked again
// for it. e.mu is held.
func (e *Engine) question() packet {
	p := packet{kind: ask, node: e.node, mark: e.round.mark}
	for _, node := range slices.Sorted(maps.Keys(e.members)) {
		if m := e.members[node]; m.unsure && time.Since(m.resent) > answerWithin/2 {
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
	if i := slices.IndexFunc(asked.positions, func(p position) bool { return p.node == e.node }); i >= 0 {
		a.flags = resentFlag
		messages, whole := e.outbox.since(asked.positions[i].at, most)
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
