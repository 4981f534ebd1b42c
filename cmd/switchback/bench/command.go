// Package bench puts load on a SockJS server and tells what that cost the
// server, what arrived and how late. It has a command for each kind of load.
//
// From a command down:
//
//	idle, echo, fanout, open    one kind of load each: what is sent when, and
//	                            what is expected back
//	load                        the sessions: opening them, receiving, the end
//	stomp                       what opening takes besides, with STOMP
//	meter, process              what is counted here, and what the system
//	                            counts about the server
//	report                      the figures, for people and for programs
package bench

import (
	"errors"
	"fmt"
	"time"
)

// A Command is the bench command with its sub-commands.
type Command struct {
	Idle   idleCommand   `cmd:"" help:"Hold sessions on which nothing is sent: the server's memory and CPU, and its heartbeats."`
	Echo   echoCommand   `cmd:"" help:"Send messages that come back, to an echo endpoint: messages per second, latency, CPU per message."`
	Fanout fanoutCommand `cmd:"" help:"Send messages to all sessions of a broadcast endpoint: deliveries per second, latency, CPU per delivery."`
	Open   openCommand   `cmd:"" help:"Open and close sessions: sessions per second, latency, CPU per session."`
}

// Help is the end of bench --help.
func (*Command) Help() string {
	return `The server may be any that speaks SockJS. What it spends is measured where --pid names its process; that works on Linux only.

Every run ends by itself, with what was lost, if anything was.`
}

// flags are those of every load.
type flags struct {
	URL         string `arg:"" help:"Base URL of the endpoint, such as http://127.0.0.1:8081/echo."`
	Transport   string `default:"websocket" enum:"websocket,xhr-streaming,xhr-polling,eventsource,raw-websocket" help:"Transport of the sessions: websocket, xhr-streaming, xhr-polling, eventsource or raw-websocket."`
	PID         int    `name:"pid" placeholder:"PID" help:"Process of the server, on this machine: its memory and CPU are measured."`
	Concurrency int    `default:"64" help:"Sessions that are opened at a time."`
	Sources     int    `placeholder:"N" help:"Addresses to connect from, 127.0.0.1 and those after it, as each has about 28,000 ports. The default is 8 where the server is at 127.0.0.1 and the system is Linux, and otherwise what the system chooses."`
	Insecure    bool   `help:"Take any certificate of a server with TLS."`
	Anywhere    bool   `help:"Allow a server that is not on this machine. Ask whoever runs it."`
	JSON        bool   `name:"json" help:"Print one JSON object in place of the table."`
}

// timing is of the loads that send for a time.
type timing struct {
	Time   time.Duration `default:"5s" help:"How long to measure."`
	Warmup time.Duration `default:"1s" help:"How long to send before that."`
}

func (f *flags) check() error {
	return errors.Join(
		atLeast("concurrency", f.Concurrency, 1),
		atLeast("pid", f.PID, 0),
		within("sources", f.Sources, 0, maxSources))
}

func (t *timing) check() error {
	if t.Time <= 0 || t.Warmup < 0 {
		return errors.New("--time must be more than 0, and --warmup no less")
	}
	return nil
}

func atLeast[T int | float64 | time.Duration](flag string, value, least T) error {
	if value < least {
		return fmt.Errorf("--%s is %v; it must be at least %v", flag, value, least)
	}
	return nil
}

func within(flag string, value, least, most int) error {
	if value < least || value > most {
		return fmt.Errorf("--%s is %d; it must be from %d to %d", flag, value, least, most)
	}
	return nil
}
