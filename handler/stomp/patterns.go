package stomp

import (
	"fmt"
	"regexp"
	"slices"
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

// beginning is how all paths of a pattern begin: whole segments and, where the
// pattern leaves the next one open, one that is nowhere else.
func beginning(text, separator string) string {
	i := strings.IndexAny(text, "*?{")
	if i < 0 {
		return text
	}
	return text[:strings.LastIndex(text[:i], separator)+1] + "\x00"
}

// maxPattern is the length of a client's pattern in bytes.
const maxPattern = 200

// names are what a client's pattern may have in braces.
var names = regexp.MustCompile(`\{[^{}:]*\}`)

// clientPattern parses a pattern that comes from a client. It has no regular
// expressions, which take much memory.
func clientPattern(text, separator string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("stomp: a pattern must not be longer than %d bytes", maxPattern)
	}
	p := &pattern{text: text, separator: separator}
	for _, part := range split(nil, text, separator) {
		s, err := p.clientSegment(part)
		if err != nil {
			return nil, err
		}
		p.segments = append(p.segments, s)
	}
	return p, nil
}

// clientSegment parses a segment. Nobody asks for the values of a client's
// variables, so that one within a segment is as good as *.
func (p *pattern) clientSegment(part string) (segment, error) {
	plain := names.ReplaceAllString(part, "*")
	switch {
	case strings.IndexByte(plain, '{') >= 0:
		return segment{}, fmt.Errorf("stomp: %q: braces hold a name; regular expressions are not taken", part)
	case plain == part, plain == "*":
		return p.parseSegment(part)
	}
	return segment{kind: glob, text: plain}, nil
}
