package chat

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/rules"
)

// A count is how much is unread in a place: what the store has counted, and what has come
// since. It is guarded by the place's lock.
type count struct {
	counted bool   // the user is a member, so that something may be unread
	based   bool   // the store has been asked
	epoch   uint64 // of the last message that was heard
	last    uint64 // offset of the last message that is in n
	n, told int    // unread, and as the client was told last
	recent  []uint64
	telling bool // a goroutine is
	at      time.Time
	timer   *time.Timer // tells; nil: not later
	newer   *snapshot   // what came before the store has answered
}

// A snapshot is what is unread as the store has it: n up to an offset.
type snapshot struct {
	n    int
	last uint64
}

// maxRecent is how many offsets of others' messages are remembered: of those that may come
// between the store's answer to whoever reads and the time that it is heard of.
const maxRecent = 256

// heard counts a message.
func (p *place) heard(m *handler.Publication) {
	p.mu.Lock()
	if !p.counted || m.Epoch == 0 {
		p.mu.Unlock()
		return
	}
	if p.epoch != 0 && m.Epoch != p.epoch { // offsets may begin again
		p.last, p.recent = 0, nil
	}
	p.epoch = m.Epoch
	if m.Offset <= p.last {
		p.mu.Unlock()
		return
	}
	p.last = m.Offset
	if m.User == p.c.user {
		p.mu.Unlock()
		return
	}
	if len(p.recent) == maxRecent {
		p.recent = append(p.recent[:0], p.recent[maxRecent/2:]...)
	}
	p.recent = append(p.recent, m.Offset)
	if !p.based {
		p.mu.Unlock()
		return
	}
	p.n = min(p.n+1, unreadLimit)
	wait := p.c.chat.o.UnreadInterval - time.Since(p.at)
	if wait > 0 && p.timer == nil {
		p.timer = time.AfterFunc(wait, p.tell)
	}
	p.mu.Unlock()
	if wait <= 0 {
		p.tell()
	}
}

// set begins to count from a snapshot, of which the client was told; or has it told now.
func (p *place) set(s snapshot, tell bool) {
	p.mu.Lock()
	if !p.based && tell { // the store's answer is on its way
		p.newer = &s
		p.mu.Unlock()
		return
	}
	p.told = s.n
	if tell {
		p.told = -1
	}
	if p.newer != nil {
		s, p.newer = *p.newer, nil
	}
	p.based, p.n = true, s.n
	for _, offset := range p.recent {
		if offset > s.last {
			p.n++
		}
	}
	p.n, p.last = min(p.n, unreadLimit), max(p.last, s.last)
	p.mu.Unlock()
	p.tell()
}

// tell tells the client what is unread, if that is not what it was told. While one
// goroutine does, others leave it to that one.
func (p *place) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if p.telling {
		return
	}
	p.telling = true
	for p.counted && p.n != p.told {
		p.told, p.at = p.n, time.Now()
		n := p.n
		p.mu.Unlock()
		p.c.send(unread{"unread", p.name, n})
		p.mu.Lock()
	}
	p.telling = false
}

func (p *place) isCounted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counted
}

// counts has what comes counted from now on, and tells whether it was not.
func (p *place) counts() (began bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if began = !p.counted; began {
		p.counted = true
		p.c.chat.stats.Watched.Add(1)
	}
	return began
}

// uncount has nothing counted any more.
func (p *place) uncount() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counted {
		p.counted = false
		p.c.chat.stats.Watched.Add(-1)
	}
	if p.timer != nil {
		p.timer.Stop()
	}
}

// watch has what is unread in some of the user's rooms counted, and returns what is as the
// store has it. The places are nil where there are too many.
func (c *client) watch(rooms []string) ([]*place, []history.Unread, error) {
	ctx, cancel := context.WithTimeout(c.s.Context(), patience)
	defer cancel()
	places, topics := make([]*place, len(rooms)), make([]string, len(rooms))
	for i, room := range rooms {
		topics[i] = c.chat.topic(room)
		p, err := c.add(room, c.chat.o.WatchLimit)
		if err != nil {
			c.chat.stats.Unwatched.Add(1)
			continue
		}
		p.counts()
		if err := c.chat.log.Subscribe(ctx, p.topic, p.topic, p); err != nil {
			return nil, nil, err
		}
		places[i] = p
	}
	found, err := c.unread(ctx, topics...)
	return places, found, err
}

func (c *client) unread(ctx context.Context, topics ...string) (found []history.Unread, err error) {
	err = c.chat.log.Ask(ctx, func(ctx context.Context, s history.Store) (err error) {
		found, err = s.Unread(ctx, c.user, topics, unreadLimit)
		return err
	})
	return found, err
}

