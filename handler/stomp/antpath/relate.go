package antpath

import (
	"strings"
	"unicode/utf8"
)

// Covers tells whether p matches every path that q matches. It is false where that is not
// sure, as of a regular expression. It takes no longer than the product of the lengths. The
// separators of both must be the same.
func (p *Pattern) Covers(q *Pattern) bool {
	if p.rooted() != q.rooted() {
		return false
	}
	for _, ends := range []bool{false, true} {
		of, some := q.matching(ends)
		if !some {
			continue
		}
		by, some := p.matching(ends)
		if !some || !relatedSegments(by, of, true) {
			return false
		}
	}
	return true
}

// Overlaps tells whether there may be a path that both p and q match. It is true where
// that is not sure. It takes no longer than the product of the lengths. The separators of
// both must be the same.
func (p *Pattern) Overlaps(q *Pattern) bool {
	if p.rooted() != q.rooted() {
		return false
	}
	for _, ends := range []bool{false, true} {
		a, some := p.matching(ends)
		b, more := q.matching(ends)
		if some && more && relatedSegments(a, b, false) {
			return true
		}
	}
	return false
}

func (p *Pattern) rooted() bool { return strings.HasPrefix(p.text, p.separator) }

// matching returns the segments that the segments of a path have to match, for paths that
// end with a separator and for those that do not, as Match has it. It is false where the
// pattern matches none of these paths.
func (p *Pattern) matching(ends bool) ([]segment, bool) {
	last := len(p.segments) - 1
	if last < 0 || p.segments[last].kind == deep || ends == strings.HasSuffix(p.text, p.separator) {
		return p.segments, true
	}
	if ends && p.segments[last].kind == glob && p.segments[last].text == "*" {
		return p.segments[:last], true
	}
	return nil, false
}

// related compares two sequences, of n and m elements, of which some stand for any number
// of others: those are left behind, or take one of the other sequence. one compares two
// elements that each stand for one. Whether the first covers the second is what covers
// asks for, otherwise it is whether they overlap.
func related(n, m int, covers bool, anyOf, anyOfOther func(i int) bool, one func(i, j int) bool) bool {
	next := make([]bool, m+1) // by j: for what follows i, and what begins with j
	row := make([]bool, m+1)
	for i := n; i >= 0; i-- {
		for j := m; j >= 0; j-- {
			switch {
			case i == n && j == m:
				row[j] = true
			case i < n && anyOf(i):
				row[j] = next[j] || j < m && row[j+1]
			case j < m && anyOfOther(j):
				row[j] = !covers && (row[j+1] || i < n && next[j])
			default:
				row[j] = i < n && j < m && next[j+1] && one(i, j)
			}
		}
		next, row = row, next
	}
	return next[0]
}

func relatedSegments(p, q []segment, covers bool) bool {
	one := overlapping
	if covers {
		one = covering
	}
	return related(len(p), len(q), covers,
		func(i int) bool { return p[i].kind == deep },
		func(j int) bool { return q[j].kind == deep },
		func(i, j int) bool { return one(&p[i], &q[j]) })
}

// covering tells whether p matches every segment of a path that q matches.
func covering(p, q *segment) bool {
	switch {
	case p.kind == q.kind && p.text == q.text:
		return true
	case q.kind == literal:
		_, ok := p.match(nil, q.text)
		return ok
	case p.kind == variable, p.kind == glob && strings.Trim(p.text, "*") == "": // of an expression, too
		return true
	case p.kind == literal, p.kind == expression, q.kind == expression:
		return false
	}
	return relatedGlobs(p.globText(), q.globText(), true)
}

// overlapping tells whether a segment of a path may match both.
func overlapping(p, q *segment) bool {
	switch {
	case p.kind == literal:
		_, ok := q.match(nil, p.text)
		return ok
	case q.kind == literal:
		_, ok := p.match(nil, q.text)
		return ok
	case p.kind == expression, q.kind == expression:
		return true
	}
	return relatedGlobs(p.globText(), q.globText(), false)
}

// globText is the text of a glob, or that of one which matches what the variable does.
func (s *segment) globText() string {
	if s.kind == variable {
		return "*"
	}
	return s.text
}

// relatedGlobs compares what globs match. They match character by character where they
// are UTF-8; of others nothing is sure.
func relatedGlobs(p, q string, covers bool) bool {
	if !utf8.ValidString(p) || !utf8.ValidString(q) {
		return !covers
	}
	a, b := []rune(p), []rune(q)
	return related(len(a), len(b), covers,
		func(i int) bool { return a[i] == '*' },
		func(j int) bool { return b[j] == '*' },
		func(i, j int) bool { return a[i] == b[j] || a[i] == '?' || b[j] == '?' && !covers })
}
