package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"switchback/handler"
	"switchback/handler/chat"
	"switchback/handler/history"
	"switchback/handler/rules"
	"switchback/handler/stomp"
	"switchback/transport"
	"switchback/web"
	"switchback/web/admin"
)

// A server is the endpoints, the page, and what carries them.
type server struct {
	http            *http.Server
	server          *transport.Server // of http
	certificate     *certificate      // nil: plain HTTP
	endpoints       []endpoint
	cluster         cluster
	hub             *handler.Hub
	rules           *rules.List
	history         *history.Log // nil: nothing is kept
	broker          *stomp.Broker
	chats           map[string]*chat.Chat   // by path
	guards          map[string]*rules.Guard // by path
	auth            *authority
	admin           *admin.Server // nil: there is none
	serves          string        // the endpoints and the page, for the line that says so
	shutdownTimeout time.Duration
	log             *zap.Logger
}

// newServer makes everything that conf asks for. It does not listen yet.
func newServer(conf config, log *zap.Logger) (*server, error) {
	s := &server{certificate: conf.certificate, chats: make(map[string]*chat.Chat), guards: make(map[string]*rules.Guard), shutdownTimeout: conf.shutdownTimeout, log: log}
	if err := s.open(conf); err != nil {
		s.close()
		return nil, err
	}
	conf.warn(log)
	conf.warnOfCookies(log)
	conf.warnOfChats(log)
	conf.warnOfMemory(log)
	conf.warnOfTopics(s.broker, log)
	return s, nil
}

// open makes the parts of the server, each from those before it. What is made when one
// fails is there for close.
func (s *server) open(conf config) (err error) {
	carries, err := conf.engine.open(&s.cluster, slogOf(s.log))
	if err != nil {
		return err
	}
	if s.hub, err = handler.NewHub(carries); err != nil {
		return err
	}
	if s.rules, err = conf.rules.rules(conf.stomp.options.Separator); err != nil {
		return err
	}
	if s.auth, err = conf.auth.open(slogOf(s.log)); err != nil {
		return err
	}
	conf.keepChats()
	if s.history, err = conf.history.open(s.hub, conf.stomp.options.Separator, slogOf(s.log)); err != nil {
		return err
	}
	conf.stomp.options.History = s.history
	conf.stomp.options.Renew, conf.stomp.options.TokenHeader = s.auth.renewal(), s.auth.access.Header
	if s.broker, err = conf.stomp.broker(s.hub, s.rules, slogOf(s.log)); err != nil {
		return err
	}
	if err := conf.checkRooms(s.broker); err != nil {
		return err
	}
	routes := &router{rest: http.NotFoundHandler()}
	if err := s.addEndpoints(routes, conf); err != nil {
		return err
	}
	if conf.servesPage() {
		routes.rest = web.Handler()
		s.serves += " and the page"
	}
	if err := s.addStatic(routes, conf); err != nil {
		return err
	}
	s.heedLosses(conf)
	s.http = httpServer(conf, routes, s.log)
	var services []transport.Service
	for _, e := range s.endpoints {
		services = append(services, e)
	}
	s.server = transport.NewServer(s.http, services...)
	if s.certificate != nil {
		s.server.HandshakeLimit = s.certificate.limit
	}
	s.admin, err = s.newAdmin(conf)
	return err
}

// httpServer has no limit on the time of a whole request or answer: a stream
// takes as long as it takes, and the endpoints have deadlines of their own.
func httpServer(conf config, routes http.Handler, log *zap.Logger) *http.Server {
	s := &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: conf.http.headerTimeout,
		IdleTimeout:       conf.http.idleTimeout,
		MaxHeaderBytes:    conf.http.headerLimit,
		ErrorLog:          errorLog(log),
	}
	if conf.certificate != nil {
		s.TLSConfig = &tls.Config{GetCertificate: conf.certificate.get}
	}
	return s
}

