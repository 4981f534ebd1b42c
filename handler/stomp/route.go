package stomp

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"switchback/handler/stomp/frame"
	"switchback/session"
)

// A Reply says where a function's replies go. {name} in a destination stands for
// the request's variable.
type Reply struct {
	To      []string // destinations: "/topic/rooms/{room}"
	ToUser  []string // destinations of the client's user: "/queue/answers"
	Session bool     // ToUser is the client's session alone, not all of its user
}

func (r *Reply) isZero() bool { return len(r.To) == 0 && len(r.ToUser) == 0 }

// An ErrorFunc answers a request whose function has failed: with a reply, or nil
// for none. It returns the error, or another, where it has no answer.
type ErrorFunc func(ctx context.Context, r *Request, err error) (reply any, rest error)

// A route is a function for the requests whose path a pattern matches.
type route struct {
	pattern *pattern
	handle  HandlerFunc
	reply   Reply
}

// routes are in the order in which they are tried.
type routes struct {
	mu   sync.RWMutex // guards list
	list []*route
}

// failures are the functions for errors, in the order in which they are tried.
type failures struct {
	mu   sync.RWMutex // guards list
	list []failure
}

type failure struct {
	handle ErrorFunc
	reply  Reply
}

// Handle has SENDs to destinations of the application answered by h: those whose
// path, which is the destination without the prefix, matches the pattern. Of
// many that match the most specific is taken. Without destinations replies go to
// "/topic" and the path: from /app/hello to /topic/hello.
//
// Patterns are Ant's; {name} stands for a segment and {name:[0-9]+} for what a
// regular expression matches, see [Request.Variable]. A pattern begins with a
// slash, which it gets where it has none; where Separator is not "/", the path has
// no slash at its front, and a pattern must not have one. Handle panics for a
// pattern that is none, and where one is handled already.
func (b *Broker) Handle(pattern string, h HandlerFunc, reply Reply) {
	b.messages.add(pattern, b.options.Separator, h, reply)
}

// HandleSubscribe has SUBSCRIBEs to destinations of the application answered by
// h, as Handle does it for SENDs. Without destinations the reply is one MESSAGE
// to the subscription. In any case no subscription is left.
func (b *Broker) HandleSubscribe(pattern string, h HandlerFunc, reply Reply) {
	b.requests.add(pattern, b.options.Separator, h, reply)
}

// HandleError has errors and panics of the application's functions answered by h.
// Functions for errors are tried in the order in which they came; what none
// answers is logged. Without destinations the reply goes to "/queue/errors" of
// the client's session, which it gets by SUBSCRIBE /user/queue/errors.
func (b *Broker) HandleError(h ErrorFunc, reply Reply) {
	if reply.isZero() {
		reply = Reply{ToUser: []string{"/queue/errors"}, Session: true}
	}
	b.failures.mu.Lock()
	defer b.failures.mu.Unlock()
	b.failures.list = append(b.failures.list, failure{h, reply})
}

// rootedPattern is a pattern as paths begin: Spring's controllers may leave the
// slash out.
func rootedPattern(text, separator string) string {
	if separator == "/" {
		return rooted(text)
	}
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, separator) {
		panic(fmt.Sprintf("stomp: pattern %q: must not begin with / or %s: no path does, where that is the separator", text, separator))
	}
	return text
}

