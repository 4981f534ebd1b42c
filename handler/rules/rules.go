package rules

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"switchback/handler/stomp/antpath"
	"switchback/session"
)

// An Action is what a client wants to do.
type Action uint8

const (
	Connect   Action = iota // STOMP's CONNECT; it has no destination
	Subscribe               // STOMP's SUBSCRIBE; the opening of a session at an endpoint of plain messages
	Send                    // STOMP's SEND; a message to an endpoint of plain messages, or to a room
	Create                  // to make a room
	Join                    // to be in a room and hear what is said there
	Read                    // what was said in a room before
)

var actions = [...]string{"connect", "subscribe", "send", "create", "join", "read"}

func (a Action) String() string { return actions[a] }

// Actions are the names of all actions.
func Actions() []string { return actions[:] }

// A Rule says who may do what. The zero value denies everybody all but to connect.
type Rule struct {
	// On is what the rule is about. None is all but Connect.
	On []Action

	// To are the destinations that the rule is about: Ant patterns, see package antpath.
	// In each, {user} is the name of the caller, which stands for itself: a name that
	// has the separator, and nobody's, has no destination. None is all destinations.
	// A pattern is not for Connect.
	To []string

	// Allow has the rule allow those it is for, and refuse everybody else. Otherwise it
	// denies those it is for, and decides nothing about everybody else.
	Allow bool

	// Who are those it is for.
	Who Who
}

// Options are the settings of a List.
type Options struct {
	// Separator stands between the segments of a destination: that of stomp.Options.
	// The default is "/".
	Separator string

	// RolesClaim is the claim of an Identity that has its roles: a list of texts, or one
	// text with spaces between them. Dots lead into claims within claims, as in
	// realm_access.roles, where there is none of the whole name. The default is "roles".
	RolesClaim string
}

// A List is an ordered list of rules. It is not changed any more: its methods may be
// called from any goroutine. A nil *List allows everything.
type List struct {
	rules []rule
	o     Options
}

// A rule is a Rule with its patterns parsed.
type rule struct {
	Rule
	to []pattern
}

// A pattern is one destination of a rule, or many.
type pattern struct {
	*antpath.Pattern
	user bool // it has {user}
}

// user is the variable that is the caller's name.
const user = "user"

// An Error is what is wrong with a rule.
type Error struct {
	Rule  int    // its index
	Field string // of Rule
	Index int    // in the field's list; otherwise -1
	Value string // what it is
	Want  string // what it must be
}

func (e *Error) Error() string {
	field := e.Field
	if e.Index >= 0 {
		field = fmt.Sprintf("%s[%d]", e.Field, e.Index)
	}
	return fmt.Sprintf("rules: rules[%d].%s is %q; it must be %s", e.Rule, field, e.Value, e.Want)
}

// New returns the List of rules, which it copies. An error is an *Error, or that there are
// no rules: for none at all there is the nil *List.
func New(list []Rule, o Options) (*List, error) {
	if len(list) == 0 {
		return nil, errors.New("rules: there is no rule; leave the list out to allow everything")
	}
	o.Separator = cmp.Or(o.Separator, "/")
	o.RolesClaim = cmp.Or(o.RolesClaim, "roles")
	l := &List{o: o}
	for i, r := range list {
		parsed, err := newRule(r, o.Separator)
		if err != nil {
			err.Rule = i
			return nil, err
		}
		l.rules = append(l.rules, parsed)
	}
	return l, nil
}

