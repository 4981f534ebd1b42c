package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMedianIsTheOneInTheMiddle(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 9}, 3.5},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("%v: %v", c.values, got)
		}
	}
}

func TestTableHasRatiosToTheOthers(t *testing.T) {
	results := map[string][]result{"switchback": make([]result, 3), "igm": make([]result, 3), "sockjs-node": make([]result, 3)}
	for i, us := range []float64{5, 40, 6} {
		results["switchback"][i].Flow.Server.PerUnit = us
		results["igm"][i].Flow.Server.PerUnit = 2 * us
	}
	node := results["sockjs-node"]
	node[0].Flow.Server.PerUnit, node[2].Flow.Server.PerUnit = 18, 6
	node[1].Sessions.Opened, node[1].Sessions.Lost = 64, 7
	table := &table{servers: []server{{name: "switchback"}, {name: "igm"}, {name: "sockjs-node"}}}
	table.add(load{name: "echo", metrics: []metric{cpuPerUnit}}, results)
	node[0].failure, node[2].failure = "a | b", "c"
	table.add(load{name: "worse", metrics: []metric{cpuPerUnit}}, results)
	var out strings.Builder
	table.print(&out)
	want := `|  | switchback | igm | sockjs-node | of igm | of sockjs-node |
| --- | --- | --- | --- | --- | --- |
| echo | 6.0 us | 12.0 us | 12.0 us; 1 of 3 runs broken: lost 7 of 64 sessions | 0.50 | 0.50 |
| worse | 6.0 us | 12.0 us | broken: a / b | 0.50 |  |
`
	if out.String() != want {
		t.Errorf("\n%s", out.String())
	}
}

func TestWhatAServerDidNotDoIsBroken(t *testing.T) {
	var lost, few, fewer, wrong, late, failed result
	lost.Sessions.Opened, lost.Sessions.Lost = 9, 2
	few.Sessions.Asked, few.Sessions.Opened = 9, 8
	fewer = few
	fewer.Notes = []string{"as many as fit"}
	wrong.Flow.Wrong = 3
	late.Flow.Sent, late.Flow.Lost = 10, 1
	failed.failure = "signal: killed: "
	for _, c := range []struct {
		load load
		r    result
		want string
	}{
		{load{}, result{}, ""},
		{load{}, lost, "lost 2 of 9 sessions"},
		{load{}, few, "opened 8 of 9 sessions"},
		{load{}, fewer, ""},
		{load{}, wrong, "3 wrong messages"},
		{load{}, late, "lost 1 of 10 messages"},
		{load{overload: true}, late, ""},
		{load{overload: true}, failed, "signal: killed: "},
	} {
		if got := c.load.broken(&c.r); got != c.want {
			t.Errorf("%q; want %q", got, c.want)
		}
	}
}

// Each load is put on the server for a moment, as the figures are read from
// what the command prints.
func TestEveryMetricOfTheComparisonIsMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: the comparison")
	}
	binary := filepath.Join(t.TempDir(), "switchback")
	if out, err := exec.Command("go", "build", "-o", binary, "switchback/cmd/switchback").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, scale := range []bool{false, true} {
		o := options{Switchback: binary, Data: filepath.Join("..", "..", "..", "..", "testdata", "bench"), Runs: 1, Quick: true, Scale: scale}
		servers, err := o.servers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range o.loads() {
			for _, s := range servers[:2] {
				t.Run(l.name+" "+s.name, func(t *testing.T) {
					t.Parallel()
					wantMetrics(t, &o, l, s)
				})
			}
		}
	}
}

// wantMetrics puts less of a load on a server. A system tells CPU in steps of
// 10 ms, and idle sessions may need less.
func wantMetrics(t *testing.T, o *options, l load, s server) {
	t.Helper()
	brief := map[string][]string{
		"idle":   {"--sessions=200", "--hold=50ms", "--settle=0s", "--heartbeat=1ms"},
		"echo":   {"--sessions=5", "--time=300ms", "--warmup=10ms"},
		"fanout": {"--sessions=5", "--time=300ms", "--warmup=10ms"},
		"open":   {"--time=300ms", "--warmup=10ms"},
	}
	l.flags, l.sizes = slices.Concat(l.flags, l.sizes[s.name]), nil
	atRate := slices.ContainsFunc(l.flags, func(f string) bool { return strings.HasPrefix(f, "--rate=") })
	l.flags = slices.Concat(l.flags, brief[l.command])
	if atRate { // which leaves a server idle for most of the time
		l.flags = append(l.flags, "--rate=2000", "--time=1s")
	}
	r, err := o.measureOne(t.Context(), l, s)
	if err != nil {
		t.Errorf("%s: %s: %v", l.name, s.name, err)
		return
	}
	if broken := l.broken(&r); broken != "" {
		if s.name != "igm" {
			t.Errorf("%s: %s", l.name, broken)
		}
		return
	}
	for _, m := range l.metrics {
		if m.of(&r) <= 0 && m.name != ": CPU" {
			t.Errorf("%s%s: %s: %v", l.name, m.name, s.name, m.of(&r))
		}
	}
}
