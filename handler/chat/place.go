package chat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/presence"
	"switchback/handler/rules"
	"switchback/session"
	"switchback/session/memory"
)

// A place is a room as a session has it: the session is in it, or is told how much is
// unread there, or both. It is a Subscriber of the room's messages.
type place struct {
	c           *client
	name, topic string
	typed       time.Time // when others were told that the user types: the session's goroutine's

	// How far the session has come; nil: it is not in the room.
	cursor atomic.Pointer[history.Cursor]

	mu   sync.Mutex      // guards the rest
	held map[string]bool // who has come or gone since the session began to join; nil: it has joined
	count
}

// placeSize is about what a place takes beside its name, in bytes.
const placeSize = 768

func (p *place) size() int { return placeSize + len(p.name) }

func (p *place) isJoined() bool { return p.cursor.Load() != nil }

// place is that of a room; nil if there is none.
func (c *client) place(room string) *place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.places[room]
}

// add returns the place of a room, which it makes where there is none and no more than so
// many.
func (c *client) add(room string, most int) (*place, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.places[room]; p != nil {
		return p, nil
	}
	p := &place{c: c, name: room, topic: c.chat.topic(room)}
	switch {
	case c.closed:
		return nil, session.ErrClosed
	case len(c.places) >= most:
		return nil, refuse(Limited, "a session has at most %d rooms", most)
	case !memory.Kept.Take(p.size()):
		return nil, memory.ErrFull
	}
	c.places[room] = p
	return p, nil
}

// forget is the end of a place, which no other goroutine has any more but by the Hub.
func (p *place) forget(ctx context.Context) {
	p.c.chat.log.Unsubscribe(ctx, p.topic, p.topic, p)
	p.uncount()
	memory.Kept.Give(p.size())
}

// reach returns the topic of a room where the client may do something, and which is there for
// it.
func (c *client) reach(on rules.Action, room string) (topic string, err error) {
	topic = c.chat.topic(room)
	if err := c.permit(on, topic); err != nil {
		return "", err
	}
	if c.place(room) == nil {
		_, err = c.chat.find(c.s.Context(), room, c.user)
	}
	return topic, err
}

// join has the session be in a room.
func (c *client) join(r *request) error {
	limit, err := c.chat.limit(r.Limit, 0, 50)
	if err != nil {
		return err
	}
	from := history.From{Last: limit}
	if r.Since != nil {
		since, err := position(*r.Since)
		if err != nil {
			return err
		}
		from = history.From{Since: &since}
	}
	topic := c.chat.topic(r.Room)
	if err := c.permit(rules.Join, topic); err != nil {
		return err
	}
	if from.Since != nil || limit > 0 {
		if err := c.permit(rules.Read, topic); err != nil {
			return err
		}
	}
	p, err := c.add(r.Room, c.chat.o.WatchLimit+c.chat.o.JoinLimit) // first: it is then not new to this session
	if err != nil {
		return err
	}
	room, err := c.enter(r.Room)
	if err == nil && !p.isJoined() && c.joined >= c.chat.o.JoinLimit {
		err = refuse(Limited, "a session is in at most %d rooms", c.chat.o.JoinLimit)
	}
	if err != nil {
		c.settle(p)
		return err
	}
	if !p.isJoined() {
		c.joined++
		c.chat.stats.Joined.Add(1)
	}
	if err := c.begin(p, room, from); err != nil {
		c.exit(p)
		c.settle(p)
		return err
	}
	return nil
}

// enter returns a room that the client may join. One that is not there it makes.
func (c *client) enter(name string) (*room, error) {
	ctx := c.s.Context()
	r, err := c.chat.find(ctx, name, c.user)
	if !is(err, UnknownRoom) || name[:1] == twoPrefix || c.permit(rules.Create, c.chat.topic(name)) != nil {
		return r, err
	}
	r = &room{attributes{Open: true}, []string{c.user}}
	if err := c.make(name, r); err == nil || is(err, Limited) {
		return r, err
	}
	return c.chat.find(ctx, name, c.user) // it is there, for others or for all; or the error is that again
}

