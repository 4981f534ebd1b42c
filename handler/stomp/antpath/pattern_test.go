package antpath

import (
	"cmp"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPatternsMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"test", "test", true}, {"/test", "/test", true}, {"/test", "test", false}, {"test", "/test", false},
		{"t?st", "test", true}, {"t?st", "tst", false}, {"??st", "test", true}, {"te?", "té", false}, {"t?", "té", true},
		{"*", "test", true}, {"test*", "test", true}, {"test*", "testTest", true}, {"*test", "AnothertestX", false},
		{"*test*", "AnothertestX", true}, {"test*aaa", "testblaaaa", true}, {"test*", "test/x", false}, {"a*b*c", "aXbXbXc", true},
		{"/?", "/a", true}, {"/?/a", "/a/a", true}, {"/a/?", "/a/bb", false},
		{"/*", "/", true}, {"/*", "/a", true}, {"/*", "/a/b", false}, {"/*", "/a/", false},
		{"/a/*", "/a/", true}, {"/a/*", "/a", false}, {"/a/b", "/a/b/", false}, {"/a/b/", "/a/b", false}, {"/a/", "/a/", true},
		{"/**", "/testing/testing", true}, {"/**", "/", true}, {"/a/**", "/a", true}, {"/a/**", "/a/", true}, {"/a/**", "/b", false},
		{"/*/**", "/testing/testing", true}, {"/**/*", "/testing/testing", true}, {"/**/test", "/test", true}, {"/**/test", "/a/b/test", true},
		{"/bla/**/bla", "/bla/testing/testing/bla", true}, {"/bla/**/bla", "/bla/bla", true}, {"/bla/**/**/bla", "/bla/x/bla/bla", true},
		{"/*bla*/**/bla/**", "/XXXblaXXXX/testing/bla/testing/", true}, {"/bla*bla/test", "/blaXXXbl/test", false},
		{"/**/a/**/b/**", "/x/a/y/b", true}, {"/**/a/**/b/**", "/x/b/y/a", false},
		{"/{id}", "/7", true}, {"/{id}", "/a/b", false}, {"/{id:[0-9]+}", "/7", true}, {"/{id:[0-9]+}", "/x", false}, {"/{id:[0-9]+}", "/7x", false},
		{"/x{a}y{b}", "/x1y2", true}, {"/{a}.json", "/b.json", true}, {"/{a}.json", "/bxjson", false}, {"/{a:\\d{2}}", "/12", true}, {"/{a:\\d{2}}", "/123", false},
		{"/a.*", "/aXb", false}, {"/a.{b}*?", "/a.xyz", true}, {"/topic/(x", "/topic/(x", true},
		{"", "", true}, {"", "x", false}, {"/", "/", true},
	} {
		p, err := Parse(c.pattern, "/")
		if err != nil {
			t.Fatal(err)
		}
		if _, got := p.Match(c.path); got != c.want {
			t.Errorf("%s matches %s: got %v", c.pattern, c.path, got)
		}
	}
}

func TestVariablesGetTheirValues(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		names, want   []string
	}{
		{"/chat/{room}", "/chat/7", []string{"room"}, []string{"7"}},
		{"/{a}/{b:[a-z]+}-{c}", "/1/x-2", []string{"a", "b", "c"}, []string{"1", "x", "2"}},
		{"/{a}/**/{b}", "/1/2/3/4", []string{"a", "b"}, []string{"1", "4"}},
		{"/{a}/**/x/{b}", "/1/x/2/x/3", []string{"a", "b"}, []string{"1", "3"}},
		{"/{a:(x|(?P<y>y))+}", "/xyx", []string{"a"}, []string{"xyx"}},
	} {
		p, err := Parse(c.pattern, "/")
		if err != nil {
			t.Fatal(err)
		}
		values, ok := p.Match(c.path)
		if !ok || !reflect.DeepEqual(p.variables, c.names) || !reflect.DeepEqual(values, c.want) {
			t.Errorf("%s of %s: got %v, %v", c.pattern, c.path, p.variables, values)
		}
	}
}

