package stomp

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// users are the connected clients of this node, by session and by user.
type users struct {
	connected *atomic.Int64 // of the broker's Stats

	mu       sync.RWMutex // guards the rest
	sessions map[string]*conn
	names    map[string][]*conn
}

func (u *users) init(connected *atomic.Int64) {
	u.connected, u.sessions, u.names = connected, make(map[string]*conn), make(map[string][]*conn)
}

func (u *users) add(c *conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sessions[c.client.ID] = c
	u.connected.Add(1)
	if name := c.client.User(); name != "" {
		u.names[name] = append(u.names[name], c)
	}
}

// remove undoes add. It does nothing for a client that was not added: an event panicked
// before.
func (u *users) remove(c *conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sessions[c.client.ID] == nil {
		return
	}
	delete(u.sessions, c.client.ID)
	u.connected.Add(-1)
	name := c.client.User()
	list := u.names[name]
	if i := slices.Index(list, c); i >= 0 {
		u.names[name] = slices.Delete(list, i, i+1)
	}
	if len(u.names[name]) == 0 {
		delete(u.names, name)
	}
}

// session returns the client with a session's id, or nil.
func (u *users) session(id string) *conn {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.sessions[id]
}

// all returns those who are connected now.
func (u *users) all() []*conn {
	u.mu.RLock()
	defer u.mu.RUnlock()
	all := make([]*conn, 0, len(u.sessions))
	for _, c := range u.sessions {
		all = append(all, c)
	}
	return all
}

// Users returns the names of the users who are connected to this node, sorted.
func (b *Broker) Users() []string {
	b.users.mu.RLock()
	defer b.users.mu.RUnlock()
	names := make([]string, 0, len(b.users.names))
	for name := range b.users.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Clients returns the sessions of a user on this node.
func (b *Broker) Clients(user string) []*Client {
	b.users.mu.RLock()
	defer b.users.mu.RUnlock()
	var clients []*Client
	for _, c := range b.users.names[user] {
		clients = append(clients, &c.client)
	}
	return clients
}

// Client returns the client with a session's id on this node, or nil.
func (b *Broker) Client(id string) *Client {
	if c := b.users.session(id); c != nil {
		return &c.client
	}
	return nil
}

// Subscriptions returns the subscriptions on this node for which match is true. match is
// called with no lock held.
func (b *Broker) Subscriptions(match func(Subscription) bool) []Subscription {
	var found []Subscription
	for _, c := range b.users.all() {
		c.mu.Lock()
		list := slices.Clone(c.subscriptions)
		c.mu.Unlock()
		for _, s := range list {
			if p := s.public(); match(p) {
				found = append(found, p)
			}
		}
	}
	return found
}

// joinUser counts the session in with its user.
func (c *conn) joinUser() error {
	b := c.broker
	if b.members == nil {
		return nil
	}
	if c.member = b.members.Join(c.client.User()); c.member == nil {
		message := fmt.Sprintf("The limit of %d sessions of a user has been reached", b.options.UserLimit)
		return &Error{Message: message, counter: &b.stats.UserLimit}
	}
	return nil
}

// leaveUser counts the session out.
func (c *conn) leaveUser() {
	if c.member != nil {
		c.broker.members.Leave(c.member)
		c.member = nil
	}
}

// checkRate refuses a SEND that is one too many of its user's.
func (c *conn) checkRate() error {
	b := c.broker
	if c.member == nil || b.members.Take(c.member, 1) {
		return nil
	}
	message := fmt.Sprintf("The limit of %d messages a second has been exceeded", b.options.PublishRate)
	return &Error{Message: message, counter: &b.stats.PublishRate}
}
