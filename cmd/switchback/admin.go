package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap"

	"switchback/transport"
	"switchback/web/admin"
)

// tokenVariable is where the environment has the token. There is no flag: others on the
// machine see those.
const tokenVariable = "SWITCHBACK_ADMIN_TOKEN"

// An adminConfig is the admin listener, which there is where it has an address.
type adminConfig struct {
	addr  string
	token string
}

// settings are the keys of the admin listener. The name of the token's file is relative
// to dir.
func (c *adminConfig) settings(dir string) setting {
	var file string
	name := scalar(&file, fileKind)
	return mapping(map[string]setting{
		"addr": scalar(&c.addr, addressKind),
		"token_file": {want: name.want, read: func(s *source, key string, n ast.Node) {
			name.read(s, key, n)
			if file == "" {
				return
			}
			var err error
			if c.token, err = readToken(in(dir, file)); err != nil {
				s.fault(line(n), "%s: %v", key, err)
			}
		}},
	})
}

// readToken reads a file that holds a token and nothing else.
func readToken(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if !isToken(token) {
		return "", fmt.Errorf("%s holds no token; it must hold one, of letters, digits and signs without blanks: openssl rand -hex 32 makes one", name)
	}
	return token, nil
}

// isToken tells whether a header can carry a token.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// environment takes the token of the environment, which goes before the file's.
func (c *adminConfig) environment() error {
	token := os.Getenv(tokenVariable)
	if token == "" {
		return nil
	}
	if !isToken(token) {
		return usageError{fmt.Errorf("%s is no token; it must be letters, digits and signs without blanks", tokenVariable)}
	}
	c.token = token
	return nil
}

// newAdmin makes the admin listener of a server with its endpoints; nil where none is
// configured. Of a cluster each node has one, which may not listen: by it the nodes tell
// each other whom to disconnect.
func (s *server) newAdmin(conf config) (*admin.Server, error) {
	if conf.admin.addr == "" && s.cluster.engine == nil {
		return nil, nil
	}
	o := admin.Options{Token: conf.admin.token, Hub: s.hub, Engine: s.cluster.engine, History: s.history, Chats: s.chats, Guards: s.guards, Endpoints: make(map[string]*transport.Endpoint), Logger: slogOf(s.log)}
	if s.certificate != nil && s.certificate.parked {
		o.TLS = s.server.TLSStats()
	}
	if conf.auth.given {
		o.Tickets, o.Verifier = s.auth.access.Tickets, s.auth.access.Verifier
	}
	for i, c := range conf.allEndpoints() {
		if e, ok := s.endpoints[i].(*transport.Endpoint); ok {
			o.Endpoints[c.path] = e
		}
		switch c.handler {
		case "broadcast":
			o.Topics = append(o.Topics, c.path)
		case "stomp":
			o.Broker = s.broker
		}
	}
	if n := len(o.Token); n > 0 && n < 16 {
		s.log.Warn("the token of the admin listener is short: openssl rand -hex 32 makes one that nobody guesses", zap.Int("characters", n))
	}
	return admin.New(o)
}

// serveAdmin has the admin listener serve, and returns what the ready line says of it.
func (s *server) serveAdmin(addr string) (at string, err error) {
	if addr == "" {
		return "", nil
	}
	ln, err := s.admin.Listen(addr)
	if err != nil {
		return "", listenError(err, addr, "admin.addr", "--admin-addr", "SWITCHBACK_ADMIN_ADDR")
	}
	go func() { // ends with shutdown
		if err := s.admin.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the admin listener has ended", zap.Error(err))
		}
	}()
	return " and admin at " + urlOf("http", ln.Addr()), nil
}

// drainAdmin has the admin listener say that the server is going away.
func (s *server) drainAdmin() {
	if s.admin != nil {
		s.admin.Drain()
	}
}

// endAdmin ends the admin listener: after the sessions, since it tells of them until then,
// and before what it publishes by.
func (s *server) endAdmin(ctx context.Context) {
	if s.admin == nil {
		return
	}
	if err := s.admin.Shutdown(ctx); err != nil {
		s.log.Warn("admin requests cut", zap.Error(err))
	}
}

// adminURL is the URL of an admin listener that is given as one, or as an address as
// serve takes it.
func adminURL(text string) (string, error) {
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return text, nil
	}
	if _, ok := parseAddress(text); !ok {
		return "", usageError{fmt.Errorf("--admin (or SWITCHBACK_ADMIN_ADDR) is %q; it must be the URL or the address of a server's admin listener, such as 127.0.0.1:8082", text)}
	}
	host, port, _ := net.SplitHostPort(text)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
