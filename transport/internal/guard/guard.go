// Package guard tells who makes a request, as seen from outside the proxies, and whether the
// page that makes it may use an endpoint.
//
// guard.go decides; proxy.go finds the caller by what forwarded.go reads; host.go and
// origin.go are about names.
package guard

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"switchback/session"
)

// A Guard tells who makes a request, and whether the page that makes it may use
// an endpoint. Its methods may be called from any goroutine.
type Guard struct {
	origins *origins
	proxies proxies
	hosts   map[string]bool // the server's own; none: any that nobody else can have
	log     *slog.Logger
}

// Options are those of an endpoint, complete. What is refused is logged to Logger.
type Options struct {
	AllowedOrigins []string
	TrustedProxies []netip.Prefix
	Forwarded      string // one of Kinds
	Hosts          []string
	Logger         *slog.Logger
}

// New returns a Guard. An error says which option is wrong and what it may be.
func New(o Options) (*Guard, error) {
	origins, err := newOrigins(o.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	hosts, err := newHosts(o.Hosts)
	if err != nil {
		return nil, err
	}
	return &Guard{origins: origins, proxies: newProxies(o), hosts: hosts, log: o.Logger}, nil
}

// A Request is how a page makes a request.
type Request bool

const (
	ByScript  Request = false // with an Origin, where it is not the page's own
	ByElement Request = true  // a script, an iframe: without one
)

// Allowed tells whether the page that makes a request may use the endpoint. A
// request by script that names no page is allowed: it does not come from a
// browser, or from one that asks its own server. One by an element is not, since
// a page can hide itself (Referrer-Policy). Neither is one for a host that is not
// the server's own: such a page takes the server for its own, too.
func (g *Guard) Allowed(r *http.Request, by Request) bool {
	if g.origins.any {
		return true
	}
	origin, known := pageOrigin(r, by)
	if known && g.origins.match(origin) {
		return true
	}
	c := g.Caller(r)
	own := g.isOwn(r, c)
	if known && own && (origin == "" || c.isOrigin(origin)) {
		return true
	}
	event := "origin refused: name it in the allowed origins; behind a proxy that ends TLS, name the proxy in the trusted proxies"
	if !own {
		event = "host refused: if it is this server's, name it in the hosts; behind a proxy, name the proxy in the trusted proxies"
	}
	g.log.Warn(event,
		"origin", Clip(origin), "own", Clip(c.origin()), "address", c.IP())
	return false
}

// isOwn tells whether the host that is asked for is the server's own, or may be.
// Anybody can have a name of theirs stand for a loopback address, on which browsers
// then ask this server as that of their page (DNS rebinding). So where the server is
// asked there by a browser, at its own port and not through a proxy, a name is its own
// only if nobody else can have it. Over TLS the certificate has told whose name it is.
func (g *Guard) isOwn(r *http.Request, c Caller) bool {
	if len(g.hosts) > 0 {
		return g.hosts[hostname(c.Host)]
	}
	if c.proxied || r.TLS != nil || !c.address.IsLoopback() || isLocal(hostname(c.Host)) {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return !ok || !local.IP.IsLoopback() || local.Port != portOf(c.Host)
}

// Clip is what the log has of a client's text: who can choose the text of a line is not to
// choose its length.
func Clip(text string) string {
	const most = 256 // bytes
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// kept is how much of a client's text a session keeps, in bytes: of a host name that is
// all (RFC 1035, section 2.3.4).
const kept = 256

// Peer is the client that makes a request, as a session keeps it: clipped, and
// copied, since what it is taken from belongs to the request.
func (g *Guard) Peer(r *http.Request, transport string) session.Peer {
	c := g.Caller(r)
	p := session.Peer{
		Transport: transport,
		Address:   c.IP(),
		Host:      c.Host,
		Secure:    c.Secure,
		Origin:    r.Header.Get("Origin"),
		UserAgent: r.UserAgent(),
	}
	for _, field := range []*string{&p.Host, &p.Origin, &p.UserAgent} {
		*field = (*field)[:min(len(*field), kept)]
	}
	all := strings.Join([]string{p.Address, p.Host, p.Origin, p.UserAgent}, "") // a copy
	for _, field := range []*string{&p.Address, &p.Host, &p.Origin, &p.UserAgent} {
		*field, all = all[:len(*field)], all[len(*field):]
	}
	return p
}

// pageOrigin returns the origin of the page that makes a request. Scripts,
// iframes and other plain loads bring no Origin: for them the browser's
// Sec-Fetch-Site tells whether a foreign page loads them, and the Referer
// which. A foreign page that hides itself is not known.
func pageOrigin(r *http.Request, by Request) (origin string, known bool) {
	if origin = r.Header.Get("Origin"); origin != "" {
		return origin, true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return "", true
	}
	if referer := r.Referer(); referer != "" {
		if u, err := url.Parse(referer); err == nil && u.Host != "" {
			return u.Scheme + "://" + u.Host, true
		}
	}
	return "", by == ByScript && r.Header.Get("Sec-Fetch-Site") == ""
}
