package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
)

// A clusterCommand tells of a cluster.
type clusterCommand struct {
	Status clusterStatusCommand `cmd:"" help:"The node that is asked, and the others that it knows."`
}

// A clusterStatusCommand asks one node.
type clusterStatusCommand struct {
	adminFlags
	JSON bool `name:"json" help:"The answer as JSON."`
}

// Help is the end of cluster status --help.
func (*clusterStatusCommand) Help() string {
	return `Example: switchback cluster status --admin 127.0.0.1:8082 --token-file token`
}

// Run asks.
func (c *clusterStatusCommand) Run(app *kong.Kong) error {
	from, err := c.client()
	if err != nil {
		return err
	}
	answer, err := from.Cluster(context.Background())
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(app.Stdout).Encode(answer)
	}
	table := tabwriter.NewWriter(app.Stdout, 0, 0, 2, ' ', 0)
	state := "connected"
	if !answer.Connected {
		state = "not connected"
	}
	fmt.Fprintln(table, "NODE\tNAME\tSTATE")
	fmt.Fprintf(table, "%s\t%s\tasked; %s since %s, %d publications not confirmed, %d losses\n",
		answer.Node, cell(answer.Name), state, answer.Since.Format(time.RFC3339), answer.Outbox, answer.Losses)
	for _, n := range answer.Nodes {
		state := "there"
		if n.Missing {
			state = "asked for what may be missing"
		}
		fmt.Fprintf(table, "%s\t%s\t%s; heard at %s\n", n.Node, cell(n.Name), state, n.Heard.Format(time.RFC3339))
	}
	return table.Flush()
}
