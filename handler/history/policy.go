package history

import (
	"fmt"

	"switchback/handler/stomp/antpath"
)

// A Policy says which topics are kept, and how. The first that matches the name of a topic
// is its own; a topic that none matches is not kept.
type Policy struct {
	Topics string // a pattern of package antpath for their names: /alarm/**

	// Keep is how much of each is kept: at most a tenth more than that for a second, and
	// what is too old for a tenth of its age more, but no less than a second and no more
	// than ten minutes.
	Keep

	// Fast has the Log give offsets itself, deliver at once, and store within a second.
	// What it has delivered and not yet stored is lost where the process ends without
	// Close: then the topic has another epoch, and who comes back is told of a gap. An ID
	// that is given twice is stored once, but delivered twice. A fast topic belongs to one
	// process.
	Fast bool

	// Unread has it counted what a user has not read.
	Unread bool

	pattern *antpath.Pattern
}

// parse returns a policy that is ready for use.
func (p Policy) parse(separator string) (Policy, error) {
	if p.Count < 0 || p.Age < 0 || p.Bytes < 0 {
		return p, fmt.Errorf("history: policy for %q: what is kept must not be negative; 0 is no limit", p.Topics)
	}
	var err error
	if p.pattern, err = antpath.Parse(p.Topics, separator); err != nil {
		err = fmt.Errorf("history: policy for %q: %w", p.Topics, err)
	}
	return p, err
}

// policy returns that of a topic, or nil.
func (l *Log) policy(topic string) *Policy {
	for i := range l.options.Policies {
		p := &l.options.Policies[i]
		if _, ok := p.pattern.Match(topic); ok {
			return p
		}
	}
	return nil
}

// Keeps tells whether a topic is kept.
func (l *Log) Keeps(topic string) bool { return l.policy(topic) != nil }

// Counts tells whether it is counted what a user has not read of a topic.
func (l *Log) Counts(topic string) bool {
	p := l.policy(topic)
	return p != nil && p.Unread
}
