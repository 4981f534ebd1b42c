package stomp

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"switchback/handler/stomp/antpath"
	"switchback/handler/stomp/frame"
)

// A Reply says where a function's replies go. {name} in a destination stands for
// the request's variable.
type Reply struct {
	To     []string // destinations of any kind but the application's: "/topic/rooms/{room}"
	ToUser []string // destinations of the client's user: "/queue/answers"

	// Session has replies go to the client's session alone: those of ToUser,
	// not to all of its user. Without ToUser they go to "/queue" and the path:
	// from /app/hello to what the client gets by SUBSCRIBE /user/queue/hello.
	Session bool
}

func (r *Reply) isZero() bool { return !r.Session && !r.hasDestination() }

func (r *Reply) hasDestination() bool { return len(r.To) > 0 || len(r.ToUser) > 0 }

// destinations returns where a reply to a request goes.
func (r *Reply) destinations(q *Request) (to, toUser []string, err error) {
	switch {
	case r.hasDestination():
	case r.Session:
		return nil, []string{"/queue" + rooted(q.Path)}, nil
	default:
		return []string{"/topic" + rooted(q.Path)}, nil, nil
	}
	if to, err = expandAll(r.To, q.lookup); err != nil {
		return nil, nil, err
	}
	toUser, err = expandAll(r.ToUser, q.lookup)
	return to, toUser, err
}

func expandAll(templates []string, value func(name string) (string, bool)) ([]string, error) {
	var all []string
	for _, t := range templates {
		destination, err := expand(t, value)
		if err != nil {
			return nil, err
		}
		all = append(all, destination)
	}
	return all, nil
}

// expand puts the variables' values into a destination.
func expand(template string, value func(name string) (string, bool)) (string, error) {
	var b strings.Builder
	for rest := template; ; {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(after, "}")
		v, known := value(name)
		if !known || !closed {
			return "", fmt.Errorf("stomp: reply to %q: the pattern has no variable {%s}", template, name)
		}
		b.WriteString(v)
		rest = after
	}
}

// checkReply returns what is wrong with a reply to requests of a pattern; nil
// stands for any.
func (b *Broker) checkReply(r Reply, p *antpath.Pattern) error {
	sample := func(name string) (string, bool) { return "x", p == nil || slices.Contains(p.Variables(), name) }
	to, err := expandAll(r.To, sample)
	if err != nil {
		return err
	}
	for i, destination := range to {
		if err := b.checkReplyTo(r.To[i], destination); err != nil {
			return err
		}
	}
	toUser, err := expandAll(r.ToUser, sample)
	switch {
	case err != nil:
		return err
	case slices.Contains(toUser, ""), slices.Contains(toUser, "/"):
		return fmt.Errorf("stomp: reply to a user: a destination must not be empty")
	case slices.ContainsFunc(toUser, b.isUser):
		return fmt.Errorf("stomp: reply to a user: a destination is without %q, which clients put before it", b.options.UserPrefix)
	case r.Session && len(to) > 0 && len(toUser) == 0:
		return fmt.Errorf("stomp: reply to %q: goes to all, though Session is set: name the destination in ToUser", r.To[0])
	}
	return nil
}

// checkReplyTo returns what is wrong with a destination of replies, which is given
// with all its variables expanded, too.
func (b *Broker) checkReplyTo(template, destination string) error {
	if _, ok := b.addressee(nil, destination); ok {
		return b.checkUser(template, destination)
	}
	switch b.prefixes.find(destination).kind {
	case topicPrefix, queuePrefix:
		return nil
	}
	if front, _, ok := strings.Cut(template, "{"); ok && b.prefixes.maybe(front) {
		return nil // a variable decides
	}
	return fmt.Errorf("stomp: reply to %q: the destination must begin with a prefix of Topics, Queues or UserPrefix", template)
}

// checkUser returns an error for a destination of a user that names none, but what
// topics or queues begin with: it is meant for the client's user.
func (b *Broker) checkUser(template, destination string) error {
	rest, _ := b.cutUser(destination)
	p := b.prefixes.find(rest)
	if (p.kind == topicPrefix || p.kind == queuePrefix) && p.text != "/" && within(rest, p.text, b.options.Separator) {
		return fmt.Errorf("stomp: reply to %q: it names no user; for the client's own put %q into ToUser", template, rest)
	}
	return nil
}

// A reply is what a function has answered, as it is sent.
type reply struct {
	headers frame.Headers // the first is for the destination
	body    []byte
}

// newReply encodes what a function has returned; nil is no reply.
func newReply(payload any, err error) (*reply, error) {
	if err != nil || isNil(payload) {
		return nil, err
	}
	h, body, err := encode(payload)
	return &reply{h, body}, err
}

// answer sends a reply to its destinations. Where one does not take it that is logged;
// where memory is the reason the client is told, too.
func (c *conn) answer(r *Request, answer *reply, reply Reply) (err error) {
	lost := func(destination string, failed error) {
		switch {
		case failed == nil:
		case errors.Is(failed, ErrMemory):
			err = c.outOfMemory()
		default:
			c.logFailure(r, fmt.Errorf("%w: %s", failed, destination))
		}
	}
	to, toUser, failed := reply.destinations(r)
	if failed != nil {
		c.logFailure(r, failed)
	}
	for _, destination := range to {
		lost(destination, c.broker.sendReply(c.session.Context(), destination, answer))
	}
	for _, destination := range toUser {
		lost(destination, c.answerUser(rooted(destination), answer, reply.Session))
	}
	return err
}

// answerUser sends a reply to the client's user, or to its session alone.
func (c *conn) answerUser(destination string, answer *reply, alone bool) error {
	if alone || c.client.User() == "" {
		to := sessionDestination(c.client.ID, destination)
		return c.broker.sendToUser(c.session.Context(), nil, to, answer.headers, answer.body)
	}
	return c.broker.sendReply(c.session.Context(), c.broker.userPath(c.client.User())+destination, answer)
}

// sendReply sends a reply to a destination of any kind but the application's.
func (b *Broker) sendReply(ctx context.Context, destination string, answer *reply) error {
	answer.headers[0].Value = destination
	return b.send(ctx, nil, destination, answer.headers, answer.body)
}

// answerDirectly sends a reply as a MESSAGE of a subscription.
func (c *conn) answerDirectly(s *subscription, answer *reply) error {
	h, body := answer.headers, answer.body
	h[0].Value = s.destination
	d := frame.Delivery{Subscription: s.id, MessageID: c.broker.messageID()}
	err := c.deliver(d, h, body, contentOf(h, body))
	if errors.Is(err, ErrMemory) {
		return c.outOfMemory()
	}
	if err == nil {
		c.broker.stats.Messages.Add(1)
	}
	return nil
}

// isNil tells whether a reply is a nil pointer or nil itself.
func isNil(reply any) bool {
	if reply == nil {
		return true
	}
	v := reflect.ValueOf(reply)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