// list sends a page of the user's rooms, whose counts are kept up to date from then on.
func (c *client) list(w welcome, after string) error {
	limit := c.chat.o.PageLimit
	var topics []string
	err := c.chat.log.Ask(c.s.Context(), func(ctx context.Context, s history.Store) (err error) {
		topics, err = s.RoomsOf(ctx, c.user, c.chat.topic(after), limit+1)
		return err
	})
	if err != nil {
		return err
	}
	var rooms []string
	for _, topic := range topics {
		if !strings.HasPrefix(topic, c.chat.topic("")) {
			break
		}
		rooms = append(rooms, c.chat.room(topic))
	}
	if w.More = len(rooms) > limit; w.More {
		rooms = rooms[:limit]
	}
	places, found, err := c.watch(rooms)
	if err != nil {
		return err
	}
	w.Rooms = make([]roomCount, len(rooms))
	for i, room := range rooms {
		w.Rooms[i] = roomCount{room, found[i].Count}
	}
	c.send(w)
	for i, p := range places {
		if p != nil {
			p.set(snapshot{found[i].Count, found[i].Last}, false)
		}
	}
	return nil
}

// register has the client be one of the members of a room that it joins, where it may be, and
// what is unread there counted.
func (c *client) register(p *place, r *room) error {
	if !r.named(c.user) {
		err := c.chat.log.Ask(c.s.Context(), func(ctx context.Context, s history.Store) error {
			return s.AddMember(ctx, p.topic, c.user, c.chat.o.MemberLimit)
		})
		if errors.Is(err, history.ErrMembers) {
			c.chat.stats.Unnamed.Add(1)
			return nil
		}
		if err != nil {
			return err
		}
		defer c.chat.tellNew(c.s.Context(), p.name, c.user)
	}
	if !p.counts() {
		return nil
	}
	found, err := c.unread(c.s.Context(), p.topic)
	if err == nil {
		p.set(snapshot{found[0].Count, found[0].Last}, false)
	}
	return err
}

// read has the user have read all up to a message, and the user's sessions be told.
func (c *client) read(r *request) error {
	at, err := position(r.Offset)
	if err != nil {
		return err
	}
	topic, err := c.reach(rules.Read, r.Room)
	if err != nil {
		return err
	}
	err = c.chat.log.Ask(c.s.Context(), func(ctx context.Context, s history.Store) error {
		found, err := s.Topic(ctx, topic)
		if err != nil {
			return err
		}
		if at.Epoch != found.Epoch || at.Offset > found.Last {
			return refuse(BadOffset, "the offset is none of the room")
		}
		_, err = s.MarkRead(ctx, topic, c.user, at.Offset)
		return err
	})
	if err != nil {
		return err
	}
	c.chat.stats.Read.Add(1)
	found, err := c.unread(c.s.Context(), topic)
	if err != nil {
		return err
	}
	return c.chat.hub.PublishTo(c.s.Context(), &handler.Publication{
		ID: readRoom + r.Room, Epoch: at.Epoch, Offset: found[0].Last, Text: encode(unread{"unread", r.Room, found[0].Count}),
	}, c.chat.personal(c.user))
}

// What the ID of a publication on a user's own topic begins with, before the name of a room.
const (
	newRoom  = "+" // the user has become a member
	readRoom = "=" // Text is what is unread now, up to Offset
)

// An inbox is a client as a Subscriber of what its user's sessions are told.
type inbox client

// Receive has a room that is new watched, and sends what is unread of one that is not.
func (i *inbox) Receive(m *handler.Publication) {
	c := (*client)(i)
	if room, ok := strings.CutPrefix(m.ID, newRoom); ok {
		if c.place(room) == nil {
			c.later(strings.Clone(room))
		}
		return
	}
	p := c.place(strings.TrimPrefix(m.ID, readRoom))
	switch {
	case p == nil || !p.isCounted():
		if c.isWelcome() {
			c.s.Send(m.Text)
		}
	default:
		var now unread
		if json.Unmarshal(m.Text, &now) == nil {
			p.set(snapshot{now.Count, m.Offset}, true)
		}
	}
}

// later has a goroutine watch a room, since a Subscriber must not wait.
func (c *client) later(room string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.fresh) >= c.chat.o.WatchLimit {
		c.chat.stats.Unwatched.Add(1)
		return
	}
	c.fresh = append(c.fresh, room)
	c.watchFresh()
}

// watchFresh starts that goroutine, unless there is one or the client is not welcome yet.
// c.mu is held.
func (c *client) watchFresh() {
	if c.adding || !c.welcome || c.closed || len(c.fresh) == 0 {
		return
	}
	c.adding = true
	c.tasks.Go(func() { // ends when all is done, at the latest with the session
		for room, ok := c.nextFresh(); ok; room, ok = c.nextFresh() {
			places, found, err := c.watch([]string{room})
			if err == nil && places[0] != nil {
				c.send(unread{"unread", room, found[0].Count})
				places[0].set(snapshot{found[0].Count, found[0].Last}, false)
			}
		}
	})
}

func (c *client) nextFresh() (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.adding = len(c.fresh) > 0; !c.adding {
		return "", false
	}
	room := c.fresh[0]
	c.fresh = c.fresh[1:]
	return room, true
}

// isWelcome tells whether the client has been welcomed.
func (c *client) isWelcome() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}
