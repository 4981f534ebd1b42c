package stomp

import (
	"context"
	"errors"
	"strings"
	"sync"

	"switchback/handler/stomp/frame"
)

// headerLists are memory for the headers of messages.
var headerLists = sync.Pool{New: func() any { return new(frame.Headers) }}

func freeHeaders(h *frame.Headers) {
	clear(*h)
	*h = (*h)[:0]
	headerLists.Put(h)
}

// appendForwarded appends the headers that a message keeps of its SEND: all but
// those that were for the broker, however a peer may read their names. A front-end may
// send a token with every frame, which is nobody else's to have.
func appendForwarded(dst, h frame.Headers, tokenHeader string) frame.Headers {
	for _, e := range h {
		name := frame.Bare(e.Name)
		switch strings.ToLower(name) {
		case "destination", "receipt", "transaction", "login", "passcode", "authorization":
			continue
		}
		if !frame.Delivered(e.Name) && (tokenHeader == "" || !strings.EqualFold(name, tokenHeader)) {
			dst = append(dst, e)
		}
	}
	return dst
}

// sendMessage answers SEND.
func (c *conn) sendMessage(f *frame.Frame) error {
	b := c.broker
	if err := c.checkRate(); err != nil {
		return err
	}
	destination := f.Headers.Value("destination")
	if destination == "" {
		return c.drop(f, "Missing header 'destination'")
	}
	if err := c.permit(f.Command, destination); err != nil {
		return err
	}
	if path, ok := b.appPath(destination); ok {
		return c.call(f, destination, path)
	}
	h := headerLists.Get().(*frame.Headers)
	defer freeHeaders(h)
	*h = append(*h, frame.Header{Name: "destination", Value: destination})
	*h = appendForwarded(*h, f.Headers, b.options.TokenHeader)
	err := b.send(c.session.Context(), c, destination, *h, f.Body)
	if errors.Is(err, ErrDestination) {
		return c.drop(f, "Unknown destination: "+destination)
	}
	return c.refusedMessage(destination, err)
}

// refusedMessage is the Error for a message that could not be sent.
func (c *conn) refusedMessage(destination string, err error) error {
	_, known := errors.AsType[*Error](err)
	switch {
	case err == nil, known:
		return err
	case errors.Is(err, ErrQueueFull):
		return &Error{Message: "Queue is full: " + destination, Err: err, counter: &c.broker.stats.QueueLimit}
	case errors.Is(err, ErrMemory):
		return c.outOfMemory()
	case isHistory(err):
		return c.notStored(destination, err)
	}
	return notAvailable(err)
}

// send sends a message to a destination of any kind but the application's. The
// first of its headers is the destination as its receivers see it. from is the
// session that sends it, or nil.
func (b *Broker) send(ctx context.Context, from *conn, destination string, h frame.Headers, body []byte) error {
	if rest, id, ok := b.cutSession(destination); ok && from != nil {
		if id != from.client.ID {
			return forbidden(destination)
		}
		return b.sendToUser(ctx, from, sessionDestination(id, rest), h, body)
	}
	if b.isQueue(destination) {
		return b.queues.send(destination, h, body)
	}
	to, user := b.addressee(from, destination)
	if b.isTopic(destination) {
		if err := b.publish(ctx, from, topicDestination(destination), h, body); err != nil || !user {
			return err
		}
	}
	if !user {
		return ErrDestination
	}
	return b.sendToUser(ctx, from, to, h, body)
}

// addressee returns whom a destination with the user prefix stands for:
// /user/bob/queue/x for bob. A client may name its own session in place of a user.
func (b *Broker) addressee(from *conn, destination string) (destinationOf, bool) {
	rest, _ := b.cutUser(destination)
	rest = strings.TrimPrefix(rest, "/")
	i := strings.IndexByte(rest, '/')
	if i <= 0 || i+1 == len(rest) {
		return destinationOf{}, false
	}
	name := strings.ReplaceAll(rest[:i], "%2F", "/")
	if from != nil && name == from.client.ID {
		return sessionDestination(name, rest[i:]), true
	}
	return userDestination(name, rest[i:]), true
}

// sendToUser sends a message to the sessions of a user, or to one session. They
// see the destination that they have subscribed to.
func (b *Broker) sendToUser(ctx context.Context, from *conn, to destinationOf, h frame.Headers, body []byte) error {
	h[0].Value = b.options.UserPrefix + to.destination
	return b.publish(ctx, from, to, h, body)
}
