package transport_test

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ownImplementation is the name of the implementation that is held to the lines of "ours".
const ownImplementation = "switchback"

// A target is a server to play scripts against.
type target struct {
	implementation string
	address        string
	patience       time.Duration // how long each answer may take
}

// A player plays a script once, on one goroutine.
type player struct {
	target
	script *script
	vars   variables
	link   *link            // what steps are about
	once   *link            // the connection of the last request outside "on"
	named  map[string]*link // those of "on"
}

// A failure is an expectation of a script that was not met.
type failure struct {
	script    *script
	step      *step
	want, got string
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s:%d: %s\n\twant %s\n\tgot  %s", f.script.file, f.step.line, f.step.text, f.want, f.got)
}

// play plays a script. The error is a *failure where the server is at fault.
func (t target) play(sc *script) error {
	p := &player{target: t, script: sc, vars: newVariables(t.address), named: make(map[string]*link)}
	defer p.hangUp()
	if err := p.run(sc.steps); err != nil {
		return err
	}
	return p.finish()
}

// tries is how often a script that flickers may fail.
const tries = 10

// judge plays a script and compares what happens with what the script says of
// the implementation.
func (t target) judge(sc *script) error {
	d := sc.differences[t.implementation]
	err := d.verdict(t.play(sc))
	for n := 1; d.flickers && err != nil && n < tries; n++ {
		err = d.verdict(t.play(sc))
	}
	return err
}

// verdict is what is wrong when a script of an implementation that differs in d ends
// with err.
func (d difference) verdict(err error) error {
	failed, ok := errors.AsType[*failure](err)
	switch {
	case d.failsAt == "" || err != nil && !ok:
		return err
	case err == nil:
		return fmt.Errorf("passes, but should fail at %q because %s", d.failsAt, d.reason)
	case !strings.HasPrefix(failed.step.text, d.failsAt):
		return fmt.Errorf("should fail at %q, but: %w", d.failsAt, err)
	}
	return nil
}

func (p *player) run(steps []*step) error {
	for _, s := range steps {
		if err := p.step(s); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) step(s *step) error {
	verb, arg, _ := strings.Cut(s.text, " ")
	play, ok := verbs[verb]
	if !ok {
		return p.mistake(s, fmt.Errorf("unknown verb %s", verb))
	}
	err := play(p, s, strings.TrimSpace(arg))
	if _, ok := errors.AsType[*failure](err); ok || err == nil {
		return err
	}
	return p.mistake(s, err)
}

// A mistake is the script's own.
type mistake struct{ error }

func (p *player) mistake(s *step, err error) error {
	if _, ok := errors.AsType[mistake](err); ok {
		return err
	}
	return mistake{fmt.Errorf("%s:%d: %s: %w", p.script.file, s.line, s.text, err)}
}

// fail is what a step returns that did not get what it wants.
func (p *player) fail(s *step, want, got string) error {
	return &failure{p.script, s, want, got}
}

// failed is fail for what was read before an error.
func (p *player) failed(s *step, want, got string, err error) error {
	if got == "" {
		return p.fail(s, want, err.Error())
	}
	return p.fail(s, want, fmt.Sprintf("%q and then %v", got, err))
}

var verbs map[string]func(p *player, s *step, arg string) error

func init() {
	verbs = map[string]func(p *player, s *step, arg string) error{
		"GET":       (*player).request,
		"HEAD":      (*player).request,
		"OPTIONS":   (*player).request,
		"POST":      (*player).request,
		"websocket": (*player).websocket,
		"send":      (*player).send,
		"abort":     (*player).abort,

		"status":  (*player).status,
		"header":  (*player).header,
		"json":    (*player).json,
		"body":    (*player).body,
		"message": (*player).message,
		"chunk":   (*player).chunk,
		"bytes":   (*player).bytes,
		"end":     (*player).end,
		"text":    (*player).frame,
		"close":   (*player).frame,
		"closed":  (*player).closed,
		"eof":     (*player).eof,

		"on":     (*player).on,
		"for":    (*player).each,
		"repeat": (*player).repeat,
		"within": (*player).within,
		"when":   (*player).when,
		"ours":   (*player).ours,
		"wait":   (*player).wait,
		"let":    (*player).let,
	}
}
