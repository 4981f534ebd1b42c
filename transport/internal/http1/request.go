package http1

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// parse reads a request into r, where p is one that can be served without
// http.Server: one that serves names by its method and path, that is here whole, with
// nothing behind it, and that asks for nothing but its answer. It accepts a subset of
// what http.ReadRequest accepts, and r is as that would read it. What that or
// http.Server would refuse or change, or what could be read in two ways, is left to
// them (RFC 9112, sections 2.2, 3.2 and 5.1). It keeps nothing of p.
func parse(r *http.Request, p []byte, serves func(method, path string) bool) bool {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 || !legible(p[:end]) {
		return false
	}
	text := string(p)
	body := text[end+4:]
	line, fields, _ := strings.Cut(text[:end], "\r\n")
	target, ok := parseLine(r, line)
	path, _, _ := strings.Cut(target, "?")
	if !ok || !serves(r.Method, path) || !parseFields(r, fields) || r.ContentLength != int64(len(body)) {
		return false
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return false
	}
	r.URL, r.RequestURI = u, target
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.Body = http.NoBody
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	return true
}

// emptyLines is the number of bytes before a request that are ignored: clients send an
// empty line after a body (RFC 9112, section 2.2). The end of a line may come alone.
func emptyLines(p []byte) int { return len(p) - len(bytes.TrimLeft(p, "\r\n")) }

// usualFields is more than most requests have.
const usualFields = 32

// parseFields reads the headers, and what they say of the request.
func parseFields(r *http.Request, fields string) bool {
	hosts, sizes, lines := 0, 0, min(strings.Count(fields, "\n")+1, usualFields)
	values := make([]string, 0, lines)
	r.Header = make(http.Header, lines)
	for fields != "" {
		var field string
		field, fields, _ = strings.Cut(fields, "\r\n")
		name, value, colon := strings.Cut(field, ":")
		if !colon || !isToken(name) {
			return false
		}
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t")
		switch name {
		case "Host":
			if !consists(value, &hostBytes) {
				return false
			}
			r.Host = value
			hosts++
			continue
		case "Content-Length":
			n, err := strconv.ParseUint(value, 10, 12)
			if err != nil {
				return false
			}
			r.ContentLength = int64(n)
			sizes++
		case "Connection":
			if !connects(r, value) {
				return false
			}
		case "Upgrade":
			if r.Method != http.MethodGet {
				return false
			}
		case "Expect", "Trailer", "Transfer-Encoding":
			return false
		}
		if _, again := r.Header[name]; again {
			r.Header[name] = append(r.Header[name], value)
			continue
		}
		values = append(values, value)
		r.Header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if r.Header["Pragma"] != nil && r.Header["Cache-Control"] == nil {
		return false // http.ReadRequest would add it
	}
	return hosts == 1 && sizes <= 1 && (r.Method == http.MethodPost || r.ContentLength == 0)
}

// connects tells whether a Connection header asks for no more than the method does.
func connects(r *http.Request, value string) bool {
	for v := range strings.SplitSeq(value, ",") {
		v = strings.Trim(v, " \t")
		if !strings.EqualFold(v, "keep-alive") && (r.Method != http.MethodGet || !strings.EqualFold(v, "Upgrade")) {
			return false
		}
	}
	return true
}

// parseLine reads the method from a request line, and returns the target. Any but the
// usual form is not ok. So is any method but GET and POST.
func parseLine(r *http.Request, line string) (target string, ok bool) {
	r.Method, target, _ = strings.Cut(line, " ")
	target, ok = strings.CutSuffix(target, " HTTP/1.1")
	if !ok || !strings.HasPrefix(target, "/") || strings.IndexByte(target, ' ') >= 0 {
		return "", false
	}
	return target, r.Method == http.MethodGet || r.Method == http.MethodPost
}

// legible tells whether a head is in ASCII, and its lines end as they should.
func legible(head []byte) bool {
	for i, c := range head {
		switch {
		case c >= ' ' && c <= '~', c == '\t':
		case c == '\r' && i+1 < len(head) && head[i+1] == '\n':
		case c == '\n' && i > 0 && head[i-1] == '\r':
		default:
			return false
		}
	}
	return true
}

// A byteSet holds characters.
type byteSet [256]bool

func setOf(others string) (s byteSet) {
	for c := range s {
		s[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	}
	for _, c := range []byte(others) {
		s[c] = true
	}
	return s
}

var (
	tokenBytes = setOf("-_.")
	hostBytes  = setOf("-_.:[]")
)

// isToken tells names of headers, but for some with characters that nobody uses
// in them (RFC 9110, section 5.6.2).
func isToken(name string) bool { return consists(name, &tokenBytes) }

// consists tells whether text is not empty and holds only what is in the set.
func consists(text string, set *byteSet) bool {
	for i := range len(text) {
		if !set[text[i]] {
			return false
		}
	}
	return text != ""
}
