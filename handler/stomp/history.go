package stomp

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/stomp/antpath"
)

// keptName is the name of a destination in Options.History; empty where it is not kept. A
// topic is kept under its destination, and a user's under that by which others send to it:
// /user/bob/queue/x. What goes to one session is not kept, nor is a topic that is a user's,
// too: that one is.
func (b *Broker) keptName(to destinationOf) string {
	l := b.options.History
	if l == nil {
		return ""
	}
	name := to.destination
	switch to.kind[0] {
	case 's':
		return ""
	case 'u':
		_, user, _ := strings.Cut(to.kind[len("u:"):], ":")
		name = b.userPath(user) + to.destination
	default:
		if b.isUser(name) {
			return ""
		}
	}
	if !l.Keeps(name) {
		return ""
	}
	return name
}

// keptOf is the name of the one of a subscription's keys that is kept; or empty.
func (b *Broker) keptOf(keys []destinationOf) string {
	for _, k := range keys {
		if name := b.keptName(k); name != "" {
			return name
		}
	}
	return ""
}

// notStored is the Error for a SEND whose message could not be stored.
func (c *conn) notStored(destination string, err error) error {
	e := &Error{Message: "Not stored: " + destination, Body: historyText(err), Err: err, counter: &c.broker.stats.Unavailable}
	if errors.Is(err, history.ErrUnavailable) {
		e.Body += "; this message may have been stored"
	}
	return e
}

// historyText is what a client is told of an error of package history: what wraps it is for
// the log.
func historyText(err error) string {
	for _, known := range historyErrors {
		if errors.Is(err, known) {
			return strings.TrimPrefix(known.Error(), "history: ")
		}
	}
	return "the store has failed"
}

var historyErrors = []error{history.ErrUnavailable, history.ErrBusy, history.ErrFull, history.ErrName, history.ErrClosed}

// isHistory tells whether an error is one of package history.
func isHistory(err error) bool {
	return slices.ContainsFunc(historyErrors, func(known error) bool { return errors.Is(err, known) })
}

// noHistory is the Error for a SUBSCRIBE, or for a mark of what is read, of which the
// history cannot be asked.
func (c *conn) noHistory(destination string, err error) error {
	return &Error{Message: "The history of " + destination + " is not available", Body: historyText(err), Err: err, counter: &c.broker.stats.Unavailable}
}

// userOf is the name under which what a session sends is kept.
func userOf(from *conn) string {
	if from == nil || len(from.client.User()) > handler.MaxID {
		return ""
	}
	return from.client.User()
}

// checkHistory returns what is wrong with the history of options.
func (o *Options) checkHistory() error {
	l := o.History
	switch {
	case l == nil:
		return nil
	case l.Separator() != o.Separator:
		return &OptionError{"History", -1, l.Separator(), "have the Separator of these options, " + strconv.Quote(o.Separator)}
	case cmp.Or(o.Hub, l.Hub()) != l.Hub():
		return &OptionError{"History", -1, "of another Hub", "be over the Hub of these options"}
	case !strings.HasPrefix(o.ReadDestination, "/") || antpath.IsPattern(o.ReadDestination):
		return &OptionError{"ReadDestination", -1, o.ReadDestination, "be a destination"}
	}
	return nil
}
