package chat

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/presence"
	"switchback/handler/rules"
	"switchback/session"
	"switchback/session/option"
)

// A Protocol is what is said between a client and a Chat.
type Protocol uint8

const (
	JSON Protocol = iota // see the package

	// Text is one room of texts as they are, whose topic is Options.Path. A client is first
	// sent the last HistoryLast of them; what it sends is stored, and goes to the others.
	// Who it is need not be known, and nothing is counted as unread.
	Text
)

// Options are the settings of a Chat. A zero number or duration stands for its default.
type Options struct {
	// Log keeps what is said, and delivers it. It has to keep the topics of the rooms, which are
	// Path, / and a room's name; of Text it is Path. There is no default.
	Log *history.Log

	// Path is that of the endpoint. Of Chats with one Log none is at or below that of
	// another: rooms would be those of both. There is no default.
	Path string

	// Rules say who may do what. The default is that everybody may do everything.
	Rules *rules.List

	// Protocol is what clients speak. The default is JSON.
	Protocol Protocol

	// Presence makes what knows who is in a room. The default is a presence.Local, with
	// RoomUserLimit.
	Presence func(changed func(presence.Change)) (presence.Presence, error)

	// TextLimit is how many bytes a message has at most. The default is 4 KiB.
	TextLimit int `default:"4KiB" unit:"bytes"`

	// NameLimit is how many bytes the name of a room or of a user has at most. The default
	// is 128.
	NameLimit int `default:"128" unit:"bytes"`

	// IdentifierLimit is how many bytes a client's id of a message has at most. The default is 64.
	// With NameLimit it is at most 254.
	IdentifierLimit int `default:"64" unit:"bytes"`

	// JoinLimit is how many rooms a session may be in at once. The default is 100.
	JoinLimit int `default:"100"`

	// RoomLimit is how many rooms a user may be a member of and still make another. The
	// default is 1,000.
	RoomLimit int `default:"1000"`

	// RoomUserLimit is how many users may be in a room at once. The default is 10,000.
	RoomUserLimit int `default:"10000"`

	// MemberLimit is how many members a room has at most: of an open room, who comes when
	// there are as many is none of them, and finds nothing unread. The default is 1,000.
	MemberLimit int `default:"1000"`

	// WatchLimit is of how many rooms in which it is not a session is told what is unread. The
	// default is 1,000.
	WatchLimit int `default:"1000"`

	// PageLimit is how many messages or rooms one answer has at most, of 256 KiB together. The
	// default is 100. Members it has ten times as many.
	PageLimit int `default:"100"`

	// HistoryLast is how many messages a client of Text is sent first. The default is 50.
	HistoryLast int `default:"50"`

	// TypingInterval is how often a session may have others told that its user types, in a
	// room, between two of its messages. The default is 1 second. More is dropped.
	TypingInterval time.Duration `default:"1s"`

	// UnreadInterval is how often a session is told that more is unread in a room; that
	// less is it is told at once. The default is 500 milliseconds.
	UnreadInterval time.Duration `default:"500ms"`
}

// Stats are the counters of a Chat.
type Stats struct {
	Joined  atomic.Int64 `metric:"gauge"` // sessions that are in a room, over all rooms
	Watched atomic.Int64 `metric:"gauge"` // rooms of which sessions are told what is unread, over all sessions

	Created    atomic.Int64 // rooms made
	Messages   atomic.Int64 // messages stored
	Duplicates atomic.Int64 // messages with an id that was stored already
	Read       atomic.Int64 // marks of what is read
	Typing     atomic.Int64 // times that others were told that somebody types
	Quiet      atomic.Int64 // times that they were not told, so soon after the last
	Unwatched  atomic.Int64 // rooms of which a session is not told what is unread, at one of the limits
	Unnamed    atomic.Int64 // users that are no members of an open room, which has as many as may be

	Bad         atomic.Int64 // requests that are none: bad_request, bad_offset
	TooLong     atomic.Int64 // requests with a text or a name that is too long
	Unknown     atomic.Int64 // requests for a room that is not there for the user: unknown_room, not_joined
	Forbidden   atomic.Int64 // requests and sessions that the rules refuse
	Limited     atomic.Int64 // requests refused at a limit
	Unavailable atomic.Int64 // requests that could not be answered, since the store could not
}

