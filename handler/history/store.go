package history

import (
	"context"
	"time"
)

// A Store keeps the entries of topics. Its methods may be called from any goroutine, and
// wait no longer than ctx allows. What they return is the caller's. Texts and data may hold
// any byte; where a name of more than MaxName bytes, or an empty one, is to be stored,
// ErrName is returned. An error that wraps ErrUnavailable is of a store that cannot be asked
// now, and that heals by itself: the caller may try again. It is also that of a closed one.
type Store interface {
	// Append stores a batch, in its order, all or nothing, and durably: when it returns,
	// neither the end of the process nor that of the machine takes them back. It makes
	// the topics that are not there, with a random epoch.
	//
	// An entry that has an Offset already, over the last of its topic, keeps it: see
	// Open; one that is not over it is refused with ErrOffset. After an error that wraps
	// ErrUnavailable, or is that of ctx, it is not known whether the batch is stored; an
	// entry with an ID may be given again. After an error the batch is as it was.
	Append(ctx context.Context, batch []*Append) error

	// Open returns a topic, which it makes if it is not there. With fast, the caller
	// from now on gives the offsets itself and stores the entries later: the topic is
	// marked until Settle, and who finds it marked by a process before gives it
	// another epoch.
	Open(ctx context.Context, topic string, fast bool) (Topic, error)

	// Renew gives a topic another epoch, which it returns: what a fast topic has delivered
	// could not be stored, so that positions of the epoch before lead nowhere. Its entries
	// and its last offset stay.
	Renew(ctx context.Context, topic string) (Topic, error)

	// Settle takes away the marks that Open has made, once all is stored.
	Settle(ctx context.Context) error

	// Topic returns what is known of a topic, or ErrNoTopic.
	Topic(ctx context.Context, topic string) (Topic, error)

	// Topics are those whose names come after one, in the order of their bytes, at most
	// limit of them.
	Topics(ctx context.Context, after string, limit int) ([]Topic, error)

	// Read returns entries of a topic; none where there is no such topic.
	Read(ctx context.Context, topic string, r Range) ([]Entry, error)

	// Trim removes the oldest entries of a topic that are more than is to be kept, and
	// returns what it is then, or ErrNoTopic. Offsets are not given again; the ID of an
	// entry that is removed may be.
	Trim(ctx context.Context, topic string, k Keep, now time.Time) (Topic, error)

	// Remove removes a topic with its entries, marks and members. It does nothing where
	// there is none.
	Remove(ctx context.Context, topic string) error

	// MarkRead has a user have read a topic up to an offset, and returns how far the user
	// has: a mark does not go back, and not beyond the topic's last. It returns ErrNoTopic
	// for a topic that is not there.
	MarkRead(ctx context.Context, topic, user string, offset uint64) (uint64, error)

	// Unread counts, for each of the topics and in their order, what the user has not
	// read, up to limit. Of a topic that is not there nothing is unread. It looks at 100 times
	// limit entries at most: what others published behind so many of the user's own is counted
	// once the user has read on.
	Unread(ctx context.Context, user string, topics []string, limit int) ([]Unread, error)

	// MakeRoom makes a room, and the topic where it is not there, or returns ErrExists. Its
	// members have read all that is there.
	MakeRoom(ctx context.Context, r Room) error

	// Room returns a room, with its members in the order of their bytes, or ErrNoTopic.
	Room(ctx context.Context, topic string) (Room, error)

	// AddMember and RemoveMember do nothing where that is so already. Who is added has
	// read all that is there; what who is removed has read is forgotten. They return
	// ErrNoTopic where there is no such room, and ErrMembers where it has most members.
	AddMember(ctx context.Context, topic, user string, most int) error
	RemoveMember(ctx context.Context, topic, user string) error

	// RoomsOf are the topics of the rooms of which a user is a member, after a name, in
	// the order of their bytes.
	RoomsOf(ctx context.Context, user, after string, limit int) ([]string, error)

	// Size is how many bytes the store takes.
	Size(ctx context.Context) (int64, error)

	// Close ends the store: all that is called afterwards returns ErrUnavailable, but for
	// Close itself, which does nothing then.
	Close() error
}

// A Dropper is a Store of bounded size: where that is reached the oldest entries go, whatever
// is to be kept. Dropped is how many have gone so far.
type Dropper interface {
	Dropped() uint64
}