func TestPatternsThatAreNone(t *testing.T) {
	for _, text := range []string{"/{a", "/{", "/*{a", "/{a:[}x", "/{a:(}"} {
		if _, err := Parse(text, "/"); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func TestMatchingTakesNoLongTime(t *testing.T) {
	p, err := Parse("/"+strings.Repeat("**/a/", 100)+"b", "/")
	if err != nil {
		t.Fatal(err)
	}
	path, text := "/"+strings.Repeat("a/", 2000)+"c", strings.Repeat("a", 2000)
	start := time.Now()
	if _, ok := p.Match(path); ok {
		t.Error("matches")
	}
	if matchGlob(strings.Repeat("*a", 100)+"b", text) {
		t.Error("matches")
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestMoreSpecificPatternsGoFirst(t *testing.T) {
	order := []string{
		"/hotels/new", "/hotels/new?", "/hotels/n??", // ? counts for less than *
		"/hotels/new*", "/{x}/bookings", "/hotels/{identifier}", "/hotels/*", // a name's length says nothing
		"/hotels/{a:[0-9]*}/{b}", "/{a}/{b}/{c}/{d}", // nor does an expression
		"/hotels/new/**", "/hotels/**", "/**/{a}", "/**/hotels/**", "/**", // ** goes behind, alone last
	}
	var patterns []*Pattern
	for _, text := range order {
		p, err := Parse(text, "/")
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	for i, p := range patterns {
		for j, q := range patterns {
			if got := p.Compare(q); got != cmp.Compare(i, j) {
				t.Errorf("%s and %s: got %d", p, q, got)
			}
		}
	}
}

func TestFrontOfAPattern(t *testing.T) {
	for text, want := range map[string][2]string{
		"/topic/*": {"/topic/", "/topic/"}, "/topic/**": {"/topic", "/topic/"}, "/topic/a?/b": {"/topic/a", "/topic/"}, "/topic/{x}": {"/topic/", "/topic/"},
		"/topic/a**b": {"/topic/a", "/topic/"}, "/**": {"", "/"}, "/topic/a": {"/topic/a", "/topic/a"}, "*": {"", ""},
	} {
		p, err := Parse(text, "/")
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{p.Prefix(), p.Base()}; got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestVariablesOfStrangersAreWildcards(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/topic/{a}", "/topic/x", true}, {"/topic/{a}", "/topic/x/y", false}, {"/topic/{a}", "/topic/", false},
		{"/topic/{a}.json", "/topic/x.json", true}, {"/topic/{a}.json", "/topic/x.xml", false},
		{"/topic/{a}{b}", "/topic/x", true}, {"/topic/{a}{b}", "/topic/x/y", false}, {"/topic/{a}*/z", "/topic/x/y/z", false},
		{"/topic/x{a}?", "/topic/xy", true}, {"/topic/**/{a}", "/topic/x/y/z", true}, {"/topic/*:a", "/topic/x:a", true},
	} {
		p, err := ParseUntrusted(c.pattern, "/")
		if err != nil {
			t.Fatal(err)
		}
		if _, got := p.Match(c.path); got != c.want {
			t.Errorf("%s matches %s: got %v", c.pattern, c.path, got)
		}
	}
}

func TestStrangersHaveNoExpressions(t *testing.T) {
	for _, text := range []string{"/topic/{a:7}", "/topic/x{a:.*}y", "/topic/{a{b}}", "/topic/{a", "/topic/" + strings.Repeat("?", MaxUntrusted)} {
		if _, err := ParseUntrusted(text, "/"); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("/topic/*", "/topic/a")
	f.Add("/{a:[a-z]+}/**/x{b}?", "/a/b/x1")
	f.Fuzz(func(t *testing.T, text, path string) {
		p, err := ParseUntrusted(text, "/")
		if err != nil {
			return
		}
		start := time.Now()
		values, ok := p.Match(path)
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("%q of %q took %v", text, path, took)
		}
		if ok && len(values) != len(p.variables) {
			t.Errorf("%q of %q: %d values for %d variables", text, path, len(values), len(p.variables))
		}
		if ok && !strings.Contains(text, "//") && !strings.Contains(path, "//") && !strings.HasPrefix(path, p.Prefix()) {
			t.Errorf("%q matches %q, which does not begin with %q", text, path, p.Prefix())
		}
	})
}
