package transport

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"switchback/session"
)

// A Guard tells who makes a request, and whether the page that makes it may use
// an endpoint. Its methods may be called from any goroutine.
type Guard struct {
	origins *origins
	proxies proxies
	log     *slog.Logger
}

// NewGuard returns a guard for AllowedOrigins, TrustedProxies and Forwarded, which
// logs to Logger what it refuses. The options must be complete.
func NewGuard(o Options) (*Guard, error) {
	origins, err := newOrigins(o.AllowedOrigins)
	return &Guard{origins: origins, proxies: proxies{o.TrustedProxies, o.Forwarded}, log: o.Logger}, err
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
// a page can hide itself (Referrer-Policy).
func (g *Guard) Allowed(r *http.Request, by Request) bool {
	if g.origins.any {
		return true
	}
	origin, known := pageOrigin(r, by)
	if known && (origin == "" || g.origins.match(origin)) {
		return true
	}
	c := g.proxies.caller(r)
	if known && c.isOrigin(origin) {
		return true
	}
	g.log.Warn("origin refused: name it in the allowed origins; behind a proxy that ends TLS, name the proxy in the trusted proxies",
		"origin", clip(origin), "own", clip(c.origin()), "address", c.ip())
	return false
}

// Peer is the client that makes a request, as a session keeps it: copied, since
// what it is taken from belongs to the request.
func (g *Guard) Peer(r *http.Request, transport string) session.Peer {
	c := g.proxies.caller(r)
	p := session.Peer{
		Transport: transport,
		Address:   c.ip(),
		Host:      c.host,
		Secure:    c.secure,
		Origin:    r.Header.Get("Origin"),
		UserAgent: r.UserAgent(),
	}
	p.UserAgent = p.UserAgent[:min(len(p.UserAgent), 256)]
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
