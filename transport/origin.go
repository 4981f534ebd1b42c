package transport

import (
	"fmt"
	"regexp"
	"strings"
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
		origin = withoutPort(strings.TrimSuffix(strings.ToLower(origin), "/"))
		switch {
		case origin == "*":
			o.any = true
		case origin == "null":
			o.exact[origin] = true
		case !isOrigin(origin):
			return nil, fmt.Errorf("transport: AllowedOrigins: %q: must be *, null, or a scheme and host such as https://example.com", origin)
		case strings.Contains(origin, "*") || portList(origin) >= 0:
			o.patterns = append(o.patterns, pattern(origin))
		default:
			o.exact[origin] = true
		}
	}
	return o, nil
}

// withoutPort takes the port off that a scheme has by default: browsers do, too.
func withoutPort(origin string) string {
	if strings.HasPrefix(origin, "https://") {
		return strings.TrimSuffix(origin, ":443")
	}
	return strings.TrimSuffix(origin, ":80")
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
	origin = withoutPort(strings.ToLower(origin))
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
