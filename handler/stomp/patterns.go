package stomp

import (
	"fmt"
	"strings"
	"sync"

	"switchback/session"
)

// A keyPattern matches the keys of one kind of destination.
type keyPattern struct {
	kind    string // with which the keys begin
	pattern *pattern
}

func (k *keyPattern) text() string { return k.kind + k.pattern.text }

func (k *keyPattern) match(key string) bool {
	destination, ok := strings.CutPrefix(key, k.kind)
	if !ok {
		return false
	}
	_, ok = k.pattern.match(destination)
	return ok
}

// prefix is what all keys that match begin with.
func (k *keyPattern) prefix() string {
	text := k.pattern.text
	i := strings.IndexAny(text, "*?{")
	if i < 0 {
		return k.kind + text
	}
	prefix, rest := text[:i], text[i:]
	if strings.HasPrefix(rest, "**") { // may stand for nothing, without the separator before it
		prefix = strings.TrimSuffix(prefix, k.pattern.separator)
	}
	return k.kind + prefix
}

// patterns are the topics of a node that are patterns. They are found by what
// their keys begin with, so that a publication is compared with few of them. To
// the Hub they are one session, on the topic of everything.
type patterns struct {
	session.Session // the Hub calls nothing but SendPrepared
	broker          *Broker

	mu       sync.Mutex // guards the rest
	keys     map[string]*topic
	prefixes map[string][]*topic
	lengths  map[int]int // of the prefixes, and how many have each
}

func newPatterns(b *Broker) *patterns {
	return &patterns{
		broker: b, keys: make(map[string]*topic), prefixes: make(map[string][]*topic), lengths: make(map[int]int),
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

// SendPrepared delivers an envelope to the patterns that match its key.
func (g *patterns) SendPrepared(m *session.Prepared) error {
	p, err := g.broker.open(m.Text())
	if err != nil {
		return err
	}
	for _, t := range g.matching(p.key) {
		t.deliver(p)
	}
	p.free()
	return nil
}

func (g *patterns) matching(key string) []*topic {
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []*topic
	for n := range g.lengths {
		if n > len(key) {
			continue
		}
		for _, t := range g.prefixes[key[:n]] {
			if t.match.match(key) {
				found = append(found, t)
			}
		}
	}
	return found
}

// clientPattern parses a pattern that comes from a client. Its expressions may
// hold nothing that makes them large: no counts and no classes of Unicode.
func clientPattern(text, separator string) (*pattern, error) {
	const most = 1000
	if len(text) > most || strings.Count(text, "{") > 10 {
		return nil, fmt.Errorf("stomp: pattern %q: too long", text[:min(len(text), 100)])
	}
	if strings.Contains(text, ":") && strings.ContainsAny(text, `\{`) {
		for _, large := range []string{`\p`, `\P`, `\{`} {
			if strings.Contains(text, large) {
				return nil, fmt.Errorf("stomp: pattern %q: %s is not allowed", text, large)
			}
		}
		if nested(text) {
			return nil, fmt.Errorf("stomp: pattern %q: braces within braces are not allowed", text)
		}
	}
	return parsePattern(text, separator)
}

func nested(text string) bool {
	open := false
	for i := range len(text) {
		switch {
		case text[i] == '{' && open:
			return true
		case text[i] == '{':
			open = true
		case text[i] == '}':
			open = false
		}
	}
	return false
}
