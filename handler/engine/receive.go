package engine

import (
	"slices"
	"time"
)

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

// receivePublications takes a publication, or a run of them.
func (e *Engine) receivePublications(p packet, again bool) {
	if p.kind == publication {
		e.receivePublication(p, again)
	} else if err := p.each(func(one packet) { e.receivePublication(one, again) }); err != nil {
		e.broken(err)
	}
}

// receivePublication delivers what is new. Of a node that is not known yet all is, and of one
// that was forgotten nothing, until it is known again.
func (e *Engine) receivePublication(p packet, again bool) {
	e.mu.Lock()
	m := e.members[p.node]
	e.hear(m)
	fresh := m == nil && e.away[p.node] == nil
	if m != nil && p.number > m.received && (again || !m.unsure) {
		fresh = true
		m.torn = m.torn || again && p.number > m.received+1
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

// receiveResent delivers what this node has asked for, and not what it asked for before it
// missed something else: of that the front may be missing.
func (e *Engine) receiveResent(p packet) {
	e.mu.Lock()
	m := e.members[p.node]
	e.hear(m)
	asked := m != nil && m.unsure && slices.Contains(m.marks, p.mark)
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
		delete(e.away, p.node) // what comes of it is taken as it comes
		e.mu.Unlock()
		e.crowd()
		return
	}
	if met {
		m = e.meet(p)
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
	listed := false
	for _, c := range p.positions {
		if c.node == e.node {
			listed, m.confirmed = true, max(m.confirmed, c.at)
		}
	}
	missed := m.announced != 0 && p.number != m.announced+1
	holed := missed && p.incarnation == m.incarnation && !m.unsure // what has come after the hole is taken
	forgotten := m.listed && !listed                               // it sends nothing where it knows nobody else
	if forgotten {
		e.doubt(m)
	}
	if !m.listed && listed {
		m.due = time.Time{} // it has not known who asked
	}
	if missed || p.incarnation != m.incarnation {
		e.doubt(m)
		e.askAnew(m)
	}
	e.announcing = e.announcing || p.flags&confirmFlag != 0
	m.seen, m.incarnation, m.announced, m.everything, m.listed = m.heard, p.incarnation, p.number, p.flags&everythingFlag != 0, listed
	if !m.unsure {
		m.received = max(m.received, p.sent)
	}
	e.countMembers()
	e.mu.Unlock()
	signal(e.wake)
	if met {
		e.log.Info("engine: a node is there", "node", nodeName(m.node), "name", m.name)
	}
	if back {
		e.lose(m, goneBack)
	}
	if holed {
		e.lose(m, "messages of it have not come")
	}
}

// receiveAsk notes that a node waits for an answer, which has announced itself before. It asks
// again and again: what it wants sent is sent once.
func (e *Engine) receiveAsk(p packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.members[p.node]
	if m == nil {
		return
	}
	e.hear(m)
	at, wants := p.after(e.node)
	if wants && m.asked == p.mark && m.askedAt == at {
		return
	}
	if wants {
		m.asked, m.askedAt = p.mark, at
	}
	e.answers = slices.DeleteFunc(e.answers, func(a packet) bool {
		_, wanted := a.after(e.node)
		return a.node == p.node && wanted == wants
	})
	e.answers = append(e.answers, p)
	signal(e.wake)
}

// receiveAnswer takes one who was asked off the list.
func (e *Engine) receiveAnswer(p packet) {
	e.mu.Lock()
	m, round := e.members[p.node], e.round
	e.hear(m)
	holed, back := false, false
	if m != nil {
		m.told = false
		if m.unsure && p.flags&resentFlag != 0 && p.incarnation >= m.incarnation && slices.Contains(m.marks, p.mark) {
			holed, back = p.flags&holedFlag != 0 || m.torn || p.sent > m.received, p.sent < m.received
			m.unsure, m.torn = false, false
			m.incarnation, m.announced, m.received = p.incarnation, p.number, p.sent
		}
		if round != nil && p.mark == round.mark && (!m.unsure || !slices.Contains(m.marks, p.mark)) {
			e.excuse(p.node)
		}
	}
	e.mu.Unlock()
	switch {
	case back:
		e.lose(m, goneBack)
	case holed:
		e.lose(m, "it does not have any more all that may have been missed")
	}
}

// receiveGoodbye forgets a node that has ended. What was missed of it stays so.
func (e *Engine) receiveGoodbye(p packet) {
	e.mu.Lock()
	m := e.members[p.node]
	unsure := m != nil && m.unsure
	e.forget(p.node)
	delete(e.away, p.node)
	e.mu.Unlock()
	switch {
	case unsure:
		e.lose(m, "it has ended before it was asked for what may have been missed")
	case m != nil:
		e.log.Info("engine: a node has left", "node", nodeName(m.node), "name", m.name)
	}
}
