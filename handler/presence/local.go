package presence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"switchback/session/memory"
	"switchback/session/option"
)

// Options are the settings of a Local. The zero value is complete.
type Options struct {
	// Changed is told who comes and goes: see Presence. The default is nobody.
	Changed func(Change)

	// TopicLimit is how many topics may have somebody in them. The default is 100,000.
	TopicLimit int `default:"100000"`

	// UserLimit is how many users may be in one topic. The default is 10,000.
	UserLimit int `default:"10000"`
}

// Stats are the counters of a Local.
type Stats struct {
	Topics  atomic.Int64 `metric:"gauge"` // topics that somebody is in
	Users   atomic.Int64 `metric:"gauge"` // users that are in a topic, over all topics
	Refused atomic.Int64 // sessions that may not join, by one of the limits
}

// A Local is the Presence of one node. What it holds counts as memory that handlers keep:
// see memory.Kept, and memory.ErrFull where there is none left.
type Local struct {
	o     Options
	stats Stats

	mu     sync.Mutex // guards the rest
	topics map[string]*topic
}

var _ Presence = (*Local)(nil)

// A topic is who is in one. All of it is guarded by Local.mu.
type topic struct {
	users   []*user // by name; those who have gone and of whom that is not told are there, too
	present int     // of them that have a session
	changed []*user // of whom something may be to be told
	telling bool    // a goroutine does
}

// A user is one of a topic.
type user struct {
	name     string
	sessions []string
	told     bool // others know the user to be there
	changed  bool // is among the topic's changed
}

// NewLocal returns a Local. An error is of a negative limit.
func NewLocal(o Options) (*Local, error) {
	if name, value := option.Negative(o); name != "" {
		return nil, fmt.Errorf("presence: %s is %d; it must not be negative", name, value)
	}
	option.SetDefaults(&o)
	return &Local{o: o, topics: make(map[string]*topic)}, nil
}

// Stats are the counters, which are the Local's to change.
func (l *Local) Stats() *Stats { return &l.stats }

// Join returns ErrTopics, ErrUsers, or memory.ErrFull, where nothing has changed.
func (l *Local) Join(_ context.Context, name, who, session string) error {
	if err := l.join(name, who, session); err != nil {
		l.stats.Refused.Add(1)
		return err
	}
	l.tell(name)
	return nil
}

func (l *Local) join(name, who, session string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[name]
	if t == nil {
		if len(l.topics) >= l.o.TopicLimit {
			return ErrTopics
		}
		t = new(topic)
	}
	i, there := t.find(who)
	if there && slices.Contains(t.users[i].sessions, session) {
		return nil
	}
	comes := !there || len(t.users[i].sessions) == 0
	if comes && t.present >= l.o.UserLimit {
		return ErrUsers
	}
	if !memory.Kept.Take(size(name, who, session)) {
		return memory.ErrFull
	}
	if !there {
		t.users = slices.Insert(t.users, i, &user{name: strings.Clone(who)})
	}
	if l.topics[name] == nil {
		l.topics[strings.Clone(name)] = t
		l.stats.Topics.Add(1)
	}
	u := t.users[i]
	u.sessions = append(u.sessions, session)
	if comes {
		t.present++
		l.stats.Users.Add(1)
		t.change(u)
	}
	return nil
}

// Leave returns no error.
func (l *Local) Leave(_ context.Context, name, who, session string) error {
	if l.leave(name, who, session) {
		l.tell(name)
	}
	return nil
}

// leave tells whether that was the user's last session.
func (l *Local) leave(name, who, session string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[name]
	if t == nil {
		return false
	}
	i, there := t.find(who)
	if !there {
		return false
	}
	u := t.users[i]
	at := slices.Index(u.sessions, session)
	if at < 0 {
		return false
	}
	u.sessions = slices.Delete(u.sessions, at, at+1)
	memory.Kept.Give(size(name, who, session))
	if len(u.sessions) > 0 {
		return false
	}
	t.present--
	l.stats.Users.Add(-1)
	t.change(u)
	return true
}

// Users returns no error.
func (l *Local) Users(_ context.Context, name, after string, limit int) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[name]
	if t == nil {
		return nil, nil
	}
	i, there := t.find(after)
	if there {
		i++
	}
	var names []string
	for ; i < len(t.users) && len(names) < limit; i++ {
		if len(t.users[i].sessions) > 0 {
			names = append(names, t.users[i].name)
		}
	}
	return names, nil
}

// tell tells what has changed in a topic, unless another goroutine is about it: that one
// then tells this, too. It forgets who has gone, and the topic where nobody is left.
func (l *Local) tell(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[name]
	if t == nil || t.telling {
		return
	}
	t.telling = true
	for len(t.changed) > 0 {
		u := t.changed[0]
		t.changed = slices.Delete(t.changed, 0, 1)
		u.changed = false
		online := len(u.sessions) > 0
		if !online {
			i, _ := t.find(u.name)
			t.users = slices.Delete(t.users, i, i+1)
		}
		if online == u.told || l.o.Changed == nil {
			continue
		}
		u.told = online
		l.mu.Unlock()
		l.o.Changed(Change{name, u.name, online})
		l.mu.Lock()
	}
	t.telling = false
	if len(t.users) == 0 {
		delete(l.topics, name)
		l.stats.Topics.Add(-1)
	}
}

// find is where a user is, or would be.
func (t *topic) find(name string) (int, bool) {
	return slices.BinarySearchFunc(t.users, name, func(u *user, name string) int { return strings.Compare(u.name, name) })
}

// change notes that something of a user may be to be told.
func (t *topic) change(u *user) {
	if !u.changed {
		u.changed = true
		t.changed = append(t.changed, u)
	}
}

// entry is about what a session in a topic takes beside the names, in bytes.
const entry = 128

// size is about how many bytes a session in a topic takes.
func size(topic, user, session string) int { return entry + len(topic) + len(user) + len(session) }
