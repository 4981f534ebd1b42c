package stomp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"switchback/handler/stomp/antpath"
)

func TestPatternsOfOneClientCostLittle(t *testing.T) {
	g := newPatterns(nil)
	glob := "/topic/*" + strings.Repeat("a", antpath.MaxUntrusted-11)
	for i := range 100 {
		p, err := antpath.ParseUntrusted(fmt.Sprintf("%s%03d", glob, i), "/")
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
