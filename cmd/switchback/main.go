package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"switchback/cmd/switchback/bench"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// commands are the sub-commands, each with a file of its own.
type commands struct {
	Serve      serveCommand      `cmd:"" help:"Serve SockJS endpoints."`
	Config     configCommand     `cmd:"" help:"Check a configuration, or print an example of one."`
	Publish    publishCommand    `cmd:"" help:"Publish a message by a server's admin listener."`
	Sessions   sessionsCommand   `cmd:"" help:"List the sessions of a server."`
	Disconnect disconnectCommand `cmd:"" help:"Close sessions of a server."`
	History    historyCommand    `cmd:"" help:"Read, export or trim what a server keeps of its topics."`
	Cluster    clusterCommand    `cmd:"" help:"Tell of the cluster of a server."`
	Token      tokenCommand      `cmd:"" help:"Make a token, or check one."`
	Bench      bench.Command     `cmd:"" help:"Put load on a SockJS server, and measure what that costs."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
	Completion completionCommand `cmd:"" help:"Print what makes a shell complete the words of this command."`
}

// A usageError is an option that cannot be what it was said to be.
type usageError struct{ error }

func run(args []string, stdout, stderr io.Writer) int {
	app := kong.Must(&commands{},
		kong.Name("switchback"),
		kong.Description("A SockJS server: native WebSocket, streaming and polling for one session."),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}),
		kong.Writers(stdout, stderr))
	completeWords(app)
	command, err := app.Parse(args)
	if err == nil {
		err = command.Run()
	}
	return report(stderr, err)
}

// report tells what went wrong and returns the exit status.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(stderr, "switchback:", line)
	}
	var parse *kong.ParseError
	var usage usageError
	if errors.As(err, &parse) || errors.As(err, &usage) {
		fmt.Fprintln(stderr, "Run switchback --help for what may be given.")
		return exitUsage
	}
	if advice := adviceOfAdmin(err); advice != "" {
		fmt.Fprintln(stderr, advice)
	}
	return exitFailure
}
