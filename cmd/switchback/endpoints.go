package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"switchback/handler"
	"switchback/handler/chat"
	"switchback/handler/history"
	"switchback/handler/rules"
	"switchback/handler/stomp"
	"switchback/session"
	"switchback/transport"
	"switchback/transport/igm"
)

// An endpoint is what either implementation makes.
type endpoint interface {
	http.Handler
	Shutdown(ctx context.Context) error
}

// An endpointConfig is one endpoint of the configuration.
type endpointConfig struct {
	where          string   // it is in the file, for messages
	path           string   // its name: the topic of a broadcast, and in the log
	aliases        []string // further paths
	handler        string   // of handlers
	implementation string   // of implementations
	auth           string   // what it asks of those who open sessions; empty: the usual
	options        transport.Options
	chat           chat.Options // of the handler chat
	chatLine       int          // in the file, while it is read
}

// demoEndpoints are those that the pages use.
var demoEndpoints = []endpointConfig{
	{where: "endpoint /echo", path: "/echo", handler: "echo", implementation: "switchback"},
	{where: "endpoint /broadcast", path: "/broadcast", handler: "broadcast", implementation: "switchback"},
	{where: "endpoint /chat", path: "/chat", handler: chatHandler, implementation: "switchback"},
}

// endpoints is the list of endpoints. Each path may be there once.
func endpoints(dst *[]endpointConfig) setting {
	places := map[string]string{}
	items := sequence("a list of endpoints, each with a path and a handler", func(s *source, key string, n ast.Node) {
		e := endpointConfig{where: fmt.Sprintf("%s:%d: %s", s.name, line(n), key), implementation: "switchback"}
		s.read(key, n, e.settings())
		e.checkChat(s, key)
		for _, path := range e.paths() {
			if place, taken := places[path]; taken && path != "" {
				s.fault(line(n), "%s.path is %q, which %s has; it must be a path of its own", key, path, place)
			}
			places[path] = key
		}
		*dst = append(*dst, e)
	})
	return setting{want: items.want, read: func(s *source, key string, n ast.Node) {
		items.read(s, key, n)
		if list, ok := n.(*ast.SequenceNode); ok && len(list.Values) == 0 {
			s.fault(line(n), "%s is empty; list an endpoint, or leave the key out to serve the pages, /echo, /broadcast and /chat", key)
		}
	}}
}

// settings are the keys of an endpoint: its own, and the fields of its options.
func (e *endpointConfig) settings() setting {
	o := &e.options
	return mapping(withFields(o, map[string]setting{
		"path":           required(e.pathSetting()),
		"handler":        required(scalar(&e.handler, handlerKind)),
		"implementation": scalar(&e.implementation, nameIn(implementations)),
		"auth":           scalar(&e.auth, authKind),
		"chat":           e.chatSettings(),

		"client_url":          scalar(&o.ClientURL, clientURLKind),
		"heartbeat_delay":     scalar(&o.HeartbeatDelay, heartbeatKind),
		"disabled_transports": list(&o.DisabledTransports, transportKind),
		"allowed_origins":     list(&o.AllowedOrigins, originKind),
		"forwarded":           scalar(&o.Forwarded, oneOf("either", "x-forwarded", "forwarded")),
		"hosts":               list(&o.Hosts, hostKind),
	}))
}

// pathSetting is where the endpoint is: one path or several.
func (e *endpointConfig) pathSetting() setting {
	return oneOrMore(pathKind, func(path string, _ place) {
		if e.path == "" {
			e.path = path
		} else {
			e.aliases = append(e.aliases, path)
		}
	})
}

// paths are where the endpoint is, its name first.
func (e endpointConfig) paths() []string { return append([]string{e.path}, e.aliases...) }

// handlerKind is a handler. How it is spoken to is not among them.
var handlerKind = kind[string]{
	"what is served over SockJS and WebSocket: " + nameIn(handlers).want, nameIn(handlers).parse,
}

// clientURL is the endpoint's own or, if it has none, the common one.
func (e endpointConfig) clientURL(common string) string { return cmp.Or(e.options.ClientURL, common) }

// A handlerOf is a row of handlers.
type handlerOf struct {
	open  func(e *endpointConfig, from parts) (session.Opener, error)
	alone bool // a session gets nothing of others, and so misses nothing of other nodes
}

// handlers are what serves the sessions of an endpoint, by name.
var handlers = map[string]handlerOf{
	"echo":    alone(handler.Echo{}),
	"close":   alone(handler.Close{}),
	"amplify": alone(handler.Amplify{}),

	// A broadcast is a topic that has the endpoint's path as its name.
	"broadcast": {open: func(e *endpointConfig, from parts) (session.Opener, error) {
		return session.Shared(handler.Broadcast{Hub: from.hub, Topic: e.path}), nil
	}},
	chatHandler: {open: openChat},
	"stomp": {open: func(e *endpointConfig, from parts) (session.Opener, error) {
		from.stomp.admitFrames(e)
		return from.broker, nil
	}},
}

func alone(h session.Handler) handlerOf {
	open := func(*endpointConfig, parts) (session.Opener, error) { return session.Shared(h), nil }
	return handlerOf{open: open, alone: true}
}

// parts are what the handlers of endpoints share.
type parts struct {
	hub     *handler.Hub
	history *history.Log // nil: nothing is kept
	broker  *stomp.Broker
	rules   *rules.List
	stomp   stompConfig
	auth    *authority
	chats   map[string]*chat.Chat   // by path: those that have been opened
	guards  map[string]*rules.Guard // so, too
}

// implementations are what carries the sessions, by name.
var implementations = map[string]func(prefix string, o session.Opener, options transport.Options) (endpoint, error){
	"switchback": func(prefix string, o session.Opener, options transport.Options) (endpoint, error) {
		return transport.NewEndpoint(prefix, o, options)
	},
	"igm": func(prefix string, o session.Opener, options transport.Options) (endpoint, error) {
		return igm.NewEndpoint(prefix, o, options)
	},
}

// open makes the endpoint.
func (e endpointConfig) open(from parts, clientURL string, log *slog.Logger) (endpoint, error) {
	e.options.ClientURL = e.clientURL(clientURL)
	e.options.Logger = log
	opener, err := handlers[e.handler].open(&e, from)
	if err != nil {
		return nil, err
	}
	if opener, err = from.auth.guard(opener, &e, from); err != nil {
		return nil, err
	}
	if from.rules != nil && e.handler != "stomp" && e.handler != chatHandler { // which ask them
		guard := from.rules.Guard(e.path, opener)
		opener, from.guards[e.path] = guard.Opener(), guard
	}
	return implementations[e.implementation](prefixOf(e.path), opener, e.options)
}

// prefixOf is a path as routes have it: the root's is empty.
func prefixOf(path string) string { return strings.TrimSuffix(path, "/") }
