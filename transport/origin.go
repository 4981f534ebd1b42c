package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"go.uber.org/zap"
)

// origins are the pages' origins that an endpoint serves beside its own.
type origins struct {
	any      bool
	exact    map[string]bool // in lower case
	patterns []*regexp.Regexp
}

func newOrigins(allowed []string) (*origins, error) {
	o := &origins{exact: make(map[string]bool)}
	for _, origin := range allowed {
		origin = strings.TrimSuffix(strings.ToLower(origin), "/")
		switch {
		case origin == "*":
			o.any = true
		case origin == "null":
			o.exact[origin] = true
		case !strings.Contains(origin, "://"):
			return nil, fmt.Errorf("transport: AllowedOrigins: %q: must be *, null, or a scheme and host such as https://example.com", origin)
		case strings.Contains(origin, "*") || portList(origin) >= 0:
			o.patterns = append(o.patterns, pattern(origin))
		default:
			o.exact[origin] = true
		}
	}
	return o, nil
}

// portList returns where a pattern's list of ports begins, with its colon, or
// -1.
func portList(origin string) int {
	i := strings.LastIndex(origin, ":[")
	if i < 0 || !strings.HasSuffix(origin, "]") || strings.Trim(origin[i+2:len(origin)-1], "0123456789,*") != "" {
		return -1
	}
	return i
}

// pattern compiles an origin with * and a list of ports. A * does not reach
// from the host into the port or beyond.
func pattern(origin string) *regexp.Regexp {
	ports := ""
	if i := portList(origin); i >= 0 {
		list := origin[i+2 : len(origin)-1]
		origin = origin[:i]
		list = strings.ReplaceAll(list, "*", "[0-9]+")
		ports = "(:(" + strings.ReplaceAll(list, ",", "|") + "))"
		if strings.Contains(list, "[0-9]+") {
			ports += "?"
		}
	}
	host := strings.ReplaceAll(regexp.QuoteMeta(origin), `\*`, `[^/:@]*`)
	return regexp.MustCompile("^" + host + ports + "$")
}

func (o *origins) match(origin string) bool {
	if o.any {
		return true
	}
	origin = strings.ToLower(origin)
	if o.exact[origin] {
		return true
	}
	for _, p := range o.patterns {
		if p.MatchString(origin) {
			return true
		}
	}
	return false
}

// allowed tells whether the page that makes a request may use the endpoint. A
// request that names no page is allowed: it does not come from a browser, or
// from one that asks its own server.
func (e *Endpoint) allowed(r *http.Request) bool {
	if e.origins.any {
		return true
	}
	origin, known := pageOrigin(r)
	if !known {
		return false
	}
	return origin == "" || e.origins.match(origin) || e.proxies.client(r).isOrigin(origin)
}

// pageOrigin returns the origin of the page that makes a request. Scripts,
// iframes and other plain loads bring no Origin: for them the browser's
// Sec-Fetch-Site tells whether a foreign page loads them, and the Referer
// which. A foreign page that hides itself is not known.
func pageOrigin(r *http.Request) (origin string, known bool) {
	if origin = r.Header.Get("Origin"); origin != "" {
		return origin, true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return "", true
	}
	if u, err := url.Parse(r.Referer()); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host, true
	}
	return "", r.Header.Get("Sec-Fetch-Site") == ""
}

// logForeign says what the operator can do about a refused page.
func (e *Endpoint) logForeign(r *http.Request) {
	origin, _ := pageOrigin(r)
	c := e.proxies.client(r)
	e.log.Warn("origin refused: name it in the allowed origins; behind a proxy that ends TLS, name the proxy in the trusted proxies",
		zap.String("origin", origin), zap.String("own", c.origin()), zap.String("address", c.address))
}
