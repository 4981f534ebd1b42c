package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"go.uber.org/zap"

	"switchback/handler/stomp"
	"switchback/session"
	"switchback/session/auth"
)

// An authConfig is how clients say who they are.
type authConfig struct {
	given    bool
	required *bool // nil: it is
	jwt      jwtConfig
	tickets  auth.TicketOptions
}

// A jwtConfig is whose tokens are accepted, and where they are.
type jwtConfig struct {
	given                 bool
	secretFile, keyFile   string
	url                   string
	keys                  *auth.Keys // of one of the files
	options               auth.Options
	header, cookie, query string
}

// What an endpoint may ask of those who open sessions.
const (
	authRequired = "required"
	authOptional = "optional"
	authOff      = "off"
)

// settings are the keys of auth, of a file in dir.
func (c *authConfig) settings(dir string) setting {
	keys := mapping(map[string]setting{
		"jwt":      c.jwt.settings(dir),
		"tickets":  mapping(withFields(&c.tickets, map[string]setting{})),
		"required": pointer(&c.required, boolKind),
	})
	return setting{want: keys.want, keys: keys.keys, read: func(s *source, key string, n ast.Node) {
		c.given = true
		keys.read(s, key, n)
	}}
}

// settings are the keys of auth.jwt: the fields of auth.Options, where the keys are, and
// where a request's token may be.
func (c *jwtConfig) settings(dir string) setting {
	o := &c.options
	lines := map[string]int{}
	keys := mapping(withFields(o, map[string]setting{
		"secret_file": noted(lines, scalar(&c.secretFile, fileKind)),
		"key_file":    noted(lines, scalar(&c.keyFile, fileKind)),
		"jwks_url":    noted(lines, scalar(&c.url, keysURLKind)),
		"algorithms":  noted(lines, list(&o.Algorithms, oneOf(auth.Algorithms()...))),
		"issuer":      scalar(&o.Issuer, wordKind),
		"audience":    scalar(&o.Audience, wordKind),
		"user_claim":  scalar(&o.UserClaim, wordKind),
		"roles_claim": scalar(&o.RolesClaim, wordKind),
		"leeway":      scalar(&o.Leeway, leewayKind),
		"header":      scalar(&c.header, placeKind),
		"cookie":      scalar(&c.cookie, placeKind),
		"query":       scalar(&c.query, queryKind),
	}))
	return setting{want: keys.want, keys: keys.keys, read: func(s *source, key string, n ast.Node) {
		c.given = true
		before := len(s.faults)
		if keys.read(s, key, n); len(s.faults) == before {
			c.readKeys(s, key, n, dir, lines)
		}
	}}
}

// noted is a setting whose line in the file is kept, under its place.
func noted(lines map[string]int, set setting) setting {
	return setting{want: set.want, read: func(s *source, key string, n ast.Node) {
		lines[key] = line(n)
		set.read(s, key, n)
	}}
}

// readKeys reads the file of the keys, and tells what does not go together.
func (c *jwtConfig) readKeys(s *source, key string, n ast.Node, dir string, lines map[string]int) {
	const sources = "it must have one of secret_file, key_file and jwks_url"
	var given []string
	for _, name := range []string{"secret_file", "key_file", "jwks_url"} {
		if lines[join(key, name)] > 0 {
			given = append(given, name)
		}
	}
	switch len(given) {
	case 1:
	case 0:
		s.fault(line(n), "%s has no keys; %s", key, sources)
		return
	default:
		s.fault(lines[join(key, given[1])], "%s has %s; %s", key, strings.Join(given, " and "), sources)
		return
	}
	if algorithms := join(key, "algorithms"); c.options.Algorithms != nil && len(c.options.Algorithms) == 0 {
		s.fault(lines[algorithms], "%s is empty; list what is accepted, or leave the key out for all that the keys can take", algorithms)
		return
	}
	at := join(key, given[0])
	var err error
	switch given[0] {
	case "secret_file":
		c.keys, err = auth.ReadSecret(in(dir, c.secretFile))
	case "key_file":
		c.keys, err = auth.ReadKeys(in(dir, c.keyFile))
	default:
		return
	}
	if err != nil {
		s.fault(lines[at], "%s: %v", at, err)
		return
	}
	_, err = auth.NewVerifier(c.keys, c.options)
	if wrong, ok := errors.AsType[*auth.OptionError](err); ok { // of these, a file can have algorithms that are wrong
		at = join(key, snakeCase(wrong.Option))
		s.fault(lines[at], "%s has %q; it must %s", at, wrong.Value, wrong.Want)
	}
}

