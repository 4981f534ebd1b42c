package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"switchback/session/memory"
)

// A serveCommand is what the command line and the environment say. What is
// empty was not said.
type serveCommand struct {
	Addr            string   `env:"SWITCHBACK_ADDR" placeholder:"HOST:PORT" help:"Address to listen on; port 0 takes a free one. The default is 127.0.0.1:8081."`
	Config          string   `env:"SWITCHBACK_CONFIG" placeholder:"FILE" predictor:"file" help:"Configuration, in YAML. Without it the pages are at / and /chat.html, with /echo, /broadcast and /chat."`
	ClientURL       string   `env:"SWITCHBACK_CLIENT_URL" placeholder:"URL" help:"The sockjs-client that every endpoint's iframe page loads."`
	LogLevel        string   `env:"SWITCHBACK_LOG_LEVEL" placeholder:"LEVEL" predictor:"log-level" help:"What is logged to stderr: debug, info, warn or error. The default is info."`
	LogFormat       string   `env:"SWITCHBACK_LOG_FORMAT" placeholder:"FORMAT" predictor:"log-format" help:"What a line of the log is: text, for people, or json. The default is text."`
	AdminAddr       string   `env:"SWITCHBACK_ADMIN_ADDR" placeholder:"HOST:PORT" help:"Address of the admin listener, with metrics, health and the API; SWITCHBACK_ADMIN_TOKEN is its token. The default is none."`
	ClusterListen   string   `env:"SWITCHBACK_CLUSTER_LISTEN" placeholder:"HOST:PORT" help:"Address at which the other nodes of a cluster connect, with engine.nats embedded. SWITCHBACK_CLUSTER_SECRET is their secret."`
	NodeSeed        []string `env:"SWITCHBACK_NODE_SEED" placeholder:"HOST:PORT" help:"Address of another node; may be given more than once."`
	ShutdownTimeout string   `env:"SWITCHBACK_SHUTDOWN_TIMEOUT" placeholder:"DURATION" help:"Time that sessions have to end in when the server is told to stop. The default is 10s."`
}

// Help is the end of serve --help.
func (*serveCommand) Help() string {
	return `A flag goes before the environment, that before the configuration, that before the default.

SIGINT or SIGTERM stops the server: it closes every session, lets polling clients fetch what is left for them, and then exits. A second one ends it at once. With tls, SIGHUP has it read the certificate again.`
}

// Run serves until a signal comes.
func (c *serveCommand) Run(app *kong.Kong) error {
	conf, err := c.config()
	if err != nil {
		return err
	}
	s, err := newServer(conf, newLogger(app.Stderr, conf.logFormat, conf.logLevel))
	if err != nil {
		return err
	}
	ln, err := listen(conf.addr)
	if err != nil {
		s.shutdown()
		return err
	}
	adminAt, err := s.serveAdmin(conf.admin.addr)
	if err != nil {
		ln.Close()
		s.shutdown()
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	memory.SetLimit(conf.memoryLimit)
	go tidy(ctx, s.sessions) // ends with ctx
	if s.certificate != nil {
		go s.certificate.watch(ctx, s.log) // ends with ctx
	}
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ln) }() // ends with shutdown
	fmt.Fprintf(app.Stdout, "switchback: serving %s at %s%s\n", s.serves, s.url(ln.Addr()), adminAt)
	select {
	case err = <-ended:
	case <-ctx.Done():
		stop() // a second signal ends the process, as if it were not caught
		s.log.Info("stopping", zap.NamedError("cause", context.Cause(ctx)), zap.Duration("timeout", s.shutdownTimeout))
	}
	s.shutdown()
	return err
}

// config is the defaults, with the file's settings over them, and over those
// the environment's and the command line's.
func (c *serveCommand) config() (config, error) {
	conf := defaultConfig()
	if c.Config != "" {
		if err := conf.readFile(c.Config); err != nil {
			return config{}, err
		}
	}
	err := errors.Join(
		override(&conf.addr, "addr", c.Addr, addressKind),
		override(&conf.clientURL, "client-url", c.ClientURL, clientURLKind),
		override(&conf.admin.addr, "admin-addr", c.AdminAddr, addressKind),
		conf.admin.environment(),
		conf.history.environment(),
		conf.engine.environment(),
		override(&conf.engine.listen, "cluster-listen", c.ClusterListen, addressKind),
		conf.engine.seed(c.NodeSeed),
		override(&conf.logLevel, "log-level", c.LogLevel, levelKind),
		override(&conf.logFormat, "log-format", c.LogFormat, nameIn(logFormats)),
		override(&conf.shutdownTimeout, "shutdown-timeout", c.ShutdownTimeout, durationKind),
	)
	if c.ClientURL != "" {
		conf.dropClientURLs()
	}
	return conf, errors.Join(err, conf.checkEngine())
}

// override sets *dst to what the flag or its variable says, if either does.
func override[T any](dst *T, flag, text string, k kind[T]) error {
	variable := "SWITCHBACK_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	return take(dst, fmt.Sprintf("--%s (or %s)", flag, variable), text, k)
}

// take sets *dst to a flag's text, if there is one.
func take[T any](dst *T, flag, text string, k kind[T]) error {
	if text == "" {
		return nil
	}
	value, ok := k.parse(text)
	if !ok {
		return usageError{fmt.Errorf("%s is %q; it must be %s", flag, text, k.want)}
	}
	*dst = value
	return nil
}
