package antpath

import (
	"cmp"
	"strings"
)

// Compare is negative where p is more specific than q, positive where q is more specific,
// and 0 where neither is. Of the patterns that match a path the most specific is tried
// first. It is an order: patterns can be sorted by it.
func (p *Pattern) Compare(q *Pattern) int {
	return cmp.Or(cmp.Compare(p.openness(), q.openness()), cmp.Compare(len(q.text), len(p.text)))
}

// openness counts what a pattern leaves open.
func (p *Pattern) openness() int {
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