// A Chat is an Opener of sessions that talk in rooms. Its methods may be called from any
// goroutine.
type Chat struct {
	o        Options
	log      *history.Log
	hub      *handler.Hub
	presence presence.Presence
	stats    Stats
}

var _ session.Opener = (*Chat)(nil)

// replyLimit is how many bytes of messages one answer has at most.
const replyLimit = 256 << 10

// unreadLimit is how far is counted what is unread.
const unreadLimit = 1000

// patience is how long is waited for the hub and for who knows who is there.
const patience = 5 * time.Second

// New returns a Chat.
func New(o Options) (*Chat, error) {
	if name, value := option.Negative(o); name != "" {
		return nil, fmt.Errorf("chat: %s is %d; it must not be negative", name, value)
	}
	option.SetDefaults(&o)
	switch {
	case o.Log == nil:
		return nil, errors.New("chat: Log is nil; it must keep what is said")
	case !strings.HasPrefix(o.Path, "/"):
		return nil, fmt.Errorf("chat: Path is %q; it must be that of the endpoint, such as /chat", o.Path)
	case o.NameLimit+1+o.IdentifierLimit > handler.MaxID:
		return nil, fmt.Errorf("chat: NameLimit and IdentifierLimit are %d and %d; together they must be at most %d", o.NameLimit, o.IdentifierLimit, handler.MaxID-1)
	}
	o.Path = strings.TrimSuffix(o.Path, "/")
	c := &Chat{o: o, log: o.Log, hub: o.Log.Hub()}
	topic := c.topic("room")
	if o.Protocol == Text {
		topic = c.onlyRoom()
	}
	if !c.log.Keeps(topic) {
		return nil, fmt.Errorf("chat: the history does not keep %s; it needs a policy for it", topic)
	}
	if o.Presence == nil {
		o.Presence = func(changed func(presence.Change)) (presence.Presence, error) {
			return presence.NewLocal(presence.Options{Changed: changed, UserLimit: o.RoomUserLimit})
		}
	}
	var err error
	c.presence, err = o.Presence(c.changed)
	return c, err
}

// Stats are the counters, which are the Chat's to change.
func (c *Chat) Stats() *Stats { return &c.stats }

// Open returns the handler of a session.
func (c *Chat) Open(*http.Request) (session.Handler, error) {
	if c.o.Protocol == Text {
		return &listener{chat: c}, nil
	}
	return &client{chat: c, places: make(map[string]*place)}, nil
}

// admit tells who has opened a session, or why it ends at once.
func (c *Chat) admit(s session.Session) (who *session.Identity, err error) {
	who = s.Peer().Identity
	if v := c.o.Rules.Check(who, rules.Connect, ""); !v.Allowed {
		c.stats.Forbidden.Add(1)
		return nil, &session.CloseError{Code: session.CodePolicy, Reason: "Access denied", Err: v.Err(rules.Connect, "")}
	}
	return who, nil
}

// topic is where a room is, in the history, on the Hub and to the rules.
func (c *Chat) topic(room string) string { return c.o.Path + "/" + room }

// room is the name of the room that a topic is.
func (c *Chat) room(topic string) string { return topic[len(c.o.Path)+1:] }

// On the Hub there are two further kinds of topics, which are not kept. No destination of
// STOMP begins as they do.

// eventsOf is where who is in a room hears of comings, goings and typing.
func eventsOf(topic string) string { return "chat-events:" + topic }

// personal is where all sessions of a user hear of what is unread.
func (c *Chat) personal(user string) string { return "chat-user:" + c.o.Path + "/" + user }
