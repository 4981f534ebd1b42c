package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap"

	"switchback/handler"
	"switchback/handler/engine"
	"switchback/handler/engine/nats"
	"switchback/handler/engine/natsserver"
	"switchback/handler/engine/redis"
	"switchback/handler/history"
	"switchback/session"
	"switchback/transport"
)

// secretVariable is where the environment has the secret of the cluster. There is no flag:
// others on the machine see those.
const secretVariable = "SWITCHBACK_CLUSTER_SECRET"

// An engineConfig is how publications reach other nodes: not at all where neither nats nor
// redis is given.
type engineConfig struct {
	cluster string // the name of the cluster
	secret  []byte
	nats    string // URLs, or embedded
	redis   string // a URL
	listen  string // of the embedded server, for the other nodes
	seeds   []string
	onLoss  string // of lossPolicies; empty: keep
	options engine.Options
	dry     bool // it is only checked: nothing is connected
}

const embedded = "embedded"

// lossPolicies are what becomes of sessions when publications may have been lost.
var lossPolicies = oneOf("keep", "close")

var (
	clusterKind = kind[string]{"a name of letters, digits, - and _, such as prod", func(text string) (string, bool) {
		return text, regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(text)
	}}
	natsKind = kind[string]{"embedded, or a URL such as nats://host:4222, or several with commas between them", func(text string) (string, bool) {
		if text == embedded {
			return text, true
		}
		for one := range strings.SplitSeq(text, ",") {
			u, err := url.Parse(strings.TrimSpace(one))
			if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Host == "" {
				return "", false
			}
		}
		return text, true
	}}
	redisKind = kind[string]{"a URL such as redis://host:6379 or rediss://host; ?addr=host:6379 for more nodes of a Redis Cluster, ?master_set=name for Sentinel", func(text string) (string, bool) {
		_, err := redis.New("x", text)
		return text, err == nil
	}}
)

// clusterSettings are the keys of cluster, of a file in dir.
func (c *engineConfig) clusterSettings(dir string) setting {
	var file string
	name := scalar(&file, fileKind)
	return mapping(map[string]setting{
		"name": scalar(&c.cluster, clusterKind),
		"secret_file": {want: name.want, read: func(s *source, key string, n ast.Node) {
			if name.read(s, key, n); file == "" {
				return
			}
			text, err := os.ReadFile(in(dir, file))
			if err == nil {
				c.secret, err = secretOf(string(text))
			}
			if err != nil {
				s.fault(line(n), "%s: %v", key, err)
			}
		}},
	})
}

// settings are the keys of engine.
func (c *engineConfig) settings() setting {
	return mapping(map[string]setting{
		"nats":    scalar(&c.nats, natsKind),
		"redis":   scalar(&c.redis, redisKind),
		"on_loss": scalar(&c.onLoss, lossPolicies),
		"outbox":  scalar(&c.options.Outbox, sizeKind),
		"routes": mapping(map[string]setting{
			"listen": required(scalar(&c.listen, addressKind)),
			"seeds":  list(&c.seeds, addressKind),
		}),
	})
}

// secretOf is a secret without the blanks around it.
func secretOf(text string) ([]byte, error) {
	secret := []byte(strings.TrimSpace(text))
	if len(secret) < natsserver.SecretLength {
		return nil, fmt.Errorf("the secret of the cluster has %d characters; it must have %d or more: openssl rand -hex 32 makes one", len(secret), natsserver.SecretLength)
	}
	return secret, nil
}

// environment takes the secret of the environment, which goes before the file's.
func (c *engineConfig) environment() (err error) {
	if text := os.Getenv(secretVariable); text != "" {
		if c.secret, err = secretOf(text); err != nil {
			return usageError{fmt.Errorf("%s: %w", secretVariable, err)}
		}
	}
	return nil
}

// seed takes the seeds of the command line, which go before the file's.
func (c *engineConfig) seed(seeds []string) error {
	var errs []error
	if len(seeds) > 0 {
		c.seeds = make([]string, len(seeds))
	}
	for i, seed := range seeds {
		errs = append(errs, override(&c.seeds[i], "node-seed", seed, addressKind))
	}
	return errors.Join(errs...)
}

// given tells whether there are other nodes.
func (c *engineConfig) given() bool { return c.nats != "" || c.redis != "" }

