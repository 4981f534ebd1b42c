package stomp

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"switchback/handler/stomp/antpath"
	"switchback/handler/stomp/frame"
	"switchback/session"
)

// An ErrorFunc answers a request whose function has failed: with a reply, or nil
// for none. It returns the error, or another, where it has no answer.
type ErrorFunc func(ctx context.Context, r *Request, err error) (reply any, rest error)

// A route is a function for the requests whose path a pattern matches.
type route struct {
	pattern *antpath.Pattern
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
// many that match the most specific is taken. A zero Reply is "/topic" and the
// path: from /app/hello to /topic/hello.
//
// Patterns are Ant's; {name} stands for a segment and {name:[0-9]+} for what a
// regular expression matches, see [Request.Variable]. A pattern begins with a
// slash, which it gets where it has none; where Separator is not "/", the path has
// no slash at its front, and a pattern must not have one. Handle panics for a
// pattern that is none, that is handled already, or that no destination can have;
// and for a reply that can go nowhere: to a destination of no prefix, to a user's that
// names no user, or with a variable that the pattern does not have. A zero Reply is
// not looked at, since the function may have no replies: where "/topic" is no prefix,
// those that it has are lost, and logged.
func (b *Broker) Handle(pattern string, h HandlerFunc, reply Reply) {
	b.add(&b.messages, pattern, h, reply)
}

// HandleSubscribe has SUBSCRIBEs to destinations of the application answered by
// h, as Handle does it for SENDs. With a zero Reply it is one MESSAGE to the
// subscription. In any case no subscription is left.
func (b *Broker) HandleSubscribe(pattern string, h HandlerFunc, reply Reply) {
	b.add(&b.requests, pattern, h, reply)
}

// HandleError has errors and panics of the application's functions answered by h.
// Functions for errors are tried in the order in which they came; what none
// answers is logged. Without destinations the reply goes to "/queue/errors" of
// the client's session, which it gets by SUBSCRIBE /user/queue/errors. The
// variables of a reply are the request's, whatever its pattern; where it has not
// got one the reply is not sent, and logged. HandleError panics as Handle does.
func (b *Broker) HandleError(h ErrorFunc, reply Reply) {
	if err := b.checkReply(reply, nil); err != nil {
		panic(err)
	}
	if !reply.hasDestination() {
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

// checkReach returns an error for a pattern whose paths no destination of the
// application has.
func (b *Broker) checkReach(pattern *antpath.Pattern) error {
	if len(b.options.Apps) == 0 {
		return fmt.Errorf("stomp: pattern %q: no destination is the application's: name its prefixes, such as /app, in Options.Apps", pattern)
	}
	path := pattern.Base()
	if path != pattern.String() {
		path += "\x00" // in place of what the pattern leaves open: a segment that is nowhere else
	}
	path = strings.TrimPrefix(path, "/")
	for _, prefix := range b.options.Apps {
		if _, ok := b.appPath(strings.TrimSuffix(prefix, "/") + "/" + path); ok {
			return nil
		}
	}
	return fmt.Errorf("stomp: pattern %q: a longer prefix of Options takes its destinations", pattern)
}

// add adds a function to routes.
func (b *Broker) add(to *routes, pattern string, h HandlerFunc, reply Reply) {
	pattern = rootedPattern(pattern, b.options.Separator)
	p, err := antpath.Parse(pattern, b.options.Separator)
	if err == nil {
		err = b.checkReach(p)
	}
	if err == nil {
		err = b.checkReply(reply, p)
	}
	if err != nil {
		panic(err)
	}
	to.add(&route{pattern: p, handle: h, reply: reply})
}

func (g *routes) add(r *route) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, other := range g.list {
		if other.pattern.String() == r.pattern.String() {
			panic(fmt.Sprintf("stomp: pattern %q is handled already", r.pattern))
		}
	}
	g.list = append(slices.Clone(g.list), r)
	slices.SortStableFunc(g.list, func(a, b *route) int { return a.pattern.Compare(b.pattern) })
}

// find returns the route for a path and the values of its variables; nil where
// there is none.
func (g *routes) find(path string) (*route, []string) {
	g.mu.RLock()
	list := g.list
	g.mu.RUnlock()
	for _, r := range list {
		if values, ok := r.pattern.Match(path); ok {
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
		names: route.pattern.Variables(), values: values,
	}
	answer, to := c.invoke(route, r)
	if answer == nil {
		return nil
	}
	return c.answer(r, answer, to)
}

// request answers a SUBSCRIBE to the application.
func (c *conn) request(f *frame.Frame, s *subscription, path string) error {
	route, values := c.broker.requests.find(path)
	if route == nil {
		return c.drop(f, "No function for "+s.destination)
	}
	r := &Request{
		Client: &c.client, Destination: s.destination, Path: path, Headers: f.Headers,
		names: route.pattern.Variables(), values: values,
	}
	answer, to := c.invoke(route, r)
	switch {
	case answer == nil:
	case to.isZero():
		return c.answerDirectly(s, answer)
	default:
		return c.answer(r, answer, to)
	}
	return nil
}

// invoke calls the function of a route and, where it or the encoding of its
// reply fails, the functions for errors. It returns the reply and where it goes.
func (c *conn) invoke(route *route, r *Request) (*reply, Reply) {
	ctx := c.session.Context()
	answer, err := recovering(func() (*reply, error) { return newReply(route.handle(ctx, r)) })
	if err == nil {
		return answer, route.reply
	}
	c.broker.stats.HandlerErrors.Add(1)
	c.broker.failures.mu.RLock()
	list := c.broker.failures.list
	c.broker.failures.mu.RUnlock()
	for _, f := range list {
		answer, rest := recovering(func() (*reply, error) { return newReply(f.handle(ctx, r, err)) })
		if rest == nil {
			if _, _, lost := f.reply.destinations(r); lost != nil && answer != nil {
				c.logFailure(r, err) // and lost where the answer is sent
			}
			return answer, f.reply
		}
		if p := panicOf(rest); p != nil && p != panicOf(err) {
			c.logFailure(r, err)
		}
		err = rest
	}
	c.logFailure(r, err)
	return nil, Reply{}
}

// recovering makes a function's panic its error.
func recovering(f func() (*reply, error)) (answer *reply, err error) {
	defer session.Recovered(&err)
	return f()
}
