package main

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
	"go.uber.org/zap/zapcore"

	"switchback/handler/rules"
	"switchback/session"
)

// A configCommand looks at configurations.
type configCommand struct {
	Check   configCheckCommand   `cmd:"" help:"Say whether a configuration is right, and what its rules decide."`
	Example configExampleCommand `cmd:"" help:"Print a configuration with every key and its default."`
}

// A configCheckCommand checks a file, and asks its rules.
type configCheckCommand struct {
	File      string   `arg:"" placeholder:"FILE" help:"Configuration, in YAML."`
	As        string   `placeholder:"USER" help:"Who asks; nobody without it."`
	Role      []string `placeholder:"ROLE" help:"A role of the user; may be given more than once."`
	Send      string   `placeholder:"DESTINATION" xor:"what" help:"Ask whether the user may send there."`
	Subscribe string   `placeholder:"DESTINATION" xor:"what" help:"Ask whether the user may subscribe there."`
	Create    string   `placeholder:"DESTINATION" xor:"what" help:"Ask whether the user may make the room."`
	Join      string   `placeholder:"DESTINATION" xor:"what" help:"Ask whether the user may be in the room."`
	Read      string   `placeholder:"DESTINATION" xor:"what" help:"Ask whether the user may read what was said in the room."`
	Connect   bool     `xor:"what" help:"Ask whether the user may connect."`
}

// Help is the end of config check --help.
func (*configCheckCommand) Help() string {
	return `It reads the file as serve does, without listening, and exits with 1 where something is wrong. What the rules decide makes no difference to that.

The destination of an endpoint without STOMP is its path: to open a session there is to subscribe. That of a room is the path of its endpoint, / and its name.`
}

// Run checks the file.
func (c *configCheckCommand) Run(app *kong.Kong) error {
	if c.As == "" && len(c.Role) > 0 {
		return usageError{fmt.Errorf("--role is of a user; give --as USER with it")}
	}
	if c.As != "" && !c.asks() {
		return usageError{fmt.Errorf("--as says who asks; give --connect, --subscribe, --send, --create, --join or --read with it")}
	}
	conf := defaultConfig()
	if err := conf.readFile(c.File); err != nil {
		return err
	}
	if err := errors.Join(conf.engine.environment(), conf.checkEngine()); err != nil {
		return err
	}
	conf.history.dry, conf.engine.dry = true, true
	s, err := newServer(conf, newLogger(app.Stderr, conf.logFormat, zapcore.WarnLevel))
	if err != nil {
		return err
	}
	defer s.shutdown()
	fmt.Fprintf(app.Stdout, "%s is right: it serves %s\n", c.File, s.serves)
	if c.asks() {
		fmt.Fprintln(app.Stdout, c.answer(&conf, s.rules))
	}
	return nil
}

// asks tells whether there is a question for the rules.
func (c *configCheckCommand) asks() bool {
	_, destination := c.question()
	return c.Connect || destination != ""
}

// question is what is asked; to connect has no destination.
func (c *configCheckCommand) question() (on rules.Action, destination string) {
	for on, destination := range map[rules.Action]string{
		rules.Subscribe: c.Subscribe, rules.Send: c.Send, rules.Create: c.Create, rules.Join: c.Join, rules.Read: c.Read,
	} {
		if destination != "" {
			return on, destination
		}
	}
	return rules.Connect, ""
}

// answer says what the rules decide.
func (c *configCheckCommand) answer(conf *config, list *rules.List) string {
	on, destination := c.question()
	var who *session.Identity
	name := "nobody"
	if c.As != "" {
		who = &session.Identity{User: c.As, Claims: list.Claims(c.Role)}
		name = c.As
	}
	if len(c.Role) > 0 {
		name += " (" + strings.Join(c.Role, ", ") + ")"
	}
	what := strings.TrimSuffix(on.String()+" "+destination, " ")
	return fmt.Sprintf("%s as %s: %s", what, name, conf.rules.describe(list.Check(who, on, destination)))
}

// example is written by go test -update.
//
//go:embed example.yaml
var example string

// A configExampleCommand prints the example.
type configExampleCommand struct{}

// Run prints it.
func (*configExampleCommand) Run(app *kong.Kong) error {
	_, err := fmt.Fprint(app.Stdout, example)
	return err
}
