package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap/zapcore"

	"switchback/session/memory"
	"switchback/web"
)

// A config is everything that serve is told, wherever it was told: a flag goes
// before the environment, that before the file, and that before the default.
type config struct {
	addr            string
	clientURL       string // of the endpoints that have none of their own
	logLevel        zapcore.Level
	logFormat       string // of logFormats
	page            *bool  // nil: when neither endpoints nor files are listed
	shutdownTimeout time.Duration
	memoryLimit     int64
	http            httpConfig
	certificate     *certificate // nil: plain HTTP
	auth            authConfig
	stomp           stompConfig
	rules           rulesConfig
	engine          engineConfig
	admin           adminConfig
	history         historyConfig
	endpoints       []endpointConfig // none: demoEndpoints
	static          []staticConfig
}

// An httpConfig is what http.Server is told of the time before an endpoint has
// the request.
type httpConfig struct {
	headerTimeout time.Duration // in which a request's header must be complete
	idleTimeout   time.Duration // after which a connection with no request is closed
	headerLimit   int           // bytes of a request's header
}

// defaultConfig is what is served when nothing is told.
func defaultConfig() config {
	return config{
		addr:            "127.0.0.1:8081",
		logLevel:        zapcore.InfoLevel,
		logFormat:       "text",
		shutdownTimeout: 10 * time.Second,
		memoryLimit:     memory.DefaultLimit,
		http: httpConfig{
			headerTimeout: 10 * time.Second,
			idleTimeout:   120 * time.Second,
			headerLimit:   16 << 10,
		},
	}
}

// servesPage tells whether the page is at /. Whoever lists endpoints or files has a
// service of their own, and gets the page only by asking for it.
func (c *config) servesPage() bool {
	if c.page != nil {
		return *c.page
	}
	return len(c.endpoints) == 0 && len(c.static) == 0
}

// allEndpoints are the listed endpoints or, when none are, those of the page.
func (c *config) allEndpoints() []endpointConfig {
	if len(c.endpoints) == 0 {
		return demoEndpoints
	}
	return c.endpoints
}

// defaultClientURL is what the iframe page loads when nothing else is said: the
// embedded client where the page is served, so that the page needs no other
// host. It is empty for the endpoint's own default.
func (c *config) defaultClientURL() string {
	if c.clientURL == "" && c.servesPage() {
		return web.ClientPath()
	}
	return c.clientURL
}

// dropClientURLs leaves every endpoint with the client URL that all have.
func (c *config) dropClientURLs() {
	for i := range c.endpoints {
		c.endpoints[i].options.ClientURL = ""
	}
}

// readFile reads a configuration file over what c holds.
func (c *config) readFile(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return readYAML(name, text, c.settings(filepath.Dir(name)))
}

// settings are the keys of a file in dir.
func (c *config) settings(dir string) setting {
	keys := mapping(map[string]setting{
		"addr":             scalar(&c.addr, addressKind),
		"client_url":       scalar(&c.clientURL, clientURLKind),
		"log_level":        scalar(&c.logLevel, levelKind),
		"log_format":       scalar(&c.logFormat, nameIn(logFormats)),
		"page":             pointer(&c.page, boolKind),
		"shutdown_timeout": scalar(&c.shutdownTimeout, durationKind),
		"memory_limit":     scalar(&c.memoryLimit, bigSizeKind),
		"http": mapping(map[string]setting{
			"header_timeout": scalar(&c.http.headerTimeout, durationKind),
			"idle_timeout":   scalar(&c.http.idleTimeout, durationKind),
			"header_limit":   scalar(&c.http.headerLimit, sizeKind),
		}),
		"tls":       (&certificate{parked: true}).setting(&c.certificate, dir),
		"auth":      c.auth.settings(dir),
		"stomp":     c.stomp.settings(),
		"rules":     c.rules.settings(),
		"cluster":   c.engine.clusterSettings(dir),
		"engine":    c.engine.settings(),
		"admin":     c.admin.settings(dir),
		"history":   c.history.settings(dir),
		"endpoints": endpoints(&c.endpoints),
		"static":    statics(&c.static, dir),
	})
	return setting{want: keys.want, keys: keys.keys, read: func(s *source, key string, n ast.Node) {
		before := len(s.faults)
		if keys.read(s, key, n); len(s.faults) == before {
			c.rules.check(s, c.stomp.options.Separator)
		}
	}}
}

// in is the file name as seen from dir.
func in(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
