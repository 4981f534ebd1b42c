package stomp

import (
	"context"
	"strings"
)

// A Messenger sends messages as the server. A [Broker] is one; what only sends
// should ask for no more than this.
//
// A payload is a string, which goes as text, bytes, which go as octets, a
// [Message], which has headers of its own, or anything else, which goes as JSON: a
// nil slice as [], a nil map as {}. A nil payload is an empty body. Slices and maps
// within are encoding/json's, which writes null for those that are nil. The payload is
// the caller's again when the call has returned.
type Messenger interface {
	// Send sends a message to a destination: /topic/x, /queue/x, /user/bob/x.
	Send(ctx context.Context, destination string, payload any) error

	// SendToUser sends a message to all sessions of a user, on any node, that
	// have subscribed to a destination: SUBSCRIBE /user/queue/x is to
	// "/queue/x". It returns nil where there are none: nobody keeps the message
	// for a user who comes later, as in Spring, unless Options.History does.
	SendToUser(ctx context.Context, user, destination string, payload any) error
}

// Send sends a message to a destination, see [Messenger]. It returns ErrDestination for
// one of no prefix of Topics, Queues or UserPrefix, ErrQueueFull or ErrMemory where a queue
// does not take it, those of package history where the message is to be kept and is not,
// and the engine's errors. At the limit of package memory it waits as
// handler.Hub.PublishTo does.
func (b *Broker) Send(ctx context.Context, destination string, payload any) error {
	h, body, err := encode(payload)
	if err != nil {
		return err
	}
	h[0].Value = destination
	return b.send(ctx, nil, destination, h, body)
}

// Sends tells whether Send knows where messages to a destination go. Where it is false Send
// returns ErrDestination.
func (b *Broker) Sends(destination string) bool {
	_, user := b.addressee(nil, destination)
	return user || b.isQueue(destination) || b.isTopic(destination)
}

// SendsBelow tells whether Sends is true of any destination that begins with front and is
// longer.
func (b *Broker) SendsBelow(front string) bool {
	return b.Sends(front+"x") || b.prefixes.maybe(front) || strings.HasPrefix(b.options.UserPrefix, front)
}

// SendToUser sends a message to the sessions of a user, see [Messenger].
func (b *Broker) SendToUser(ctx context.Context, user, destination string, payload any) error {
	return b.Send(ctx, b.userPath(user)+rooted(destination), payload)
}

// userPath is what the destinations of a user begin with.
func (b *Broker) userPath(user string) string {
	return b.options.UserPrefix + "/" + strings.ReplaceAll(user, "/", "%2F")
}

// SendToSession sends a message to one session, on any node, that has subscribed
// to a destination of its user. It returns nil where there is none: the session has
// gone, or has not subscribed.
func (b *Broker) SendToSession(ctx context.Context, id, destination string, payload any) error {
	h, body, err := encode(payload)
	if err != nil {
		return err
	}
	return b.sendToUser(ctx, nil, sessionDestination(id, rooted(destination)), h, body)
}

func rooted(destination string) string {
	if strings.HasPrefix(destination, "/") {
		return destination
	}
	return "/" + destination
}
