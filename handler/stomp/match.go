package stomp

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A pattern is an Ant path pattern. In a segment ? stands for one character, *
// for any number, {name} for any number that get a name, and {name:expression}
// for what a regular expression matches. The segment ** stands for any number of
// segments. Empty segments do not count.
type pattern struct {
	text      string
	separator string
	segments  []segment
	variables []string // names, in order
}

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

// isPattern tells whether a destination is one.
func isPattern(s string) bool {
	if strings.ContainsAny(s, "*?") {
		return true
	}
	open := strings.IndexByte(s, '{')
	return open >= 0 && strings.IndexByte(s[open:], '}') >= 0
}

func parsePattern(text, separator string) (*pattern, error) {
	p := &pattern{text: text, separator: separator}
	for part := range strings.SplitSeq(text, separator) {
		if part == "" {
			continue
		}
		s, err := p.parseSegment(part)
		if err != nil {
			return nil, fmt.Errorf("stomp: pattern %q: %w", text, err)
		}
		p.segments = append(p.segments, s)
	}
	return p, nil
}

func (p *pattern) parseSegment(part string) (segment, error) {
	switch {
	case !strings.ContainsAny(part, "*?{"):
		return segment{kind: literal, text: part}, nil
	case part == "**":
		return segment{kind: deep, text: part}, nil
	case strings.IndexByte(part, '{') < 0:
		return segment{kind: glob, text: part}, nil
	}
	if part[0] == '{' && closing(part) == len(part)-1 && !strings.ContainsAny(part[1:], "{:") {
		p.variables = append(p.variables, part[1:len(part)-1])
		return segment{kind: variable, text: part}, nil
	}
	return p.parseExpression(part)
}

// parseExpression makes a segment a regular expression.
func (p *pattern) parseExpression(part string) (segment, error) {
	s := segment{kind: expression, text: part}
	var b strings.Builder
	b.WriteString(`^(?s:`)
	for i := 0; i < len(part); {
		switch part[i] {
		case '?':
			b.WriteByte('.')
			i++
		case '*':
			b.WriteString(".*")
			i++
		case '{':
			n := closing(part[i:])
			if n < 0 {
				return segment{}, fmt.Errorf("%q: a brace is not closed", part)
			}
			name, expr, ok := strings.Cut(part[i+1:i+n], ":")
			if !ok {
				expr = ".*"
			}
			s.groups = append(s.groups, fmt.Sprint("variable", len(s.groups)))
			fmt.Fprintf(&b, "(?P<%s>%s)", s.groups[len(s.groups)-1], expr)
			p.variables = append(p.variables, name)
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

// match tells whether a path matches, and returns what its variables are, in
// order.
func (p *pattern) match(path string) (values []string, ok bool) {
	if strings.HasPrefix(path, p.separator) != strings.HasPrefix(p.text, p.separator) {
		return nil, false
	}
	var memory [16]string
	parts := split(memory[:0], path, p.separator)
	ends := strings.HasSuffix(path, p.separator)
	last := len(p.segments) - 1
	if last < 0 || p.segments[last].kind == deep || ends == strings.HasSuffix(p.text, p.separator) {
		return matchSegments(p.segments, parts)
	}
	if ends && p.segments[last].text == "*" { // an empty last segment
		return matchSegments(p.segments[:last], parts)
	}
	return nil, false
}

// split appends the segments of a path that are not empty.
func split(dst []string, path, separator string) []string {
	for part := range strings.SplitSeq(path, separator) {
		if part != "" {
			dst = append(dst, part)
		}
	}
	return dst
}

// matchSegments goes back no further than to the last ** that it met, so it is
// done in the product of the lengths.
func matchSegments(segments []segment, parts []string) (values []string, ok bool) {
	i, j := 0, 0
	back, from, kept := -1, 0, 0
	for j < len(parts) {
		switch {
		case i < len(segments) && segments[i].kind == deep:
			back, from, kept = i, j, len(values)
			i++
			continue
		case i < len(segments):
			if v, ok := segments[i].match(values, parts[j]); ok {
				values = v
				i++
				j++
				continue
			}
		}
		if back < 0 {
			return nil, false
		}
		from++
		i, j, values = back+1, from, values[:kept]
	}
	for i < len(segments) && segments[i].kind == deep {
		i++
	}
	return values, i == len(segments)
}

// match appends the values of the segment's variables.
func (s *segment) match(values []string, part string) ([]string, bool) {
	switch s.kind {
	case literal:
		return values, s.text == part
	case glob:
		return values, matchGlob(s.text, part)
	case variable:
		return append(values, part), true
	}
	found := s.regex.FindStringSubmatch(part)
	if found == nil {
		return values, false
	}
	for _, group := range s.groups {
		values = append(values, found[s.regex.SubexpIndex(group)])
	}
	return values, true
}

// matchGlob matches text with ? and *. Like matchSegments it goes back to the
// last * only.
func matchGlob(glob, s string) bool {
	i, j := 0, 0
	back, from := -1, 0
	for j < len(s) {
		switch {
		case i < len(glob) && glob[i] == '*':
			back, from = i, j
			i++
			continue
		case i < len(glob) && glob[i] == '?':
			_, size := utf8.DecodeRuneInString(s[j:])
			i++
			j += size
			continue
		case i < len(glob) && glob[i] == s[j]:
			i++
			j++
			continue
		}
		if back < 0 {
			return false
		}
		_, size := utf8.DecodeRuneInString(s[from:])
		from += size
		i, j = back+1, from
	}
	for i < len(glob) && glob[i] == '*' {
		i++
	}
	return i == len(glob)
}

// specific tells whether p goes before q where both match: the one that leaves
// less open.
func (p *pattern) specific(q *pattern) bool {
	if a, b := p.openness(), q.openness(); a != b {
		return a < b
	}
	return len(p.text) > len(q.text)
}

// openness counts what a pattern leaves open.
func (p *pattern) openness() int {
	n := 2 * len(p.variables)
	for _, s := range p.segments {
		switch s.kind {
		case deep:
			n += 100
		case glob, expression:
			n += 2*strings.Count(s.text, "*") + strings.Count(s.text, "?")
		}
	}
	return n
}
