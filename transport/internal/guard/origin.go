package guard

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// origins are the pages' origins that an endpoint serves beside its own.
type origins struct {
	any      bool
	exact    map[string]bool // canonical
	patterns []*regexp.Regexp
}

func newOrigins(allowed []string) (*origins, error) {
	o := &origins{exact: make(map[string]bool)}
	for _, origin := range allowed {
		origin = canonical(origin)
		switch {
		case origin == "*":
			o.any = true
		case origin == "null", origin == "file://":
			o.exact[origin] = true
		case !isOrigin(origin):
			return nil, fmt.Errorf("transport: AllowedOrigins: %q: must be *, null, file://, or a scheme and host such as https://example.com", origin)
		case strings.Contains(origin, "*") || portList(origin) >= 0:
			o.patterns = append(o.patterns, pattern(origin))
		default:
			o.exact[origin] = true
		}
	}
	return o, nil
}

// canonical is an origin as browsers write it: in lower case, without its scheme's
// default port (RFC 6454, section 6.2). Clients that are no browsers put the scheme
// of their WebSocket (daltoniam/Starscream#694) and a slash at the end
// (facebook/react-native#16304); no page can send either. That of file:// has none.
func canonical(origin string) string {
	origin = strings.ToLower(origin)
	if !strings.HasSuffix(origin, "://") {
		origin = strings.TrimSuffix(origin, "/")
	}
	if host, ok := strings.CutPrefix(origin, "ws://"); ok {
		origin = "http://" + host
	} else if host, ok := strings.CutPrefix(origin, "wss://"); ok {
		origin = "https://" + host
	}
	return strings.TrimSuffix(origin, defaultPort(origin))
}

// defaultPort is that of an origin's scheme, with its colon.
func defaultPort(origin string) string {
	switch {
	case strings.HasPrefix(origin, "http://"):
		return ":80"
	case strings.HasPrefix(origin, "https://"):
		return ":443"
	}
	return ""
}

// isOrigin tells a scheme and a host, with a port or not, from anything else.
func isOrigin(origin string) bool {
	if i := portList(origin); i >= 0 {
		origin = origin[:i]
	}
	scheme, host, ok := strings.Cut(origin, "://")
	return ok && scheme != "" && host != "" && !strings.ContainsAny(host, "/?#@,") && !strings.Contains(host, ":[")
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
		list := strings.Split(origin[i+2:len(origin)-1], ",")
		origin = origin[:i]
		ports = "(:(" + strings.ReplaceAll(strings.Join(list, "|"), "*", "[0-9]+") + "))"
		if slices.Contains(list, "*") || slices.Contains(list, strings.TrimPrefix(defaultPort(origin), ":")) {
			ports += "?" // no origin has its default port
		}
	}
	host := strings.ReplaceAll(regexp.QuoteMeta(origin), `\*`, `[^/:@]*`)
	return regexp.MustCompile("^" + host + ports + "$")
}

func (o *origins) match(origin string) bool {
	if o.any {
		return true
	}
	origin = canonical(origin)
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
