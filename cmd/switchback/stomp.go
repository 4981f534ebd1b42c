package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap"

	"switchback/handler"
	"switchback/handler/rules"
	"switchback/handler/stomp"
	"switchback/session/option"
	"switchback/transport"
)

// A stompConfig is the one broker of all endpoints whose handler is stomp.
type stompConfig struct {
	options stomp.Options
	logins  map[string]string // none: everybody may connect
	places  map[string]place  // of prefixes, by stomp.OptionError's name for each
}

// A place is where something is in the file.
type place struct {
	line int
	key  string
}

// settings are the keys of the broker: the fields of stomp.Options that a file
// can hold, and who may log in.
func (c *stompConfig) settings() setting {
	o := &c.options
	keys := mapping(withFields(o, map[string]setting{
		"topics":           c.prefixes("Topics", &o.Topics),
		"queues":           c.prefixes("Queues", &o.Queues),
		"apps":             c.prefixes("Apps", &o.Apps),
		"user_prefix":      scalar(&o.UserPrefix, userPrefixKind),
		"separator":        scalar(&o.Separator, oneOf("/", ".")),
		"read_destination": scalar(&o.ReadDestination, readDestinationKind),
		"pattern_limit":    scalar(&o.PatternLimit, patternsKind),
		"logins":           logins(&c.logins),
	}))
	return setting{want: keys.want, keys: keys.keys, read: func(s *source, key string, n ast.Node) {
		before := len(s.faults)
		if keys.read(s, key, n); len(s.faults) == before {
			c.check(s, key, n)
		}
	}}
}

// check tells what is wrong with the options together.
func (c *stompConfig) check(s *source, key string, n ast.Node) {
	_, err := c.options.Complete()
	var wrong *stomp.OptionError
	if errors.As(err, &wrong) {
		if p, known := c.places[wrong.Name()]; known {
			s.fault(p.line, "%s is %q; it must %s", p.key, wrong.Value, wrong.Want)
			return
		}
	}
	if err != nil {
		s.fault(line(n), "%s: %v", key, err)
	}
}

// prefixes is a list of prefixes, whose places are kept.
func (c *stompConfig) prefixes(option string, dst *[]string) setting {
	all := list(dst, destinationKind)
	return setting{want: all.want, read: func(s *source, key string, n ast.Node) {
		all.read(s, key, n)
		items, ok := n.(*ast.SequenceNode)
		if !ok {
			return
		}
		if c.places == nil {
			c.places = make(map[string]place)
		}
		for i, v := range items.Values {
			c.places[fmt.Sprintf("%s[%d]", option, i)] = place{line(v), fmt.Sprintf("%s[%d]", key, i)}
		}
	}}
}

var destinationKind = kind[string]{"the beginning of destinations, such as /topic, or / for all", func(text string) (string, bool) {
	return text, strings.HasPrefix(text, "/") && !strings.ContainsAny(text, "*?{")
}}

var userPrefixKind = kind[string]{"the beginning of destinations of users, such as /user", func(text string) (string, bool) {
	return text, len(text) > 1 && text[0] == '/' && !strings.ContainsAny(text, "*?{")
}}

var readDestinationKind = kind[string]{"a destination, such as /app/read", func(text string) (string, bool) {
	return text, len(text) > 1 && text[0] == '/' && !strings.ContainsAny(text, "*?{")
}}

// logins are users and their passwords. An empty list is refused: nobody or
// everybody, what is meant is not clear.
func logins(dst *map[string]string) setting {
	items := sequence("a list of users, each with a login and a passcode", func(s *source, key string, n ast.Node) {
		var login, passcode string
		s.read(key, n, mapping(map[string]setting{
			"login":    required(scalar(&login, wordKind)),
			"passcode": required(scalar(&passcode, wordKind)),
		}))
		if *dst == nil {
			*dst = make(map[string]string)
		}
		if _, twice := (*dst)[login]; twice && login != "" {
			s.fault(line(n), "%s.login is %q, which is there already; it must be another", key, login)
		}
		(*dst)[login] = passcode
	})
	return setting{want: items.want, read: func(s *source, key string, n ast.Node) {
		items.read(s, key, n)
		if list, ok := n.(*ast.SequenceNode); ok && len(list.Values) == 0 {
			s.fault(line(n), "%s is empty; list who may connect, or leave the key out to let everybody", key)
		}
	}}
}

// patternsKind is a number of patterns, or none at all.
var patternsKind = kind[int]{"a whole number from 1, or off", func(text string) (int, bool) {
	if text == "off" {
		return -1, true
	}
	return parseCount(text)
}}

var wordKind = kind[string]{"a text that is not empty", func(text string) (string, bool) { return text, text != "" }}

// broker makes the broker, with its topics on hub.
func (c *stompConfig) broker(hub *handler.Hub, list *rules.List, log *slog.Logger) (*stomp.Broker, error) {
	o := c.options
	o.Hub = hub
	o.Rules = list
	o.Logger = log
	if c.logins != nil {
		o.Login = stomp.Passwords(c.logins)
	}
	return stomp.New(o)
}

// admitFrames has an endpoint of the broker let its largest frame through, by limits that are
// not given and whose defaults do not. In JSON a byte of it may be an escape of six. The queues
// of igm have no limit.
func (c *stompConfig) admitFrames(e *endpointConfig) {
	broker, usual := c.options, transport.Options{}
	option.SetDefaults(&broker)
	option.SetDefaults(&usual)
	raise := func(limit *int, usual, least int) {
		if *limit == 0 && least > usual {
			*limit = least
		}
	}
	o := &e.options
	raise(&o.MessageLimit, usual.MessageLimit, broker.FrameLimit)
	raise(&o.BodyLimit, usual.BodyLimit, 6*broker.FrameLimit+1<<10)
	if e.implementation == "switchback" {
		raise(&o.QueueLimit, usual.QueueLimit, 4*broker.FrameLimit)
	}
}

// admitsAnyPage tells whether pages that the file does not name may use the endpoint:
// those of any host, or those that hide theirs, as a sandboxed iframe of any page does.
func (e endpointConfig) admitsAnyPage() bool {
	return slices.ContainsFunc([]string{"https://any.example", "http://any.example", "null"}, e.options.AllowsOrigin)
}

// warn tells once of what STOMP endpoints are seldom meant to do.
func (c *config) warn(log *zap.Logger) {
	served := false
	for _, e := range c.allEndpoints() {
		if e.handler != "stomp" {
			continue
		}
		served = true
		if c.stomp.logins == nil && c.auth.mode(e) != authRequired && len(c.rules.list) == 0 && e.admitsAnyPage() {
			log.Warn("every page there is may read and publish what it likes; name the pages' origins in allowed_origins, who may connect in stomp.logins, or who may do what in rules",
				zap.String("endpoint", e.where))
		}
	}
	if served && len(c.stomp.options.Apps) > 0 {
		log.Warn("the command has no functions: what is sent to these destinations is dropped; "+
			"serve them with handler/stomp in Go, or leave stomp.apps out", zap.Strings("apps", c.stomp.options.Apps))
	}
}