// addEndpoints opens conf's endpoints and routes to them. The error tells of
// each one that does not open.
func (s *server) addEndpoints(routes *router, conf config) error {
	var errs []error
	var paths []string
	for _, c := range conf.allEndpoints() {
		e, err := c.open(parts{s.hub, s.history, s.broker, s.rules, conf.stomp, s.auth, s.chats, s.guards}, conf.defaultClientURL(), slogOf(s.log))
		if err == nil && slices.Contains(c.paths(), "/") && conf.servesPage() {
			err = errors.New("the path / is the page's; choose another, or set page to false")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.where, err))
			continue
		}
		s.endpoints = append(s.endpoints, e)
		for _, path := range c.paths() {
			routes.addAlias(prefixOf(path), prefixOf(c.path), e)
		}
		paths = append(paths, c.paths()...)
	}
	s.serves = strings.Join(paths, " ")
	return errors.Join(errs...)
}

// addStatic routes to conf's files what no endpoint takes. The error tells of each
// folder from which nothing could be served.
func (s *server) addStatic(routes *router, conf config) error {
	var errs []error
	files := &router{rest: routes.rest}
	var paths []string
	for _, c := range conf.static {
		switch endpoint, _, taken := routes.find(prefixOf(c.path)); {
		case taken:
			errs = append(errs, fmt.Errorf("%s: the path %s is at or below %s, which is an endpoint's; choose another", c.where, c.path, cmp.Or(endpoint.prefix, "/")))
		case c.path == "/" && conf.servesPage():
			errs = append(errs, fmt.Errorf("%s: the path / is the page's; choose another, or leave page out", c.where))
		}
		files.add(prefixOf(c.path), c.handler())
		paths = append(paths, c.path)
	}
	if paths != nil {
		routes.rest = files
		s.serves += " and the files below " + strings.Join(paths, " ")
	}
	return errors.Join(errs...)
}

// listen opens addr. The error says what to do.
func listen(addr string) (net.Listener, error) {
	ln, err := transport.Listen(addr)
	return ln, listenError(err, addr, "addr", "--addr", "SWITCHBACK_ADDR")
}

// listenError says what to do where addr, which is that of a key, a flag and a variable,
// cannot be listened at.
func listenError(err error, addr, key, flag, variable string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program; stop it, or choose another address with %s, "+
			"%s or %s in the configuration", addr, flag, variable, key)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this machine; choose one that is with %s, "+
			"%s or %s in the configuration", addr, flag, variable, key)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s may not be used by this user; choose a port from 1024 on with %s, "+
			"%s or %s in the configuration", addr, flag, variable, key)
	}
	return fmt.Errorf("%s (or %s, %s): %w", key, flag, variable, err)
}

// serve serves until shutdown.
func (s *server) serve(ln net.Listener) error {
	if s.certificate != nil && !s.certificate.parked {
		return s.http.ServeTLS(ln, "", "")
	}
	return s.server.Serve(ln)
}

// sessions counts those that live, but for another implementation's.
func (s *server) sessions() (n int64) {
	for _, e := range s.endpoints {
		if e, ok := e.(*transport.Endpoint); ok {
			n += e.Stats().Sessions.Load()
		}
	}
	return n
}

// url is where a client on this machine finds the server.
func (s *server) url(addr net.Addr) string {
	if s.certificate != nil {
		return urlOf("https", addr)
	}
	return urlOf("http", addr)
}

func urlOf(scheme string, addr net.Addr) string {
	u := url.URL{Scheme: scheme, Host: addr.String(), Path: "/"}
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		u.Host = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return u.String()
}

// shutdown ends what the server carries, and then what the handlers share.
func (s *server) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), s.shutdownTimeout)
	defer cancel()
	s.drainAdmin()
	if err := s.server.Shutdown(ctx); err != nil {
		s.log.Warn("sessions or connections cut", zap.Error(err))
	}
	s.endAdmin(ctx)
	s.close()
}

// close ends what the handlers share, when they have ended.
func (s *server) close() {
	var errs []error
	if s.broker != nil {
		errs = append(errs, s.broker.Close())
	}
	if s.history != nil {
		errs = append(errs, s.history.Close())
	}
	if s.hub != nil {
		errs = append(errs, s.hub.Close())
	}
	s.cluster.close()
	if err := errors.Join(errs...); err != nil {
		s.log.Warn("not all could be closed", zap.Error(err))
	}
	if s.auth != nil {
		s.auth.close()
	}
}