func (g *routes) add(text, separator string, h HandlerFunc, reply Reply) {
	text = rootedPattern(text, separator)
	p, err := parsePattern(text, separator)
	if err != nil {
		panic(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.list {
		if r.pattern.text == text {
			panic(fmt.Sprintf("stomp: pattern %q is handled already", text))
		}
	}
	g.list = append(slices.Clone(g.list), &route{pattern: p, handle: h, reply: reply})
	slices.SortStableFunc(g.list, func(a, b *route) int {
		switch {
		case a.pattern.specific(b.pattern):
			return -1
		case b.pattern.specific(a.pattern):
			return 1
		}
		return 0
	})
}

// find returns the route for a path and the values of its variables; nil where
// there is none.
func (g *routes) find(path string) (*route, []string) {
	g.mu.RLock()
	list := g.list
	g.mu.RUnlock()
	for _, r := range list {
		if values, ok := r.pattern.match(path); ok {
			return r, values
		}
	}
	return nil, nil
}

// call answers a SEND to the application.
func (c *conn) call(f *frame.Frame, destination, path string) error {
	route, values := c.broker.messages.find(path)
	if route == nil {
		return c.drop(f, "No function for "+destination)
	}
	r := &Request{
		Client: &c.client, Destination: destination, Path: path, Headers: f.Headers, Body: f.Body,
		names: route.pattern.variables, values: values,
	}
	answer, to := c.invoke(route, r)
	if answer == nil {
		return nil
	}
	if to.isZero() {
		to.To = []string{"/topic" + rooted(path)}
	}
	c.answer(r, answer, to)
	return nil
}

// request answers a SUBSCRIBE to the application.
func (c *conn) request(f *frame.Frame, s *subscription, path string) error {
	route, values := c.broker.requests.find(path)
	if route == nil {
		return c.drop(f, "No function for "+s.destination)
	}
	r := &Request{
		Client: &c.client, Destination: s.destination, Path: path, Headers: f.Headers,
		names: route.pattern.variables, values: values,
	}
	answer, to := c.invoke(route, r)
	switch {
	case answer == nil:
	case to.isZero():
		c.answerDirectly(s, answer)
	default:
		c.answer(r, answer, to)
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

// invoke calls the function of a route and, where it or the encoding of its
// reply fails, the functions for errors. It returns the reply and where it goes.
func (c *conn) invoke(route *route, r *Request) (*reply, Reply) {
	ctx := c.session.Context()
	answer, err := recovering(func() (*reply, error) { return newReply(route.handle(ctx, r)) })
	if err == nil {
		return answer, route.reply
	}
	c.broker.stats.handlerErrors.Add(1)
	c.broker.failures.mu.RLock()
	list := c.broker.failures.list
	c.broker.failures.mu.RUnlock()
	for _, f := range list {
		answer, rest := recovering(func() (*reply, error) { return newReply(f.handle(ctx, r, err)) })
		if rest == nil {
			return answer, f.reply
		}
		err = rest
	}
	c.logFailure(r, err)
	return nil, Reply{}
}

func (c *conn) logFailure(r *Request, err error) {
	log := c.broker.log.With("session", c.client.ID, "destination", r.Destination, "error", err)
	var panicked *session.PanicError
	if errors.As(err, &panicked) {
		log.Error("stomp: function panicked", "stack", string(panicked.Stack))
		return
	}
	log.Warn("stomp: function failed")
}

// recovering makes a function's panic its error.
func recovering(f func() (*reply, error)) (answer *reply, err error) {
	defer session.Recovered(&err)
	return f()
}

// answer sends a reply to its destinations.
func (c *conn) answer(r *Request, answer *reply, to Reply) {
	ctx := c.session.Context()
	for _, destination := range to.To {
		if err := c.broker.sendReply(ctx, r.expand(destination), answer); err != nil {
			c.logFailure(r, err)
		}
	}
	for _, destination := range to.ToUser {
		var err error
		if destination = rooted(r.expand(destination)); to.Session || c.client.User == "" {
			err = c.broker.sendToUser(ctx, sessionDestination(c.client.ID, destination), answer.headers, answer.body)
		} else {
			err = c.broker.sendReply(ctx, c.broker.userPath(c.client.User)+destination, answer)
		}
		if err != nil {
			c.logFailure(r, err)
		}
	}
}

// sendReply sends a reply to a destination of any kind but the application's.
func (b *Broker) sendReply(ctx context.Context, destination string, answer *reply) error {
	answer.headers[0].Value = destination
	return b.send(ctx, nil, destination, answer.headers, answer.body)
}

// answerDirectly sends a reply as a MESSAGE of a subscription.
func (c *conn) answerDirectly(s *subscription, answer *reply) {
	h, body := answer.headers, answer.body
	h[0].Value = s.destination
	d := frame.Delivery{Subscription: s.id, MessageID: c.broker.messageID()}
	if c.deliver(d, h, body, contentOf(h, body)) == nil {
		c.broker.stats.messages.Add(1)
	}
}

// expand puts the variables' values into a destination.
func (r *Request) expand(destination string) string {
	var pairs []string
	for i, name := range r.names {
		pairs = append(pairs, "{"+name+"}", r.values[i])
	}
	return strings.NewReplacer(pairs...).Replace(destination)
}

// isNil tells whether a reply is a nil pointer or nil itself.
func isNil(reply any) bool {
	if reply == nil {
		return true
	}
	v := reflect.ValueOf(reply)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