var (
	keysURLKind = kind[string]{"the URL of a JWK set, such as https://id.example.com/.well-known/jwks.json", func(text string) (string, bool) {
		return text, strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")
	}}
	leewayKind = kind[time.Duration]{"a duration such as 30s, or off", parseHeartbeat}
	placeKind  = kind[string]{"a name of letters, digits, - and _", parsePlace}
	queryKind  = kind[string]{"a name of letters, digits, - and _, but not c, t or ticket, which have a meaning", func(text string) (string, bool) {
		name, ok := parsePlace(text)
		return name, ok && !slices.Contains([]string{"c", "t", auth.TicketQuery}, name)
	}}
	authKind = oneOf(authRequired, authOptional, authOff)
)

var placeForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func parsePlace(text string) (string, bool) { return text, placeForm.MatchString(text) }

// open returns the verifier of tokens, whose keys close ends.
func (c *jwtConfig) open(log *slog.Logger) (v *auth.Verifier, close func(), err error) {
	keys := c.keys
	if keys == nil {
		if keys, err = auth.FetchKeys(c.url, log); err != nil {
			return nil, nil, err
		}
	}
	if v, err = auth.NewVerifier(keys, c.options); err != nil {
		keys.Close()
		return nil, nil, err
	}
	return v, keys.Close, nil
}

// mode is what an endpoint asks of those who open its sessions.
func (c *authConfig) mode(e endpointConfig) string {
	switch {
	case e.auth != "":
		return e.auth
	case !c.given:
		return authOff
	case c.required != nil && !*c.required:
		return authOptional
	}
	return authRequired
}

// An authority knows who is asking: it is the verifier and the tickets of all endpoints.
type authority struct {
	config *authConfig
	access auth.Access
	close  func()
}

// open makes the authority.
func (c *authConfig) open(log *slog.Logger) (*authority, error) {
	a := &authority{config: c, close: func() {}}
	if !c.given {
		return a, nil
	}
	a.access = auth.Access{Header: c.jwt.header, Cookie: c.jwt.cookie, Query: c.jwt.query}
	var err error
	if a.access.Tickets, err = auth.NewTickets(c.tickets); err != nil {
		return nil, err
	}
	if c.jwt.given {
		if a.access.Verifier, a.close, err = c.jwt.open(log); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// renewal is what takes new tokens of STOMP clients.
func (a *authority) renewal() stomp.VerifyFunc {
	if a.access.Verifier == nil {
		return nil
	}
	return a.access.Verifier.Verify
}

// guard puts around an endpoint's opener what the endpoint asks for.
func (a *authority) guard(inner session.Opener, e *endpointConfig, from parts) (session.Opener, error) {
	mode := a.config.mode(*e)
	if mode == authOff {
		return inner, nil
	}
	if !a.config.given {
		return nil, fmt.Errorf("auth is %q, and nothing says whose tokens are accepted; add auth beside endpoints", e.auth)
	}
	if e.implementation != "switchback" {
		return nil, fmt.Errorf("implementation %s asks nobody who they are; take switchback, or set auth of the endpoint to off", e.implementation)
	}
	access := a.access
	access.Optional = mode == authOptional
	if e.handler == "stomp" {
		inner, access.Optional = a.login(from, access.Optional)
	}
	return auth.Opener(inner, access), nil
}

// login is the broker as the opener of an endpoint, and whether a session may be opened by
// somebody who is not known yet: CONNECT can still say who it is, by a token or as one of
// the logins.
func (a *authority) login(from parts, optional bool) (session.Opener, bool) {
	var otherwise stomp.LoginFunc
	switch {
	case from.stomp.logins != nil:
		otherwise = stomp.Passwords(from.stomp.logins)
	case optional:
		otherwise = func(context.Context, *stomp.Client, stomp.Headers) error { return nil }
	}
	if a.access.Verifier == nil {
		return from.broker.WithLogin(func(ctx context.Context, c *stomp.Client, h stomp.Headers) error {
			if c.Identity != nil || otherwise == nil {
				return nil
			}
			return otherwise(ctx, c, h)
		}), otherwise != nil
	}
	return from.broker.WithLogin(stomp.Tokens(a.access.Verifier.Verify, a.access.Header, otherwise)), true
}

// warnOfCookies tells once of endpoints where any page opens sessions as its visitor.
func (c *config) warnOfCookies(log *zap.Logger) {
	for _, e := range c.allEndpoints() {
		if c.auth.jwt.cookie != "" && c.auth.mode(e) != authOff && e.admitsAnyPage() {
			log.Warn("every page there is may open sessions as whoever visits it, by the cookie of auth.jwt.cookie; name the pages' origins in allowed_origins",
				zap.String("endpoint", e.where))
		}
	}
}
