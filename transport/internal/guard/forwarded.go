package guard

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// A report is what the proxies say of a request. The first of each list is the
// word of the nearest proxy, the next that of the one before it, and so on: for
// whom it asked, and what that had asked it for. An empty word says nothing, and
// a list that is too short says nothing of the proxies that it lacks.
type report struct{ addresses, hosts, ports, schemes []string }

// Kinds are the values of Options.Forwarded.
var Kinds = []string{either, xForwarded, forwarded}

const (
	either     = "either"
	xForwarded = "x-forwarded"
	forwarded  = "forwarded"
)

// reported reads what was forwarded with a request in a kind of header. Of
// either, X-Forwarded-* is preferred to Forwarded (RFC 7239): most proxies set the
// first and pass the second on as the client sent it.
func reported(h http.Header, kind string) report {
	lines := h["Forwarded"]
	if kind == forwarded || kind == either && len(lines) > 0 && h["X-Forwarded-For"] == nil {
		return rfc7239(lines)
	}
	return report{
		addresses: backward(h["X-Forwarded-For"]),
		hosts:     backward(h["X-Forwarded-Host"]),
		ports:     backward(h["X-Forwarded-Port"]),
		schemes:   backward(schemes(h)),
	}
}

// schemes are X-Forwarded-Proto or, without it, what else proxies say instead.
// One header alone is read: a client may have sent the others.
func schemes(h http.Header) []string {
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Forwarded-Ssl"} {
		if lines := h[name]; len(lines) > 0 {
			return lines
		}
	}
	return nil
}

// word is the i-th of a list, or empty.
func word(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// backward is a header that is a list, from its end. Empty elements count:
// without them what one said would be taken for the word of another.
func backward(lines []string) []string {
	values := List(lines)
	slices.Reverse(values)
	return values
}

// List splits the values of a header that is a list.
func List(lines []string) []string {
	var values []string
	for _, line := range lines {
		for value := range strings.SplitSeq(line, ",") {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// rfc7239 reads for, host and proto of the elements of Forwarded (RFC 7239,
// section 4). It begins at the end: there the proxies wrote, and whatever the
// client may have left open before is of no effect on them.
func rfc7239(lines []string) report {
	var r report
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			var element string
			line, element, more = cutLast(line, ',')
			r.add(element)
		}
	}
	return r
}

// add adds what an element of Forwarded says.
func (r *report) add(element string) {
	var address, host, scheme string
	for more := true; more; {
		var pair string
		element, pair, more = cutLast(element, ';')
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		switch value = unquote(value); strings.ToLower(name) {
		case "for":
			address = cmp.Or(address, value)
		case "host":
			host = cmp.Or(host, value)
		case "proto":
			scheme = cmp.Or(scheme, value)
		}
	}
	r.addresses, r.hosts, r.schemes = append(r.addresses, address), append(r.hosts, host), append(r.schemes, scheme)
}

// cutLast cuts s at the last sep that is in no quotes (RFC 9110, section 5.6.4).
// Without one it is all after.
func cutLast(s string, sep byte) (before, after string, found bool) {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == '"' && !escaped(s[:i]):
			quoted = !quoted
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return "", s, false
}

// escaped tells whether a backslash makes plain what follows s.
func escaped(s string) bool {
	return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 1
}

// unquote returns what a quoted string holds, and what is none as it is.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	plain := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		plain = append(plain, s[i])
	}
	return string(plain)
}
