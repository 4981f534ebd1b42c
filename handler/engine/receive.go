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
