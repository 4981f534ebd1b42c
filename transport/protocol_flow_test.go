package transport_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// on plays the lines below on the connection of a name.
func (p *player) on(s *step, arg string) error {
	name, err := p.vars.expand(arg)
	if err != nil {
		return err
	}
	l := p.named[name]
	if l == nil {
		if l, err = p.dial(name); err != nil {
			return p.fail(s, "a connection", err.Error())
		}
		p.named[name] = l
	}
	outer := p.link
	p.link = l
	err = p.run(s.below)
	p.link = outer
	return err
}

// each plays the lines below with each of the values of "$name in VALUES".
func (p *player) each(s *step, arg string) error {
	name, list, _ := strings.Cut(arg, " in ")
	values, err := splitItems(list)
	if err != nil {
		return err
	}
	for _, value := range values {
		if text, err := strconv.Unquote(value); err == nil {
			value = text
		}
		if value, err = p.vars.expand(value); err != nil {
			return err
		}
		p.vars[strings.TrimPrefix(name, "$")] = value
		if err := p.run(s.below); err != nil {
			return fmt.Errorf("with %s %q: %w", name, value, err)
		}
	}
	return nil
}

func (p *player) repeat(s *step, arg string) error {
	times, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	for range times {
		if err := p.run(s.below); err != nil {
			return err
		}
	}
	return nil
}

// within plays the lines below until they pass, and forgets the connections of
// the tries that failed.
func (p *player) within(s *step, arg string) error {
	limit, err := time.ParseDuration(arg)
	if err != nil {
		return err
	}
	kept := maps.Clone(p.named)
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		err := p.run(s.below)
		if _, failed := errors.AsType[*failure](err); !failed || time.Now().After(end) {
			return err
		}
		p.forget(kept)
	}
}

// forget drops the connections that are not kept.
func (p *player) forget(kept map[string]*link) {
	if p.once != nil {
		p.drop(p.once)
	}
	for name, l := range p.named {
		if kept[name] == nil {
			p.drop(l)
		}
	}
}

// when plays the lines below if what the rest of the line demands is so.
func (p *player) when(s *step, arg string) error {
	err := p.step(&step{line: s.line, text: arg})
	if _, failed := errors.AsType[*failure](err); failed {
		return nil
	}
	if err != nil {
		return err
	}
	return p.run(s.below)
}

func (p *player) ours(s *step, _ string) error {
	if p.implementation != ownImplementation {
		return nil
	}
	return p.run(s.below)
}

func (p *player) wait(_ *step, arg string) error {
	d, err := time.ParseDuration(arg)
	time.Sleep(d)
	return err
}

// let keeps a value of the response in a variable.
func (p *player) let(s *step, arg string) error {
	name, source, _ := strings.Cut(arg, " ")
	kind, of, _ := strings.Cut(source, " ")
	value, err := p.value(s, kind, of)
	p.vars[strings.TrimPrefix(name, "$")] = value
	return err
}

func (p *player) value(s *step, kind, of string) (string, error) {
	res, err := p.response(s)
	if err != nil {
		return "", err
	}
	switch kind {
	case "header":
		return res.field(of), nil
	case "json":
		return p.member(s, of)
	case "find":
		return p.find(s, of, res)
	}
	return "", errors.New("neither header nor json nor find")
}

// find is the group of a regular expression in the body.
func (p *player) find(s *step, expression string, res *response) (string, error) {
	pattern, err := regexp.Compile(expression)
	if err != nil {
		return "", err
	}
	body, err := res.all()
	match := pattern.FindStringSubmatch(body)
	switch {
	case err != nil:
		return "", p.failed(s, "a match", body, err)
	case len(match) != 2:
		return "", p.fail(s, "a match", strconv.Quote(body))
	}
	return match[1], nil
}
