package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/presence"
)

// A room is what is kept of one.
type room struct {
	attributes
	members []string // in the order of their bytes
}

// attributes are what a store keeps for us.
type attributes struct {
	Open bool `json:"open"` // not for its members alone
}

// has tells whether a user may know of the room.
func (r *room) has(user string) bool { return r.Open || r.named(user) }

// named tells whether a user is one of its members.
func (r *room) named(user string) bool {
	_, is := slices.BinarySearch(r.members, user)
	return is
}

func unknownRoom() error { return refuse(UnknownRoom, "there is no such room") }

// find returns a room, or that there is none for a user.
func (c *Chat) find(ctx context.Context, name, user string) (*room, error) {
	var found history.Room
	err := c.log.Ask(ctx, func(ctx context.Context, s history.Store) (err error) {
		found, err = s.Room(ctx, c.topic(name))
		return err
	})
	if errors.Is(err, history.ErrNoTopic) {
		return nil, unknownRoom()
	}
	if err != nil {
		return nil, err
	}
	r := &room{members: found.Members}
	if err := json.Unmarshal(found.Attributes, &r.attributes); err != nil {
		return nil, fmt.Errorf("chat: room %s: %w", name, err)
	}
	if !r.has(user) {
		return nil, unknownRoom()
	}
	return r, nil
}

// make makes a room, or returns history.ErrExists. Its members, who are sorted, are told.
func (c *Chat) make(ctx context.Context, name string, r *room) error {
	kept, err := json.Marshal(r.attributes)
	if err != nil {
		return err
	}
	err = c.log.Ask(ctx, func(ctx context.Context, s history.Store) error {
		return s.MakeRoom(ctx, history.Room{Topic: c.topic(name), Attributes: kept, Members: r.members})
	})
	if err != nil {
		return err
	}
	c.stats.Created.Add(1)
	for _, user := range r.members {
		c.tellNew(ctx, name, user)
	}
	return nil
}

// tellNew tells a user's sessions of a room that is new to the user. Where that fails they
// find it when they come.
func (c *Chat) tellNew(ctx context.Context, name, user string) {
	c.hub.PublishTo(ctx, &handler.Publication{ID: newRoom + name}, c.personal(user))
}

// The name of a room of two begins so.
const twoPrefix = "@"

var twoEscapes = strings.NewReplacer("%", "%25", ",", "%2C", "/", "%2F")

// nameOfTwo is the name of the room of two users, who are sorted.
func nameOfTwo(of []string) string {
	return twoPrefix + twoEscapes.Replace(of[0]) + "," + twoEscapes.Replace(of[1])
}

// present are those who are in a room, after a name, and whether there are more.
func (c *Chat) present(ctx context.Context, topic, after string) (names []string, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	limit := 10 * c.o.PageLimit
	if names, err = c.presence.Users(ctx, topic, after, limit+1); err != nil {
		return nil, false, err
	}
	if more = len(names) > limit; more {
		names = names[:limit]
	}
	if names == nil {
		names = []string{} // which JSON has as []
	}
	return names, more, nil
}

// What the ID of a publication on a topic of events says of it; the user is its User.
const (
	cameID   = "online"
	wentID   = "offline"
	typingOf = "typing " // and the session that is
)

// changed tells those in a room on this node that somebody has come or gone: as presence has
// it, which is the node's.
func (c *Chat) changed(change presence.Change) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := &handler.Publication{ID: wentID, User: change.User}
	if change.Online {
		p.ID = cameID
	}
	p.Text = encode(online{"presence", c.room(change.Topic), change.User, change.Online})
	if room, err := c.hub.Reserve(ctx, p); err == nil {
		c.hub.DeliverHere(p, eventsOf(change.Topic))
		room.Release()
	}
}
