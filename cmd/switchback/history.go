package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/handler/history/postgres"
	"switchback/handler/history/sqlite"
	"switchback/handler/stomp"
	"switchback/handler/stomp/antpath"
	"switchback/session/option"
)

// storeVariable is where the environment names the store. There is no flag: others on the
// machine see those, and the URL of a database may hold a password.
const storeVariable = "SWITCHBACK_HISTORY"

// A historyConfig is what is kept of topics, and where.
type historyConfig struct {
	store   storeAddress
	options history.Options
	dry     bool // it is only checked: another process may have the store
}

// A storeAddress is where a store is: its kind, and what the kind makes of the rest.
type storeAddress struct{ kind, rest string }

// stores are what history can be kept in, by the beginning of the address of each. The rest
// of an address is a file's name, or that of a URL.
var stores = map[string]func(ctx context.Context, address string, log *slog.Logger) (history.Store, error){
	"memory": func(context.Context, string, *slog.Logger) (history.Store, error) {
		return memory.New(memory.Options{}), nil
	},
	"sqlite": func(ctx context.Context, file string, _ *slog.Logger) (history.Store, error) {
		return sqlite.Open(ctx, file, sqlite.Options{})
	},
	"postgres": func(ctx context.Context, address string, _ *slog.Logger) (history.Store, error) {
		return postgres.Open(ctx, "postgres:"+address, postgres.Options{})
	},
}

// openTimeout is how long a store may take to open: one that is away is a fault at start.
const openTimeout = 15 * time.Second

var storeKind = kind[storeAddress]{"memory:, sqlite:FILE or a URL of PostgreSQL such as postgres://user@host/database", parseStore}

func parseStore(text string) (storeAddress, bool) {
	kind, rest, ok := strings.Cut(text, ":")
	_, known := stores[kind]
	return storeAddress{kind, rest}, ok && known && (rest == "") == (kind == "memory")
}

var topicsKind = kind[string]{`the name of a topic or an Ant pattern, such as "/topic/**"`, func(text string) (string, bool) {
	_, err := antpath.Parse(text, "/")
	return text, text != "" && err == nil
}}

// settings are the keys of history, of a file in dir: the fields of history.Options, and
// the store.
func (c *historyConfig) settings(dir string) setting {
	store := scalar(&c.store, storeKind)
	return mapping(withFields(&c.options, map[string]setting{
		"store": {want: store.want, read: func(s *source, key string, n ast.Node) {
			if store.read(s, key, n); c.store.kind == "sqlite" {
				c.store.rest = in(dir, c.store.rest)
			}
		}},
		"topics": c.topics(),
	}))
}

// topics are what is kept of which.
func (c *historyConfig) topics() setting {
	return sequence("a list of what is kept, such as {topics: /topic/**, count: 1000}", func(s *source, key string, n ast.Node) {
		var mode string
		var p history.Policy
		s.read(key, n, mapping(map[string]setting{
			"topics": required(scalar(&p.Topics, topicsKind)),
			"count":  scalar(&p.Keep.Count, countKind),
			"age":    scalar(&p.Keep.Age, durationKind),
			"bytes":  scalar(&p.Keep.Bytes, bigSizeKind),
			"mode":   scalar(&mode, oneOf("durable", "fast")),
			"unread": scalar(&p.Unread, boolKind),
		}))
		p.Fast = mode == "fast"
		c.options.Policies = append(c.options.Policies, p)
	})
}

// environment takes the store of the environment, which goes before the file's.
func (c *historyConfig) environment() error {
	text := os.Getenv(storeVariable)
	if text == "" {
		return nil
	}
	store, ok := storeKind.parse(text)
	if !ok {
		return usageError{fmt.Errorf("%s is no store; it must be %s", storeVariable, storeKind.want)}
	}
	c.store = store
	return nil
}

// open opens the store and the log over it; nil where nothing is kept.
func (c historyConfig) open(hub *handler.Hub, separator string, log *slog.Logger) (*history.Log, error) {
	if c.store.kind == "" && len(c.options.Policies) == 0 {
		return nil, nil
	}
	store, err := c.openStore(log)
	if err != nil {
		return nil, fmt.Errorf("history.store: %w", err)
	}
	c.options.Separator, c.options.Logger = separator, log
	return history.New(store, hub, c.options)
}

func (c historyConfig) openStore(log *slog.Logger) (history.Store, error) {
	kind := cmp.Or(c.store.kind, "memory")
	if c.dry {
		kind = "memory"
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	return stores[kind](ctx, c.store.rest, log)
}

// warnOfMemory tells once where what is kept ends with the server, but not of the demo.
func (c *config) warnOfMemory(log *zap.Logger) {
	keeps := len(c.history.options.Policies) > 0 || slices.ContainsFunc(c.endpoints, func(e endpointConfig) bool {
		return e.handler == chatHandler
	})
	if keeps && !c.history.dry && cmp.Or(c.history.store.kind, "memory") == "memory" {
		log.Warn("what is kept is kept in memory, and gone when the server ends; name a file in history.store: sqlite:FILE")
	}
}

// warnOfTopics tells once of topics of which nothing is kept: of no destination of STOMP, and no
// room of a chat.
func (c *config) warnOfTopics(b *stomp.Broker, log *zap.Logger) {
	for _, p := range c.history.options.Policies {
		if !c.mayKeep(b, p.Topics) {
			log.Warn("nothing is kept of history.topics that are neither destinations of STOMP nor rooms of a chat; "+
				"name their prefix in stomp.topics", zap.String("topics", p.Topics))
		}
	}
}

// mayKeep tells whether something may be published on topics that is kept.
func (c *config) mayKeep(b *stomp.Broker, topics string) bool {
	o := c.stomp.options
	option.SetDefaults(&o)
	pattern, err := antpath.Parse(topics, o.Separator)
	if err != nil {
		return true // which is told elsewhere
	}
	front := pattern.Prefix()
	below := func(place string) bool {
		return strings.HasPrefix(front, place) || front != topics && strings.HasPrefix(place, front)
	}
	return slices.ContainsFunc(c.allEndpoints(), func(e endpointConfig) bool {
		switch e.handler {
		case "stomp":
			return below(o.UserPrefix+"/") || b.Sends(front) || front != topics && b.SendsBelow(front)
		case chatHandler:
			return below(roomOf(&e, ""))
		}
		return false
	})
}
