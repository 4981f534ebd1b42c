package presence

import (
	"context"
	"errors"
)

// A Presence knows who is in which topic. Its methods may be called from any goroutine. One
// for several nodes waits no longer than ctx allows; an error that is none of this package
// is of one that cannot be asked now.
//
// Its Changed function, which whoever makes it gives it, is called when a user has come to a
// topic with a first session, and when the last has left: for each user and topic in turn, with
// no lock held, on one goroutine at a time for a topic. It is called once, on one of the nodes. Of
// a user who goes and comes back before that could be told nothing is told.
type Presence interface {
	// Join has a session of a user be in a topic. To join twice is to join once.
	Join(ctx context.Context, topic, user, session string) error

	// Leave has a session be there no more. It does nothing where it is not.
	Leave(ctx context.Context, topic, user, session string) error

	// Users are those who are in a topic, after a name, in the order of their bytes.
	Users(ctx context.Context, topic, after string, limit int) ([]string, error)
}

// A Change is that somebody has come to a topic, or has gone.
type Change struct {
	Topic, User string
	Online      bool // has come
}

var (
	// ErrTopics is the error for one topic more than there may be.
	ErrTopics = errors.New("presence: as many topics have somebody in them as may")

	// ErrUsers is the error for one user more than may be in a topic.
	ErrUsers = errors.New("presence: as many users are in the topic as may be")
)
