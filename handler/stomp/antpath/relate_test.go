package antpath

import (
	"slices"
	"strings"
	"testing"
)

func mustParse(t testing.TB, text string) *Pattern {
	t.Helper()
	p, err := Parse(text, "/")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// How a pattern relates to another: covers it, overlaps with it, or has no path in common.
func TestRelations(t *testing.T) {
	for _, c := range []struct{ p, q, want string }{
		{"/a", "/a", "covers"}, {"/a", "/b", "apart"}, {"/a", "a", "apart"}, {"/a", "/a/", "apart"}, {"/a//b", "/a/b", "covers"},
		{"/*", "/a", "covers"}, {"/a", "/*", "overlaps"}, {"/*", "/*", "covers"}, {"/*", "/a/b", "apart"}, {"/*", "/**", "overlaps"},
		{"/**", "/*", "covers"}, {"/**", "/**", "covers"}, {"/**", "/", "covers"}, {"/**", "/a/**/b/*", "covers"}, {"/**", "**", "apart"},
		{"/a/**", "/a", "covers"}, {"/a/**", "/a/*", "covers"}, {"/a/**", "/a/**/b", "covers"}, {"/a/**", "/**", "overlaps"}, {"/a/**", "/b/**", "apart"},
		{"/**/a", "/**/b", "apart"}, {"/**/a", "/b/**", "overlaps"}, {"/a/**", "/**/b", "overlaps"}, {"/a/**/b", "/a/*/b", "covers"},
		{"/**/**", "/**", "covers"}, {"/**/*", "/**", "overlaps"}, {"/*/**", "/a/**", "covers"}, {"/*/**", "/**/a", "overlaps"}, // it does cover
		{"/{x}", "/*", "overlaps"}, // not /, which /* matches
		{"/*", "/{x}", "covers"}, {"/{x}", "/{y}", "covers"}, {"/{x}", "/a", "covers"},
		{"/a*", "/ab*", "covers"}, {"/ab*", "/a*", "overlaps"}, {"/a*", "/*b", "overlaps"}, {"/a*", "/b*", "apart"}, {"/a?", "/ab", "covers"},
		{"/a?", "/a*", "overlaps"}, {"/a*", "/a?", "covers"}, {"/??", "/?", "apart"}, {"/??", "/*", "overlaps"}, {"/*a*b*", "/xaxbx", "covers"}, {"/*a*b*", "/*ab", "covers"},
		{"/?", "/é", "covers"}, {"/??", "/é", "apart"}, {"/é", "/?", "overlaps"}, {"/*é", "/?é", "covers"},
		{"/{id:[0-9]+}", "/7", "covers"}, {"/{id:[0-9]+}", "/x", "apart"}, {"/{id:[0-9]+}", "/{id:[0-9]+}", "covers"},
		{"/{id:[0-9]+}", "/{x:[a-z]+}", "overlaps"}, {"/*", "/{id:[0-9]+}", "covers"}, {"/x*", "/{id:[0-9]+}", "overlaps"}, // neither is sure
		{"/alarm/*", "/alarm/7", "covers"}, {"/alarm/7", "/alarm/?", "overlaps"}, {"/alarm/7", "/*/7", "overlaps"}, {"/alarm/7", "/alarm/8*", "apart"},
		{"", "", "covers"}, {"/", "/", "covers"}, {"", "a", "apart"}, {"/\xff*", "/\xff*", "covers"}, {"/\xff?", "/*x", "overlaps"}, // not UTF-8: not sure
	} {
		p, q := mustParse(t, c.p), mustParse(t, c.q)
		got := "apart"
		switch {
		case p.Covers(q):
			got = "covers"
		case p.Overlaps(q):
			got = "overlaps"
		}
		if got != c.want {
			t.Errorf("%s and %s: %s, want %s", c.p, c.q, got, c.want)
		}
		if p.Covers(q) && !p.Overlaps(q) || p.Overlaps(q) != q.Overlaps(p) {
			t.Errorf("%s and %s: covers %v, overlaps %v, the other way %v", c.p, c.q, p.Covers(q), p.Overlaps(q), q.Overlaps(p))
		}
	}
}

// paths are all of up to three segments of up to two letters, with and without a slash at
// each end.
var paths = func() (all []string) {
	segments := []string{"a", "b", "aa", "ab", "ba", "bb"}
	bodies := []string{"", "a/a/a/a"}
	level := []string{""}
	for range 3 {
		var deeper []string
		for _, front := range level {
			for _, s := range segments {
				deeper = append(deeper, strings.TrimPrefix(front+"/"+s, "/"))
			}
		}
		bodies, level = append(bodies, deeper...), deeper
	}
	for _, body := range bodies {
		all = append(all, body, "/"+body, body+"/", "/"+body+"/")
	}
	return all
}()

// checkRelation compares a relation with what the patterns match of paths.
func checkRelation(t *testing.T, p, q *Pattern) {
	t.Helper()
	covers, overlaps := p.Covers(q), p.Overlaps(q)
	for _, path := range paths {
		_, byP := p.Match(path)
		_, byQ := q.Match(path)
		if covers && byQ && !byP {
			t.Fatalf("%q covers %q, but for %q", p, q, path)
		}
		if !overlaps && byP && byQ {
			t.Fatalf("%q does not overlap %q, but both match %q", p, q, path)
		}
	}
}

// Every pattern of a few, against every other.
func TestRelationsHoldForPaths(t *testing.T) {
	parts := []string{"a", "ab", "*", "?", "a*", "*b", "**", "{x}", "{x:a+}"}
	texts := []string{"", "/"}
	for _, one := range parts {
		texts = append(texts, one, "/"+one, "/"+one+"/")
		for _, two := range parts {
			texts = append(texts, "/"+one+"/"+two, "/a/"+one+"/"+two)
		}
	}
	if testing.Short() {
		texts = slices.DeleteFunc(texts, func(text string) bool { return strings.HasPrefix(text, "/a/") })
	}
	matched := make(map[string][]bool)
	patterns := make([]*Pattern, len(texts))
	for i, text := range texts {
		patterns[i] = mustParse(t, text)
		for _, path := range paths {
			_, ok := patterns[i].Match(path)
			matched[text] = append(matched[text], ok)
		}
	}
	covers, really, overlaps, together := 0, 0, 0, 0
	for i, p := range patterns {
		for j, q := range patterns {
			a, b := matched[texts[i]], matched[texts[j]]
			within, common := true, false
			for k := range paths {
				within = within && (a[k] || !b[k])
				common = common || a[k] && b[k]
			}
			c, o := p.Covers(q), p.Overlaps(q)
			if c && !within || !o && common {
				t.Fatalf("%q and %q: covers %v, overlaps %v", p, q, c, o)
			}
			for b, n := range map[*int]bool{&covers: c, &really: within, &overlaps: o, &together: common} {
				if n {
					*b++
				}
			}
		}
	}
	// What is not sure is little, or the relations say nothing.
	if covers*10 < really*7 || overlaps*10 > together*13 {
		t.Errorf("covers %d of %d, overlaps %d for %d", covers, really, overlaps, together)
	}
}

func FuzzRelation(f *testing.F) {
	f.Add("/a/**", "/*/b")
	f.Add("/*/**/a", "/**/{x}/")
	f.Add("/a?*", "/*b/")
	f.Fuzz(func(t *testing.T, a, b string) {
		p, err := Parse(a, "/")
		q, err2 := ParseUntrusted(b, "/")
		if err != nil || err2 != nil || len(a) > MaxUntrusted {
			return
		}
		checkRelation(t, p, q)
		checkRelation(t, q, p)
	})
}

// A value stands for itself, whatever characters it has.
func TestBoundVariablesStandForTheirValues(t *testing.T) {
	for _, c := range []struct {
		pattern, value string
		matches, not   []string
	}{
		{"/alarm/{user}", "kim", []string{"/alarm/kim"}, []string{"/alarm/lee", "/alarm/{user}", "/alarm/", "/alarm/kim/x"}},
		{"/alarm/{user}", "*", []string{"/alarm/*"}, []string{"/alarm/x", "/alarm/"}},
		{"/alarm/{user}", "k?m", []string{"/alarm/k?m"}, []string{"/alarm/kim"}},
		{"/alarm/{user}", "**", []string{"/alarm/**"}, []string{"/alarm/x/y"}},
		{"/alarm/{user}", "{x}", []string{"/alarm/{x}"}, []string{"/alarm/x"}},
		{"/alarm/{user}", "{user}", []string{"/alarm/{user}"}, []string{"/alarm/x"}},
		{"/x-{user}.json", "*", []string{"/x-*.json"}, []string{"/x-kim.json"}},
		{"/{user}-*", "a.c", []string{"/a.c-1"}, []string{"/abc-1"}},
		{"/**/{user}/**", "kim", []string{"/kim", "/a/b/kim/c"}, []string{"/a/b/c"}},
		{"/{x}/{user}", "kim", []string{"/a/kim"}, []string{"/a/b"}},
		{"/{user}{user}", "k", []string{"/kk"}, []string{"/k", "/kkk"}},
	} {
		p, ok := mustParse(t, c.pattern).Bind("user", c.value)
		if !ok {
			t.Fatalf("%s with %s: nothing matches", c.pattern, c.value)
		}
		for _, path := range slices.Concat(c.matches, c.not) {
			values, got := p.Match(path)
			if got != slices.Contains(c.matches, path) || got && len(values) != len(p.Variables()) {
				t.Errorf("%s with %s of %s: %v, %q", c.pattern, c.value, path, got, values)
			}
		}
	}
	for _, value := range []string{"", "/", "a/b", "../x"} {
		if p, ok := mustParse(t, "/alarm/{user}").Bind("user", value); ok {
			t.Errorf("%q is taken: %v", value, p)
		}
	}
}
