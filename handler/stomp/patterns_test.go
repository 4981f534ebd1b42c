package stomp

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPatternsOfOneClientCostLittle(t *testing.T) {
	g := newPatterns(nil)
	glob := "/topic/*" + strings.Repeat("a", maxPattern-11)
	for i := range 100 {
		p, err := clientPattern(fmt.Sprintf("%s%03d", glob, i), "/")
		if err != nil {
			t.Fatal(err)
		}
		g.topic(keyPattern{kind: "d:", pattern: p})
	}
	start := time.Now()
	if found := g.matching("d:/topic/" + strings.Repeat("a", 1000)); len(found) != 0 {
		t.Errorf("%d match", len(found))
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestVariablesOfAClientAreWildcards(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/topic/{a}", "/topic/x", true}, {"/topic/{a}", "/topic/x/y", false}, {"/topic/{a}", "/topic/", false},
		{"/topic/{a}.json", "/topic/x.json", true}, {"/topic/{a}.json", "/topic/x.xml", false},
		{"/topic/{a}{b}", "/topic/x", true}, {"/topic/{a}{b}", "/topic/x/y", false}, {"/topic/{a}*/z", "/topic/x/y/z", false},
		{"/topic/x{a}?", "/topic/xy", true}, {"/topic/**/{a}", "/topic/x/y/z", true}, {"/topic/*:a", "/topic/x:a", true},
	} {
		p, err := clientPattern(c.pattern, "/")
		if err != nil {
			t.Fatal(err)
		}
		if _, got := p.match(c.path); got != c.want {
			t.Errorf("%s matches %s: got %v", c.pattern, c.path, got)
		}
	}
}

func TestClientsHaveNoExpressions(t *testing.T) {
	for _, text := range []string{"/topic/{a:7}", "/topic/x{a:.*}y", "/topic/{a{b}}", "/topic/{a", "/topic/" + strings.Repeat("?", maxPattern)} {
		if _, err := clientPattern(text, "/"); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
