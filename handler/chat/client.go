package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/rules"
	"switchback/session"
)

// A client is one session. Its requests are answered one after the other, on the session's
// goroutine; what others say comes on theirs.
type client struct {
	chat *Chat
	s    session.Session // since OnOpen
	who  *session.Identity
	user string

	joined int // of the places: the session's goroutine's
	tasks  sync.WaitGroup

	mu      sync.Mutex // guards the rest
	places  map[string]*place
	welcome bool     // the client has been welcomed
	fresh   []string // rooms that are to be watched: see unread.go
	adding  bool     // a goroutine is about that
	closed  bool
}

// OnOpen welcomes the client, with what is unread in its rooms.
func (c *client) OnOpen(s session.Session) error {
	who, err := c.chat.admit(s)
	if err != nil {
		return err
	}
	c.s, c.who, c.user = s, who, s.Peer().User()
	if !c.chat.usable(c.user) {
		return &session.CloseError{Code: session.CodePolicy, Reason: "Who is asking? A name of the user is needed"}
	}
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	if err := c.chat.hub.Subscribe(ctx, c.chat.personal(c.user), (*inbox)(c)); err != nil {
		return err
	}
	if err := c.list(welcome{Type: "welcome", User: c.user}, ""); err != nil {
		c.send(welcome{Type: "welcome", User: c.user, Rooms: []roomCount{}})
		c.fail("", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.welcome = true
	c.watchFresh()
	return nil
}

// OnMessage answers a request.
func (c *client) OnMessage(_ session.Session, text []byte) error {
	r, err := c.chat.decode(text)
	if err == nil {
		err = c.do(&r)
	}
	if err != nil {
		c.fail(r.ID, err)
	}
	return nil
}

func (c *client) do(r *request) error {
	needsRoom := true
	do := c.unknown
	switch r.Type {
	case "join":
		do = c.join
	case "message":
		do = c.message
	case "history":
		do = c.history
	case "read":
		do = c.read
	case "typing":
		do = c.typing
	case "members":
		do = c.members
	case "leave":
		do = c.leave
	case "rooms":
		do, needsRoom = c.rooms, false
	case "create":
		do, needsRoom = c.create, false
	default:
		needsRoom = false
	}
	if needsRoom {
		if err := c.chat.checkName(r.Room); err != nil {
			return err
		}
	}
	return do(r)
}

func (c *client) unknown(*request) error {
	return refuse(BadRequest, "type is create, history, join, leave, members, message, read, rooms or typing")
}

// OnClose has the session be nowhere any more.
func (c *client) OnClose(session.Session, error) {
	if c.s == nil || c.user == "" {
		return
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.tasks.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.chat.hub.Unsubscribe(ctx, c.chat.personal(c.user), (*inbox)(c))
	c.mu.Lock()
	places := c.places
	c.places = nil
	c.mu.Unlock()
	for _, p := range places {
		if p.isJoined() {
			c.exit(p)
		}
		p.forget(ctx)
	}
}

// send sends a reply. Its error is the session's, which has ended.
func (c *client) send(reply any) { c.s.Send(encode(reply)) }

// fail answers a request that is not done.
func (c *client) fail(id string, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		if c.s.Context().Err() != nil {
			return
		}
		r = &refusal{Unavailable, "not now: try again"}
	}
	c.chat.stats.of(r.code).Add(1)
	c.send(failure{"error", r.code, r.text, id})
}

// permit asks the rules.
func (c *client) permit(on rules.Action, topic string) error {
	if !c.chat.o.Rules.Check(c.who, on, topic).Allowed {
		return refuse(Forbidden, "you may not %s here", on)
	}
	return nil
}

// message stores what the client says. Who is in the room gets it before the client has
// the answer.
func (c *client) message(r *request) error {
	switch {
	case r.ID == "":
		return refuse(BadRequest, "a message has an id that its client gives it")
	case r.Text == "":
		return refuse(BadRequest, "a message has a text")
	case len(r.Text) > c.chat.o.TextLimit:
		return refuse(TooLong, "a text has at most %d bytes", c.chat.o.TextLimit)
	}
	topic, err := c.reach(rules.Send, r.Room)
	if err != nil {
		return err
	}
	p := &handler.Publication{ID: stored(r.ID, c.user), User: c.user, Text: []byte(r.Text)}
	at, duplicate, err := c.chat.log.Publish(c.s.Context(), topic, p, topic)
	if err != nil {
		return err
	}
	if duplicate {
		c.chat.stats.Duplicates.Add(1)
	} else {
		c.chat.stats.Messages.Add(1)
	}
	if in := c.place(r.Room); in != nil {
		in.typed = time.Time{} // what is typed next is news to the others
	}
	c.send(ack{"ack", r.ID, r.Room, at.String()})
	return nil
}

// history sends what was said before.
func (c *client) history(r *request) error {
	limit, err := c.chat.limit(r.Limit, 1, 50)
	if err != nil {
		return err
	}
	var before history.Position
	if r.Before != nil {
		if before, err = position(*r.Before); err != nil {
			return err
		}
	}
	topic, err := c.reach(rules.Read, r.Room)
	if err != nil {
		return err
	}
	var found history.Topic
	var entries []history.Entry
	err = c.chat.log.Ask(c.s.Context(), func(ctx context.Context, s history.Store) (err error) {
		if found, err = s.Topic(ctx, topic); err != nil {
			return err
		}
		if r.Before != nil && (before.Epoch != found.Epoch || before.Offset > found.Last+1) {
			return refuse(BadOffset, "the offset is none of the room")
		}
		what := history.Range{Newest: true, Limit: limit, Bytes: replyLimit}
		if r.Before != nil {
			what.Before = max(before.Offset, 1) // 0 is the end to a store
		}
		entries, err = s.Read(ctx, topic, what)
		return err
	})
	if err != nil {
		return err
	}
	reply := past{Type: "history", Room: r.Room, Messages: c.chat.messages(r.Room, found.Epoch, entries)}
	reply.More = len(entries) > 0 && entries[0].Offset > found.First
	c.send(reply)
	return nil
}

// typing tells others in the room that the user types.
func (c *client) typing(r *request) error {
	topic := c.chat.topic(r.Room)
	if err := c.permit(rules.Send, topic); err != nil {
		return err
	}
	p := c.place(r.Room)
	if p == nil || !p.isJoined() {
		return refuse(NotJoined, "join the room first")
	}
	if now := time.Now(); now.Sub(p.typed) < c.chat.o.TypingInterval {
		c.chat.stats.Quiet.Add(1)
		return nil
	} else {
		p.typed = now
	}
	c.chat.stats.Typing.Add(1)
	text := encode(typing{"typing", r.Room, c.user})
	return c.chat.hub.PublishTo(c.s.Context(), &handler.Publication{ID: typingOf + c.s.ID(), User: c.user, Text: text}, eventsOf(topic))
}

// members sends who is in the room, and for whom it is.
func (c *client) members(r *request) error {
	topic := c.chat.topic(r.Room)
	if err := c.permit(rules.Join, topic); err != nil {
		return err
	}
	room, err := c.chat.find(c.s.Context(), r.Room, c.user)
	if err != nil {
		return err
	}
	reply := members{Type: "members", Room: r.Room}
	if !room.Open {
		reply.Named = room.members
	}
	reply.Members, reply.More, err = c.chat.present(c.s.Context(), topic, r.After)
	if err == nil {
		c.send(reply)
	}
	return err
}

// leave has the session be in the room no more.
func (c *client) leave(r *request) error {
	p := c.place(r.Room)
	if p == nil || !p.isJoined() {
		return refuse(NotJoined, "the session is not in the room")
	}
	c.exit(p)
	c.settle(p)
	c.send(about{"left", r.Room})
	return nil
}

// rooms sends more of the client's rooms.
func (c *client) rooms(r *request) error { return c.list(welcome{Type: "rooms"}, r.After) }

// create makes a room.
func (c *client) create(r *request) error {
	name, made := r.Room, &room{attributes{Open: r.Members == nil}, []string{c.user}}
	if r.Members != nil {
		if len(*r.Members) > c.chat.o.MemberLimit {
			return refuse(Limited, "a room has at most %d members", c.chat.o.MemberLimit)
		}
		for _, user := range *r.Members {
			if !c.chat.usable(user) {
				return refuse(BadRequest, "a member is the name of a user, of at most %d bytes, without control characters", c.chat.o.NameLimit)
			}
		}
		made.members = append(made.members, *r.Members...)
		slices.Sort(made.members)
		made.members = slices.Compact(made.members)
	}
	switch {
	case len(made.members) > c.chat.o.MemberLimit:
		return refuse(Limited, "a room has at most %d members", c.chat.o.MemberLimit)
	case name == "" && len(made.members) == 2:
		name = nameOfTwo(made.members)
	case strings.HasPrefix(name, twoPrefix):
		return refuse(BadRequest, "no name begins with %s; for a room of two, leave room out and name the other in members", twoPrefix)
	}
	if err := c.chat.checkName(name); err != nil {
		return err
	}
	if err := c.permit(rules.Create, c.chat.topic(name)); err != nil {
		return err
	}
	p, err := c.add(name, c.chat.o.WatchLimit) // first: it is then not new to this session
	if err == nil {
		defer c.settle(p)
	}
	switch err := c.make(name, made); {
	case errors.Is(err, history.ErrExists) && r.Room != "":
		return refuse(Exists, "there is a room of the name")
	case err != nil && !errors.Is(err, history.ErrExists):
		return err
	}
	c.send(about{"created", name})
	places, found, err := c.watch([]string{name})
	if err == nil && places[0] != nil {
		places[0].set(snapshot{found[0].Count, found[0].Last}, false)
	}
	return nil
}

// make makes a room, or returns history.ErrExists.
func (c *client) make(name string, r *room) error {
	var have []string
	err := c.chat.log.Ask(c.s.Context(), func(ctx context.Context, s history.Store) (err error) {
		have, err = s.RoomsOf(ctx, c.user, "", c.chat.o.RoomLimit)
		return err
	})
	if err == nil && len(have) >= c.chat.o.RoomLimit {
		err = refuse(Limited, "who is a member of %d rooms makes no more", c.chat.o.RoomLimit)
	}
	if err != nil {
		return err
	}
	return c.chat.make(c.s.Context(), name, r)
}