// checkEngine tells what cannot be together with an engine.
func (c *config) checkEngine() error {
	e := &c.engine
	var errs []error
	if e.nats != "" && e.redis != "" {
		errs = append(errs, errors.New("engine has nats and redis; leave one of them out"))
	}
	if !e.given() && (e.onLoss != "" || e.options.Outbox != 0) {
		errs = append(errs, errors.New("engine has neither nats nor redis; give one, or leave it out for one node alone"))
	}
	if e.nats != embedded && (e.listen != "" || len(e.seeds) > 0) {
		errs = append(errs, errors.New("engine.routes (or --cluster-listen, --node-seed) are of the embedded server; set engine.nats to embedded, or leave them out"))
	}
	if e.nats == embedded && e.secret == nil {
		errs = append(errs, fmt.Errorf("engine.nats is embedded, and the nodes have no secret that they know each other by; set cluster.secret_file or %s", secretVariable))
	}
	if e.listen == "" && len(e.seeds) > 0 {
		errs = append(errs, errors.New("engine.routes.seeds (or --node-seed) are of no use without engine.routes.listen (or --cluster-listen): the other nodes could not connect"))
	}
	if e.given() && len(c.stomp.options.Queues) > 0 {
		errs = append(errs, errors.New("stomp.queues live on one node: beside an engine a message would wait on another than its subscriber is; leave queues out, or engine"))
	}
	chats := slices.ContainsFunc(c.allEndpoints(), func(e endpointConfig) bool { return e.handler == "chat" })
	if kept := chats || c.history.store.kind != "" || len(c.history.options.Policies) > 0; e.given() && kept && c.history.store.kind != "postgres" {
		errs = append(errs, errors.New("history in memory or in a file, that of chat too, is of one node: beside an engine each would have its own; keep it in PostgreSQL, or leave engine out"))
	}
	fast := slices.ContainsFunc(c.history.options.Policies, func(p history.Policy) bool { return p.Fast })
	if e.given() && fast {
		errs = append(errs, errors.New("mode: fast in history.topics is of one node, which numbers the messages itself: beside an engine leave it out, or leave engine out"))
	}
	return errors.Join(errs...)
}

// A cluster is this node's part of it. The zero value is of a node alone.
type cluster struct {
	engine *engine.Engine     // nil: it is alone
	nats   *natsserver.Server // nil: the server is elsewhere
	closes sync.WaitGroup     // of sessions, after a loss
}

// open makes the engine. Nothing is connected before a Hub starts it.
func (c engineConfig) open(node *cluster, log *slog.Logger) (handler.Engine, error) {
	if !c.given() || c.dry {
		return handler.NewMemory(), nil
	}
	name := cmp.Or(c.cluster, "switchback")
	c.options.Logger = log
	wire, err := c.wire(node, name, log)
	if err != nil {
		return nil, err
	}
	node.engine = engine.New(wire, c.options)
	return node.engine, nil
}

func (c engineConfig) wire(node *cluster, name string, log *slog.Logger) (_ engine.Wire, err error) {
	switch {
	case c.redis != "":
		return redis.New(name, c.redis)
	case c.nats != embedded:
		return nats.New(name, c.nats), nil
	}
	node.nats, err = natsserver.Start(natsserver.Options{Cluster: name, Secret: c.secret, Listen: c.listen, Seeds: c.seeds, Logger: log})
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return nil, listenError(err, c.listen, "engine.routes.listen", "--cluster-listen", "SWITCHBACK_CLUSTER_LISTEN")
	}
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return node.nats.Wire(), nil
}

// close ends the server, when the engine has been closed.
func (n *cluster) close() {
	n.closes.Wait()
	if n.nats != nil {
		n.nats.Close()
	}
}

// heedLosses has the sessions close that may have missed something, where the configuration
// says so: their clients come back, and load what they show anew.
func (s *server) heedLosses(conf config) {
	if conf.engine.onLoss != "close" {
		return
	}
	all := conf.allEndpoints()
	s.hub.OnLoss(func(error) {
		s.cluster.closes.Go(func() { // ends when they are told to
			closed := 0
			for i, c := range all {
				e, ok := s.endpoints[i].(*transport.Endpoint)
				if ok && !handlers[c.handler].alone {
					n, _ := e.CloseIf(func(session.Session) bool { return true }, session.CodeTryLater, "Messages may have been lost")
					closed += n
				}
			}
			s.log.Warn("sessions are closed, since messages may have been lost", zap.Int("sessions", closed))
		})
	})
}
