package stomp

import (
	"slices"

	"switchback/session"
)

// Disconnect closes the sessions of a user on this node with a code and a reason, as
// session.Session's Close does, and returns how many. They get no ERROR: that would tell
// of a fault of the client's. A client that connects anew is let in as before. The error
// is session.ErrCode for a code that may not be sent; no session is closed then.
func (b *Broker) Disconnect(user string, code int, reason string) (closed int, err error) {
	b.users.mu.RLock()
	clients := slices.Clone(b.users.names[user])
	b.users.mu.RUnlock()
	if !session.ValidCode(code) {
		return 0, session.ErrCode
	}
	for _, c := range clients {
		if c.session.Close(code, reason) == nil {
			closed++
		}
	}
	return closed, nil
}

// DisconnectSession is Disconnect for the one client with a session's id. It tells
// whether there was such a client.
func (b *Broker) DisconnectSession(id string, code int, reason string) (closed bool, err error) {
	if !session.ValidCode(code) {
		return false, session.ErrCode
	}
	c := b.users.session(id)
	return c != nil && c.session.Close(code, reason) == nil, nil
}
