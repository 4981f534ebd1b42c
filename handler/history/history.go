package history

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// A Position is a place in the history of a topic: what has come up to and with an offset.
// Clients are given it as a text, EPOCH/OFFSET, and give it back: they need not know more. The
// zero Position, 0, is before the first entry of a topic, whatever its epoch: who comes back
// from there is not told that the topic has begun anew meanwhile.
type Position struct {
	// Epoch is of the topic: a random number that another takes the place of where
	// offsets may have been given twice or are not known any more.
	Epoch uint64

	// Offset is the number of an entry: 1 for the first of a topic, and one more for each.
	Offset uint64
}

// beginning is the text of the zero Position.
const beginning = "0"

// String is EPOCH/OFFSET, the epoch in base 36, or 0.
func (p Position) String() string {
	if p == (Position{}) {
		return beginning
	}
	return strconv.FormatUint(p.Epoch, 36) + "/" + strconv.FormatUint(p.Offset, 10)
}

// ErrPosition is the error of a text that is no position.
var ErrPosition = errors.New("history: a position is 0, or EPOCH/OFFSET as a message had it")

// ParsePosition reads what String has written.
func ParsePosition(text string) (Position, error) {
	if text == beginning {
		return Position{}, nil
	}
	epoch, offset, _ := strings.Cut(text, "/")
	e, err := strconv.ParseUint(epoch, 36, 64)
	if err != nil || e == 0 {
		return Position{}, ErrPosition
	}
	o, err := strconv.ParseUint(offset, 10, 64)
	p := Position{e, o}
	if err != nil || p.String() != text {
		return Position{}, ErrPosition
	}
	return p, nil
}

// An Entry is one publication as it is kept.
type Entry struct {
	Offset uint64    // its number in the topic, from 1
	At     time.Time // when it was published, in milliseconds, UTC
	ID     string    // of who published it, unique in its topic; empty: none
	User   string    // who published it; empty: nobody that is known
	Data   []byte    // what is published: opaque here
}

// A Topic is what a store knows of one.
type Topic struct {
	Name  string
	Epoch uint64 // not 0
	First uint64 // the first that is kept; Last+1: none is
	Last  uint64 // the last that was ever given; 0: none
	Count int64  // of the entries that are kept
	Bytes int64  // of their data
}

// Has tells whether all that came after a position is kept: then who was there may go on.
func (t *Topic) Has(p Position) bool {
	return p.Epoch == t.Epoch && p.Offset+1 >= t.First && p.Offset <= t.Last
}

// Position is that of the last entry.
func (t *Topic) Position() Position { return Position{t.Epoch, t.Last} }

// An Append is an entry on its way into a store.
type Append struct {
	Topic string
	Entry Entry // all but Offset, which the store sets where it is 0

	// Set by the store. A Duplicate has an ID that its topic has already: it is not
	// stored again, and Entry's Offset and At are those of the one that is there. The
	// Offset that it came with, if any, is given all the same: no other entry gets it.
	Epoch     uint64
	Duplicate bool
}

// A Range is which entries are read: those after an offset and before another, in rising
// order.
type Range struct {
	After  uint64 // 0: from the first
	Before uint64 // 0: to the end
	Newest bool   // where there are more than that: the last of them, not the first
	Limit  int    // entries; from 1
	Bytes  int64  // of their data, but for the first that is read; 0: no limit
}

// Keep is how much of a topic is kept: at most so many entries, for so long, and so many
// bytes of their data. 0 is no limit.
type Keep struct {
	Count int
	Age   time.Duration
	Bytes int64
}

// Unread is how much of a topic a user has not read.
type Unread struct {
	Topic string
	Read  uint64 // the offset up to which the user has read
	Last  uint64 // the offset of the topic's last entry
	Count int    // of entries after it that are not the user's own
}

// A Room is a topic that has members.
type Room struct {
	Topic      string
	Attributes []byte   // of who made it; opaque here
	Members    []string // names of users; a store returns them in the order of their bytes
}

var (
	// ErrNoTopic is the error for a topic or a room that a store does not have.
	ErrNoTopic = errors.New("history: there is no such topic")

	// ErrMembers is the error for one more member of a room that has as many as may be.
	ErrMembers = errors.New("history: the room has as many members as may be")

	// ErrExists is the error for a room that is there already.
	ErrExists = errors.New("history: there is such a room already")

	// ErrUnavailable is the error, or is wrapped by the error, of a store that cannot be
	// asked now: it says nothing of what was asked.
	ErrUnavailable = errors.New("history: the store is not available")

	// ErrFull is the error of a store that is bounded and takes no more topics, rooms,
	// members and marks of what is read.
	ErrFull = errors.New("history: the store is full: it needs a higher limit, or topics removed")

	// ErrOffset is the error for an entry whose offset is not over the last of its topic.
	ErrOffset = errors.New("history: an offset that is not over the topic's last")

	// ErrName is the error for a name that a store does not take.
	ErrName = errors.New("history: a topic and a user have 1 to 1024 bytes, an ID at most 1024")
)

// MaxName is how long the names of topics and users, and IDs, may be. It is what an index of
// PostgreSQL can hold two of.
const MaxName = 1024
