package natsserver

import (
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"
)

// A logger hands on what the server has to say of what is wrong. Its warnings are of how it is
// set up, which is as it should be here. What it says of each of several connections, or again
// each second, is said once in a while.
type logger struct {
	log *slog.Logger

	mu    sync.Mutex // guards the rest
	said  map[string]struct{}
	since time.Time // that they were said
}

// How often the same is said, and how many different things are meanwhile.
const (
	sayAgain = time.Hour
	mostSaid = 100
)

func newLogger(log *slog.Logger) *logger { return &logger{log: log, said: make(map[string]struct{})} }

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Warnf(string, ...any)   {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}

func (l *logger) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if l.isNew(text, time.Now()) {
		l.log.Error("nats: " + text)
	}
}

func (l *logger) Fatalf(format string, args ...any) {
	l.log.Error("nats: " + fmt.Sprintf(format, args...))
}

// passing is what tells one connection to a node from the next.
var passing = regexp.MustCompile(`:[0-9]+|attempt [0-9]+`)

func (l *logger) isNew(text string, now time.Time) bool {
	text = passing.ReplaceAllString(text, "")
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) > sayAgain {
		clear(l.said)
		l.since = now
	}
	if _, again := l.said[text]; again || len(l.said) == mostSaid {
		return false
	}
	l.said[text] = struct{}{}
	return true
}
