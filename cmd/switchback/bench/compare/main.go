// Compare puts the same load on this server, on the same handlers over
// igm/sockjs-go, and, where Node is there, on sockjs-node, one after the other,
// and prints what each of them took as a table in Markdown.
//
//	go run ./cmd/switchback/bench/compare --help
//
// Each figure is the median of some runs, but for those in which a server lost
// something: what it lost stands beside it. In a run the servers take turns, and
// each begins as a new process, so that all of them find the machine alike.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type options struct {
	Switchback string `default:"bin/switchback" help:"The binary: it serves, and it is the load."`
	Data       string `default:"testdata/bench" help:"Folder of the configurations, and of the server in Node."`
	Runs       int    `env:"BENCH_RUNS" placeholder:"N" help:"Runs to take the median of. The default is 3, and 1 with --quick."`
	Quick      bool   `env:"BENCH_QUICK" help:"Less of everything: figures that tell whether it works."`
	Rows       string `env:"BENCH_ROWS" placeholder:"REGEXP" help:"Only the rows whose names match."`
	Scale      bool   `help:"In place of the comparison: this server alone, with few sessions and with many."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("compare"), kong.Description("Puts the same load on three SockJS servers."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context) error {
	if o.Runs <= 0 {
		o.Runs = o.defaultRuns()
	}
	wanted, err := regexp.Compile(o.Rows)
	if err != nil {
		return fmt.Errorf("--rows: %w", err)
	}
	servers, err := o.servers()
	if err != nil {
		return err
	}
	t := &table{servers: servers}
	for _, l := range o.loads() {
		if wanted.MatchString(l.name) {
			t.add(l, o.measure(ctx, l, servers))
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t.print(os.Stdout)
	o.printMachine(os.Stdout, servers)
	return nil
}

func (o *options) defaultRuns() int {
	if o.Quick {
		return 1
	}
	return 3
}

// servers are those that are there.
func (o *options) servers() ([]server, error) {
	if _, err := os.Stat(o.Switchback); err != nil {
		return nil, fmt.Errorf("%w; make build makes it", err)
	}
	serve := func(config string) []string {
		return []string{o.Switchback, "serve", "--config", filepath.Join(o.Data, config)}
	}
	own := serve("switchback.yaml")
	if o.Scale {
		return []server{{many, own}, {few, own}}, nil
	}
	servers := []server{{"switchback", own}, {"igm", serve("igm.yaml")}}
	node, err := exec.LookPath("node")
	_, err2 := os.Stat(filepath.Join(o.Data, "node_modules", "sockjs"))
	if errors.Join(err, err2) != nil {
		fmt.Fprintln(os.Stderr, "compare: without sockjs-node: it needs Node, and npm ci in", o.Data)
		return servers, nil
	}
	return append(servers, server{"sockjs-node", []string{node, filepath.Join(o.Data, "sockjs-node.js")}}), nil
}

func (o *options) loads() []load {
	if o.Scale {
		return scaleLoads(o.Quick)
	}
	return loads(o.Quick)
}

// measure puts a load on each of the servers, as often as there are runs.
func (o *options) measure(ctx context.Context, l load, servers []server) map[string][]result {
	results := map[string][]result{}
	for run := range o.Runs {
		for _, s := range servers {
			fmt.Fprintf(os.Stderr, "compare: %s: %s, run %d of %d\n", l.name, s.name, run+1, o.Runs)
			r, err := o.measureOne(ctx, l, s)
			if err != nil {
				fmt.Fprintf(os.Stderr, "compare: %v\n", err)
				r.failure = err.Error()
			}
			results[s.name] = append(results[s.name], r)
		}
	}
	return results
}

// longest is what a load may take. It ends by itself long before.
const longest = 3 * time.Minute

func (o *options) measureOne(ctx context.Context, l load, s server) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	p, err := s.start(ctx)
	if err != nil {
		return r, err
	}
	defer p.stop()
	l.flags = slices.Concat(l.flags, l.sizes[s.name])
	return l.run(ctx, o.Switchback, p)
}