// begin has a place joined: it hears of others, others of it, and it is brought up to the
// present. The session has it as joined already.
func (c *client) begin(p *place, r *room, from history.From) error {
	ctx, cancel := context.WithTimeout(c.s.Context(), patience)
	defer cancel()
	p.hold()
	cursor := new(history.Cursor)
	p.cursor.Store(cursor)
	if err := c.chat.log.Subscribe(ctx, p.topic, p.topic, p); err != nil {
		return err
	}
	if err := c.chat.hub.Subscribe(ctx, eventsOf(p.topic), (*company)(p)); err != nil {
		return err
	}
	if err := c.chat.presence.Join(ctx, p.topic, c.user, c.s.ID()); errors.Is(err, presence.ErrUsers) || errors.Is(err, presence.ErrTopics) {
		return refuse(Limited, "as many are in the room, or in rooms, as may be")
	} else if err != nil {
		return err
	}
	if err := c.register(p, r); err != nil {
		return err
	}
	began := false
	_, err := c.chat.log.CatchUp(c.s.Context(), p.topic, cursor, from, func(now history.Caught, entries []history.Entry) error {
		messages := c.chat.messages(p.name, now.At.Epoch, entries)
		if began && !now.Gap {
			for i := range messages {
				c.send(messages[i])
			}
			return c.s.Context().Err()
		}
		began = true
		names, more, err := c.chat.present(c.s.Context(), p.topic, "")
		if err != nil {
			return err
		}
		c.send(joined{"joined", p.name, now.At.String(), names, more, now.Gap, messages})
		p.release(names)
		return nil
	})
	return err
}

// exit has the session be in a room no more.
func (c *client) exit(p *place) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.cursor.Store(nil)
	c.joined--
	c.chat.stats.Joined.Add(-1)
	c.chat.hub.Unsubscribe(ctx, eventsOf(p.topic), (*company)(p))
	c.chat.presence.Leave(ctx, p.topic, c.user, c.s.ID())
}

// settle forgets a place that is of no use: not joined, and not counted or one too many.
func (c *client) settle(p *place) {
	if p.isJoined() {
		return
	}
	counted := p.isCounted()
	c.mu.Lock()
	if counted && len(c.places) <= c.chat.o.WatchLimit {
		c.mu.Unlock()
		return
	}
	delete(c.places, p.name)
	c.mu.Unlock()
	if counted {
		c.chat.stats.Unwatched.Add(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.forget(ctx)
}

// Receive gets a message of the room.
func (p *place) Receive(m *handler.Publication) {
	p.heard(m)
	cursor := p.cursor.Load()
	if cursor == nil || m.Epoch == 0 {
		return
	}
	switch ok, gap := cursor.Take(m); {
	case gap:
		reply := p.c.chat.said(p.name, m)
		reply.Gap = true
		p.c.send(reply)
	case ok:
		p.c.s.SendPrepared(prepare(m, func() []byte { return encode(p.c.chat.said(p.name, m)) }))
	}
}

// A company is a place as a Subscriber of what happens in its room beside messages.
type company place

// Receive sends it to the session, unless it is about that, or while it is joining.
func (y *company) Receive(m *handler.Publication) {
	p := (*place)(y)
	if m.ID == typingOf+p.c.s.ID() {
		return
	}
	p.mu.Lock()
	holds := p.held != nil
	if holds && (m.ID == cameID || m.ID == wentID) {
		p.held[m.User] = m.ID == cameID
	}
	p.mu.Unlock()
	if !holds {
		p.c.s.SendPrepared(prepare(m, func() []byte { return m.Text }))
	}
}

// hold has who comes and goes wait for release.
func (p *place) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = make(map[string]bool)
}

// release tells the session who has come or gone since it was told the names of those who
// are there.
func (p *place) release(names []string) {
	known := func(user string) bool {
		_, is := slices.BinarySearch(names, user)
		return is
	}
	for {
		p.mu.Lock()
		held := p.held
		if len(held) == 0 {
			p.held = nil
			p.mu.Unlock()
			return
		}
		p.held = make(map[string]bool)
		p.mu.Unlock()
		for user, is := range held {
			if is != known(user) {
				p.c.send(online{"presence", p.name, user, is})
			}
		}
	}
}
