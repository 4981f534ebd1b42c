package stomp

import (
	"fmt"
	"strconv"
	"strings"

	"switchback/handler/stomp/frame"
	"switchback/session"
)

// A destinationOf is a destination within its kind; see topic.
type destinationOf struct {
	kind        string
	destination string
}

func (d destinationOf) key() string { return d.kind + d.destination }

func topicDestination(destination string) destinationOf { return destinationOf{"d:", destination} }

func sessionDestination(id, destination string) destinationOf {
	return destinationOf{"s:" + strconv.Itoa(len(id)) + ":" + id, destination}
}

func userDestination(user, destination string) destinationOf {
	return destinationOf{"u:" + strconv.Itoa(len(user)) + ":" + user, destination}
}

func (b *Broker) isTopic(destination string) bool {
	return b.prefixes.find(destination).kind == topicPrefix
}

func (b *Broker) isQueue(destination string) bool {
	return b.prefixes.find(destination).kind == queuePrefix && !b.isUser(destination)
}

func (b *Broker) isUser(destination string) bool {
	_, ok := b.cutUser(destination)
	return ok
}

// cutUser returns what follows the user prefix: /queue/x of /user/queue/x.
func (b *Broker) cutUser(destination string) (string, bool) {
	rest, ok := strings.CutPrefix(destination, b.options.UserPrefix)
	if !ok || len(rest) < 2 || rest[0] != '/' {
		return "", false
	}
	return rest, true
}

// appPath returns what follows a prefix of the application: /hello of
// /app/hello. Where the segments of paths do not end with /, the path has none
// at its front.
func (b *Broker) appPath(destination string) (string, bool) {
	p := b.prefixes.find(destination)
	if p.kind != appPrefix || b.isUser(destination) {
		return "", false
	}
	path := destination[len(p.text)-1:]
	if b.options.Separator != "/" {
		path = path[1:]
	}
	return path, true
}

// resolved is what Spring puts between a destination of a user and the session
// that it stands for: /user/queue/x is /queue/x-user<session>. Front-ends may
// use that form for their own session.
const resolved = "-user"

// cutSession returns the session that a destination in the resolved form stands for, on
// whatever node it lives or has lived.
func (b *Broker) cutSession(destination string) (rest, id string, ok bool) {
	i := strings.LastIndex(destination, resolved)
	if i < 0 {
		return "", "", false
	}
	if kind := b.prefixes.find(destination).kind; kind != topicPrefix && kind != queuePrefix {
		return "", "", false
	}
	id = destination[i+len(resolved):]
	return destination[:i], id, session.IsID(id)
}

func forbidden(destination string) error {
	return &Error{Message: "Access to " + destination + " is denied: it is another session's"}
}

// keys returns where the messages of a subscription's destination come from;
// nothing where it is no topic.
func (c *conn) keys(destination string) ([]destinationOf, error) {
	if rest, id, ok := c.broker.cutSession(destination); ok {
		if id != c.client.ID {
			return nil, forbidden(destination)
		}
		return c.userKeys(rest), nil
	}
	var keys []destinationOf
	if rest, ok := c.broker.cutUser(destination); ok {
		keys = c.userKeys(rest)
	}
	if c.broker.isTopic(destination) {
		keys = append(keys, topicDestination(destination))
	}
	return keys, nil
}

// userKeys are those of the session and of its user.
func (c *conn) userKeys(destination string) []destinationOf {
	keys := []destinationOf{sessionDestination(c.client.ID, destination)}
	if c.client.User() != "" {
		keys = append(keys, userDestination(c.client.User(), destination))
	}
	return keys
}

// permit refuses a destination of a client's SEND or SUBSCRIBE that is too long,
// that hides what it is from the hook, or that the hook does not allow.
func (c *conn) permit(command frame.Command, destination string) error {
	b := c.broker
	if most := b.options.DestinationLimit; len(destination) > most {
		message := fmt.Sprintf("The limit of %d bytes of a destination has been exceeded", most)
		return &Error{Message: message, counter: &b.stats.DestinationLimit}
	}
	if path, ok := b.appPath(destination); ok && hasEmptySegment(path, b.options.Separator) {
		return &Error{Message: "A destination must not have empty segments: " + destination}
	}
	return c.authorize(command, destination)
}

// hasEmptySegment tells whether a path could be spelled with fewer separators.
// One at its end is no such: patterns heed it.
func hasEmptySegment(path, separator string) bool {
	return strings.Contains(separator+strings.TrimPrefix(path, "/"), separator+separator)
}
