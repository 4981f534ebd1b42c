package stomp

import (
	"slices"
	"strings"
	"sync"

	"switchback/handler"
	"switchback/handler/stomp/antpath"
)

// A keyPattern matches the keys of one kind of destination.
type keyPattern struct {
	kind    string // with which the keys begin
	pattern *antpath.Pattern
}

func (k *keyPattern) text() string { return k.kind + k.pattern.String() }

func (k *keyPattern) match(key string) bool {
	destination, ok := strings.CutPrefix(key, k.kind)
	if !ok {
		return false
	}
	_, ok = k.pattern.Match(destination)
	return ok
}

// prefix is what all keys that match begin with.
func (k *keyPattern) prefix() string { return k.kind + k.pattern.Prefix() }

// patterns are the topics of a node that are patterns. They are found by what
// their keys begin with, so that a publication is compared with few of them. To
// the Hub they are one subscriber, to the topic of everything.
type patterns struct {
	broker *Broker
	turn   turn // to subscribe to the Hub

	mu       sync.Mutex // guards the rest
	keys     map[string]*topic
	prefixes map[string][]*topic
	lengths  map[int]int // of the prefixes, and how many have each
}

func newPatterns(b *Broker) *patterns {
	return &patterns{
		broker: b, turn: make(turn, 1), keys: make(map[string]*topic), prefixes: make(map[string][]*topic), lengths: make(map[int]int),
	}
}

// topic returns the topic of a pattern.
func (g *patterns) topic(match keyPattern) *topic {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.keys[match.text()]; t != nil {
		return t
	}
	t := &topic{broker: g.broker, key: match.text(), match: &match, subscriptions: make(map[*subscription]struct{})}
	g.keys[t.key] = t
	prefix := match.prefix()
	g.prefixes[prefix] = append(g.prefixes[prefix], t)
	g.lengths[len(prefix)]++
	return t
}

// remove forgets a topic without subscriptions, and returns whether it was the
// last.
func (g *patterns) remove(t *topic) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.keys, t.key)
	prefix := t.match.prefix()
	if g.lengths[len(prefix)]--; g.lengths[len(prefix)] == 0 {
		delete(g.lengths, len(prefix))
	}
	list := g.prefixes[prefix]
	for i := range list {
		if list[i] == t {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			list = list[:len(list)-1]
			break
		}
	}
	if g.prefixes[prefix] = list; len(list) == 0 {
		delete(g.prefixes, prefix)
	}
	return len(g.keys) == 0
}

// Receive delivers to the patterns that match the key.
func (g *patterns) Receive(p *handler.Publication) {
	m := g.broker.open(p)
	if m == nil {
		return
	}
	for _, t := range g.matching(m.key) {
		t.deliver(m, p)
	}
}

// matching returns the topics whose patterns match a key. They are compared
// without the lock: clients choose how long that takes, up to their limits.
func (g *patterns) matching(key string) []*topic {
	return slices.DeleteFunc(g.candidates(key), func(t *topic) bool { return !t.match.match(key) })
}

// candidates returns the topics whose keys a key may be, by its front.
func (g *patterns) candidates(key string) []*topic {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []*topic
	for n := range g.lengths {
		if n <= len(key) {
			found = append(found, g.prefixes[key[:n]]...)
		}
	}
	return found
}