func newRule(r Rule, separator string) (rule, *Error) {
	r.On, r.To, r.Who = slices.Clone(r.On), slices.Clone(r.To), r.Who.clone()
	if len(r.On) == 0 {
		r.On = []Action{Subscribe, Send, Create, Join, Read}
	}
	if len(r.To) > 0 && slices.Contains(r.On, Connect) {
		return rule{}, &Error{Field: "To", Index: 0, Value: r.To[0], Want: "left out for connect, which has no destination"}
	}
	if i := slices.Index(r.Who.Roles, ""); i >= 0 {
		return rule{}, &Error{Field: "Who.Roles", Index: i, Want: "a name"}
	}
	if i := slices.Index(r.Who.Users, ""); i >= 0 {
		return rule{}, &Error{Field: "Who.Users", Index: i, Want: "a name"}
	}
	parsed := rule{Rule: r}
	for i, text := range r.To {
		p, err := antpath.Parse(text, separator)
		switch {
		case err != nil:
			return rule{}, &Error{Field: "To", Index: i, Value: text, Want: "an Ant pattern: " + strings.TrimPrefix(err.Error(), "antpath: ")}
		case !strings.HasPrefix(text, "/") && (separator == "/" || !strings.HasPrefix(text, "*")):
			return rule{}, &Error{Field: "To", Index: i, Value: text, Want: "a destination or an Ant pattern that begins with /, such as /alarm/{user}"}
		case strings.Contains(text, "{"+user+":"):
			return rule{}, &Error{Field: "To", Index: i, Value: text, Want: "without an expression in {user}, which is the caller's name"}
		}
		parsed.to = append(parsed.to, pattern{p, slices.Contains(p.Variables(), user)})
	}
	return parsed, nil
}

// Separator is that of the destinations.
func (l *List) Separator() string { return l.o.Separator }

// A Verdict is what a List says.
type Verdict struct {
	Allowed bool
	Rule    int // index of the rule that decided; -1: none did
}

// ErrDenied is wrapped by what Verdict.Err returns.
var ErrDenied = errors.New("rules: access denied")

// Err says, for a log, which rule has refused what; nil where it is allowed.
func (v Verdict) Err(on Action, destination string) error {
	switch {
	case v.Allowed:
		return nil
	case v.Rule < 0:
		return fmt.Errorf("%w: no rule is about %s %s", ErrDenied, on, destination)
	}
	return fmt.Errorf("%w: rules[%d] refuses %s %s", ErrDenied, v.Rule, on, destination)
}

// Check says whether a caller may do something; nil is nobody. The destination is of all
// but Connect: of a room it is the path of its endpoint, / and its name. For Subscribe it
// may be a pattern, which is allowed where all is that it could receive. It takes no longer
// than the number of rules times the product of the lengths of pattern and destination.
func (l *List) Check(who *session.Identity, on Action, destination string) Verdict {
	if l == nil {
		return Verdict{Allowed: true, Rule: -1}
	}
	wanted := l.wanted(on, destination)
	for i := range l.rules {
		r := &l.rules[i]
		if !slices.Contains(r.On, on) {
			continue
		}
		included := r.Who.includes(who, l.o.RolesClaim)
		if !r.Allow && !included {
			continue
		}
		some, all := r.about(who, wanted)
		switch {
		case some && !(r.Allow && included):
			return Verdict{Rule: i}
		case all:
			return Verdict{Allowed: true, Rule: i}
		}
	}
	return Verdict{Allowed: on == Connect, Rule: -1}
}

// A destination is what a caller names: one, or a pattern.
type destination struct {
	text    string
	pattern *antpath.Pattern // nil: it is one destination
	unknown bool             // it is a pattern that cannot be read: it may receive anything
}

// wanted reads a destination. What is subscribed to may be a pattern.
func (l *List) wanted(on Action, text string) destination {
	d := destination{text: text}
	if on == Subscribe && antpath.IsPattern(text) {
		p, err := antpath.ParseUntrusted(text, l.o.Separator)
		d.pattern, d.unknown = p, err != nil
	}
	return d
}

// about tells whether a rule is about some of what is wanted, and about all of it.
func (r *rule) about(who *session.Identity, d destination) (some, all bool) {
	if len(r.to) == 0 {
		return true, true
	}
	for _, p := range r.to {
		bound := p.Pattern
		if p.user {
			var ok bool
			if bound, ok = p.Bind(user, nameOf(who)); !ok {
				continue
			}
		}
		switch {
		case d.unknown:
			some = true
		case d.pattern != nil:
			some = some || bound.Overlaps(d.pattern)
			all = all || bound.Covers(d.pattern)
		default:
			_, ok := bound.Match(d.text)
			some, all = some || ok, all || ok
		}
	}
	return some, all
}

func nameOf(who *session.Identity) string {
	if who == nil {
		return ""
	}
	return who.User
}
