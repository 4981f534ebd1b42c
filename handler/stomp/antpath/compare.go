package antpath

import (
	"slices"
	"strings"
)

// Compare is negative where p is more specific than q, positive where q is more specific,
// and 0 where neither is. Of the patterns that match a path the most specific is to be
// tried first.
//
// It is Spring's AntPatternComparator, made an order that patterns can be sorted by. What is
// compared is, one after the other,
//
//   - whether the pattern is ** alone, which goes last
//   - whether it has ** at all
//   - the number of wildcards: *, {name}, and ** for two
//   - the number of ?, which Spring does not count
//   - the length, with a variable for one character: the longer goes first
//   - the number of *: {name} goes before *
//
// Spring asks for ** at the end before it counts wildcards, and for ** elsewhere not at all.
// So with it /{a}/{b}/{c}/{d} goes before /x/**, that before /**/{a}, and that before the
// first.
func (p *Pattern) Compare(q *Pattern) int {
	a, b := p.weights(), q.weights()
	return slices.Compare(a[:], b[:])
}

// weights are what Compare compares.
func (p *Pattern) weights() [6]int {
	o := &p.open
	alone := 0
	if len(p.segments) == 1 {
		alone = o.double
	}
	return [...]int{alone, min(o.double, 1), len(p.variables) + o.single + 2*o.double, o.question, o.spelled - len(p.text), o.single}
}

// An openness is what a pattern leaves open, beside its variables.
type openness struct {
	double, single, question int // **, * and ?
	spelled                  int // bytes of variables beyond one each
}

// glob counts the wildcards of a segment without variables.
func (o *openness) glob(part string) {
	o.single += strings.Count(part, "*")
	o.question += strings.Count(part, "?")
}
