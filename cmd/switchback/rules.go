package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"switchback/handler/rules"
)

// A rulesConfig is the rules of the file, and where each is.
type rulesConfig struct {
	list   []rules.Rule // none: everything is allowed
	places []rulePlace
}

// A rulePlace is where a rule is in the file.
type rulePlace struct {
	place
	to []place // of its patterns
}

// settings are a list of rules.
func (c *rulesConfig) settings() setting {
	items := sequence("a list of rules, each with allow or deny, such as {on: subscribe, to: /news/*, allow: all}", c.readRule)
	return setting{want: items.want, read: func(s *source, key string, n ast.Node) {
		items.read(s, key, n)
		if list, ok := n.(*ast.SequenceNode); ok && len(list.Values) == 0 {
			s.fault(line(n), "%s is empty; list who may do what, or leave the key out to allow everything", key)
		}
	}}
}

// ruleSettings are the keys of a rule.
func ruleSettings(r *rules.Rule, to *[]place, allow, deny **rules.Who) map[string]setting {
	return map[string]setting{
		"on":    oneOrMore(actionKind, func(a rules.Action, _ place) { r.On = append(r.On, a) }),
		"to":    oneOrMore(patternKind, func(text string, at place) { r.To, *to = append(r.To, text), append(*to, at) }),
		"allow": who(allow),
		"deny":  who(deny),
	}
}

func (c *rulesConfig) readRule(s *source, key string, n ast.Node) {
	var r rules.Rule
	var allow, deny *rules.Who
	at := rulePlace{place: place{line(n), key}}
	before := len(s.faults)
	s.read(key, n, mapping(ruleSettings(&r, &at.to, &allow, &deny)))
	switch {
	case allow != nil && deny != nil:
		s.fault(line(n), "%s has allow and deny; it must have one of them", key)
	case allow != nil:
		r.Allow, r.Who = true, *allow
	case deny != nil:
		r.Who = *deny
	case len(s.faults) == before:
		s.fault(line(n), "%s has neither allow nor deny; it must have one of them: %s", key, who(&allow).want)
	}
	c.list, c.places = append(c.list, r), append(c.places, at)
}

// who is whom a rule is for.
func who(dst **rules.Who) setting {
	groups := oneOf(rules.Groups()...)
	want := strings.Replace(groups.want, " or ", ", ", 1) + ", {role: admin} or {user: kim}"
	return setting{want: want, read: func(s *source, key string, n ast.Node) {
		var w rules.Who
		*dst = &w
		if _, ok := n.(*ast.MappingNode); ok {
			s.read(key, n, mapping(map[string]setting{
				"role": oneOrMore(wordKind, func(name string, _ place) { w.Roles = append(w.Roles, name) }),
				"user": oneOrMore(wordKind, func(name string, _ place) { w.Users = append(w.Users, name) }),
			}))
			if m := n.(*ast.MappingNode); len(m.Values) == 0 {
				s.mismatch(key, n, want)
			}
			return
		}
		s.read(key, n, scalar(&w.Group, kind[rules.Group]{want, func(text string) (rules.Group, bool) {
			for i, name := range rules.Groups() {
				if name == text {
					return rules.Group(i), true
				}
			}
			return 0, false
		}}))
	}}
}

var actionKind = kind[rules.Action]{alternatives(rules.Actions()), func(text string) (rules.Action, bool) {
	for i, name := range rules.Actions() {
		if name == text {
			return rules.Action(i), true
		}
	}
	return 0, false
}}

var patternKind = kind[string]{`a destination or an Ant pattern, such as "/alarm/{user}"`, func(text string) (string, bool) { return text, text != "" }}

// check tells what is wrong with the rules, as they are for a separator.
func (c *rulesConfig) check(s *source, separator string) {
	_, err := c.rules(separator)
	var wrong *rules.Error
	switch {
	case errors.As(err, &wrong) && wrong.Field == "To":
		at := c.places[wrong.Rule].to[wrong.Index]
		s.fault(at.line, "%s is %q; it must be %s", at.key, wrong.Value, wrong.Want)
	case err != nil:
		s.fault(c.places[0].line, "%v", err)
	}
}

// rules are the rules for destinations with a separator; nil where there are none.
func (c *rulesConfig) rules(separator string) (*rules.List, error) {
	if len(c.list) == 0 {
		return nil, nil
	}
	return rules.New(c.list, rules.Options{Separator: separator})
}

// describe says which rule of the file has decided.
func (c *rulesConfig) describe(v rules.Verdict) string {
	verb := "refused"
	if v.Allowed {
		verb = "allowed"
	}
	switch {
	case len(c.list) == 0:
		return verb + ": there are no rules"
	case v.Rule < 0:
		return verb + ": no rule is about it"
	}
	at := c.places[v.Rule]
	return fmt.Sprintf("%s by %s in line %d", verb, at.key, at.line)
}
