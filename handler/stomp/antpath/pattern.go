package antpath

import (
	"fmt"
	"regexp"
	"strings"
)

// A Pattern is a parsed pattern. It is not changed any more: its methods may be called
// from any goroutine.
type Pattern struct {
	text      string
	separator string
	segments  []segment
	variables []string // names, in order
	open      openness
	bound     binding
}

// A binding is a variable that stands for a text: see Bind.
type binding struct{ name, value string }

type segmentKind uint8

const (
	literal    segmentKind = iota
	glob                   // with ? and *
	deep                   // **
	variable               // {name}
	expression             // anything else with variables
)

type segment struct {
	kind   segmentKind
	text   string
	regex  *regexp.Regexp
	groups []string // of the regular expression, one for each variable
}

// IsPattern tells whether a text stands for more than itself.
func IsPattern(text string) bool {
	if strings.ContainsAny(text, "*?") {
		return true
	}
	open := strings.IndexByte(text, '{')
	return open >= 0 && strings.IndexByte(text[open:], '}') >= 0
}

// String is the pattern's text.
func (p *Pattern) String() string { return p.text }

// Variables are the names of the pattern's variables, in order. The slice is the
// pattern's and must not be changed.
func (p *Pattern) Variables() []string { return p.variables }

// Prefix is what all paths that match begin with, where neither has empty segments.
func (p *Pattern) Prefix() string {
	i := strings.IndexAny(p.text, "*?{")
	if i < 0 {
		return p.text
	}
	prefix, rest := p.text[:i], p.text[i:]
	if strings.HasPrefix(rest, "**") { // may stand for nothing, without the separator before it
		prefix = strings.TrimSuffix(prefix, p.separator)
	}
	return prefix
}

// Base is the pattern's front, up to and with the separator before the first segment
// that has a wildcard; the whole text where none has.
func (p *Pattern) Base() string {
	i := strings.IndexAny(p.text, "*?{")
	if i < 0 {
		return p.text
	}
	return p.text[:strings.LastIndex(p.text[:i], p.separator)+1]
}

// Parse parses a pattern of the application's. Regular expressions are Go's; an error is
// of one of them, or of a brace that is not closed.
func Parse(text, separator string) (*Pattern, error) {
	return parse(text, separator, binding{})
}

// Bind returns the pattern with a value in place of a variable that has no expression. The
// value stands for itself, whatever it holds. It is false where no path can match: the
// value is empty, or has the separator.
func (p *Pattern) Bind(name, value string) (*Pattern, bool) {
	if value == "" || strings.Contains(value, p.separator) {
		return nil, false
	}
	bound, err := parse(p.text, p.separator, binding{name, value})
	return bound, err == nil
}

func parse(text, separator string, bound binding) (*Pattern, error) {
	p := &Pattern{text: text, separator: separator, bound: bound}
	for part := range strings.SplitSeq(text, separator) {
		if part == "" {
			continue
		}
		s, err := p.parseSegment(part)
		if err != nil {
			return nil, fmt.Errorf("antpath: pattern %q: %w", text, err)
		}
		p.segments = append(p.segments, s)
	}
	return p, nil
}

func (p *Pattern) parseSegment(part string) (segment, error) {
	switch {
	case !strings.ContainsAny(part, "*?{"):
		return segment{kind: literal, text: part}, nil
	case part == "**":
		p.open.double++
		return segment{kind: deep, text: part}, nil
	case strings.IndexByte(part, '{') < 0:
		p.open.glob(part)
		return segment{kind: glob, text: part}, nil
	}
	if variable := "{" + p.bound.name + "}"; p.bound.name != "" && !strings.ContainsAny(strings.ReplaceAll(part, variable, ""), "*?{") {
		return segment{kind: literal, text: strings.ReplaceAll(part, variable, p.bound.value)}, nil
	}
	if part[0] == '{' && closing(part) == len(part)-1 && !strings.ContainsAny(part[1:], "{:") {
		p.variables = append(p.variables, part[1:len(part)-1])
		p.open.spelled += len(part) - 1
		return segment{kind: variable, text: part}, nil
	}
	return p.parseExpression(part)
}

// parseExpression makes a segment a regular expression.
func (p *Pattern) parseExpression(part string) (segment, error) {
	s := segment{kind: expression, text: part}
	var b strings.Builder
	b.WriteString(`^(?s:`)
	for i := 0; i < len(part); {
		switch part[i] {
		case '?':
			b.WriteByte('.')
			p.open.question++
			i++
		case '*':
			b.WriteString(".*")
			p.open.single++
			i++
		case '{':
			n := closing(part[i:])
			if n < 0 {
				return segment{}, fmt.Errorf("%q: a brace is not closed", part)
			}
			name, expr, ok := strings.Cut(part[i+1:i+n], ":")
			if !ok && name == p.bound.name && name != "" {
				b.WriteString(regexp.QuoteMeta(p.bound.value))
				i += n + 1
				continue
			}
			if !ok {
				expr = ".*"
			}
			s.groups = append(s.groups, fmt.Sprint("variable", len(s.groups)))
			fmt.Fprintf(&b, "(?P<%s>%s)", s.groups[len(s.groups)-1], expr)
			p.variables = append(p.variables, name)
			p.open.spelled += n
			i += n + 1
		default:
			n := strings.IndexAny(part[i+1:], "?*{")
			if n < 0 {
				n = len(part) - i - 1
			}
			b.WriteString(regexp.QuoteMeta(part[i : i+1+n]))
			i += 1 + n
		}
	}
	b.WriteString(`)$`)
	var err error
	s.regex, err = regexp.Compile(b.String())
	return s, err
}

// closing returns where the brace with which s begins is closed, or -1.
func closing(s string) int {
	open := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return -1
}

// MaxUntrusted is how many bytes a pattern may have that ParseUntrusted takes: a match takes
// up to the product of the lengths of pattern and path, of which this is the one.
const MaxUntrusted = 200

// names are what a pattern without regular expressions may have in braces.
var names = regexp.MustCompile(`\{[^{}:]*\}`)

// ParseUntrusted parses a pattern that a stranger has chosen: of at most MaxUntrusted
// bytes, and without regular expressions, which take much memory. A variable has a value
// where it is a segment; a part of one is as good as *.
func ParseUntrusted(text, separator string) (*Pattern, error) {
	if len(text) > MaxUntrusted {
		return nil, fmt.Errorf("antpath: a pattern must not be longer than %d bytes", MaxUntrusted)
	}
	p := &Pattern{text: text, separator: separator}
	for _, part := range split(nil, text, separator) {
		s, err := p.parseUntrusted(part)
		if err != nil {
			return nil, err
		}
		p.segments = append(p.segments, s)
	}
	return p, nil
}

func (p *Pattern) parseUntrusted(part string) (segment, error) {
	plain := names.ReplaceAllString(part, "*")
	switch {
	case strings.IndexByte(plain, '{') >= 0:
		return segment{}, fmt.Errorf("antpath: %q: braces hold a name; regular expressions are not taken", part)
	case plain == part, plain == "*":
		return p.parseSegment(part)
	}
	p.open.glob(plain)
	p.open.spelled += len(part) - len(plain)
	return segment{kind: glob, text: plain}, nil
}
