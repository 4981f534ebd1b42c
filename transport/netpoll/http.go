package netpoll

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// parse reads a request into r, where p is one that can be served without
// http.Server: a SockJS client's for a WebSocket, for a response or with messages,
// that is here whole, with nothing behind it, and that asks for nothing but its
// answer. It is stricter than http.ReadRequest, to which r is as it would read it,
// and than http.Server: what they would refuse or change, or what could be read in
// two ways, is left to them (RFC 9112, sections 2.2, 3.2 and 5.1). It keeps nothing
// of p.
func parse(r *http.Request, p []byte) bool {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 || !legible(p[:end]) {
		return false
	}
	text := string(p)
	body := text[end+4:]
	line, fields, _ := strings.Cut(text[:end], "\r\n")
	target, ok := forSession(r, line)
	if !ok || !parseFields(r, fields) || r.ContentLength != int64(len(body)) {
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

// forSession reads the method from the request line of a SockJS client that opens a
// WebSocket or a response, or sends messages, and returns the target. Any other line
// is not ok.
func forSession(r *http.Request, line string) (target string, ok bool) {
	r.Method, target, _ = strings.Cut(line, " ")
	target, ok = strings.CutSuffix(target, " HTTP/1.1")
	if !ok || !strings.HasPrefix(target, "/") || strings.IndexByte(target, ' ') >= 0 {
		return "", false
	}
	path, _, _ := strings.Cut(target, "?")
	switch path[strings.LastIndexByte(path, '/')+1:] {
	case "websocket":
		return target, r.Method == http.MethodGet
	case "xhr", "xhr_send", "xhr_streaming":
		return target, r.Method == http.MethodPost
	}
	return "", false
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

// closes tells whether a response is to be its connection's last.
func closes(h http.Header) bool { return ListHas(h["Connection"], "close") }

// ListHas tells whether a header that is a list has a value, without regard to
// case.
func ListHas(lines []string, value string) bool {
	for _, line := range lines {
		for v := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(v), value) {
				return true
			}
		}
	}
	return false
}

// usualHead is more than most heads take.
const usualHead = 512

// AppendHead appends a status line and headers, but for those of each message,
// for those whose names are none, and for the empty line.
func AppendHead(dst []byte, status int, h http.Header, keepAlive bool) []byte {
	dst = append(slices.Grow(dst, usualHead), "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(append(append(dst, ' '), http.StatusText(status)...), "\r\n"...)
	names := make([]string, 0, 16)
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch name {
		case "Date", "Content-Length", "Transfer-Encoding", "Connection":
			continue // set for each response
		}
		if !isToken(name) {
			continue
		}
		for _, value := range h[name] {
			dst = AppendField(dst, name, value)
		}
	}
	if !keepAlive {
		dst = AppendField(dst, "Connection", "close")
	}
	return dst
}

// oneLine keeps a value from becoming more than one field, as net/http does.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// AppendField appends a header.
func AppendField(dst []byte, name, value string) []byte {
	if strings.IndexByte(value, '\r') >= 0 || strings.IndexByte(value, '\n') >= 0 {
		value = oneLine.Replace(value)
	}
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// A dated is the Date header of one second.
type dated struct {
	second int64
	line   string
}

var date atomic.Pointer[dated]

// AppendDate appends the header of that name. It is written once a second.
func AppendDate(dst []byte) []byte {
	now := time.Now()
	d := date.Load()
	if d == nil || d.second != now.Unix() {
		d = &dated{now.Unix(), "Date: " + now.UTC().Format(http.TimeFormat) + "\r\n"}
		date.Store(d)
	}
	return append(dst, d.line...)
}

// AppendChunk appends p, which is not empty, in chunked coding (RFC 9112, section
// 7.1).
func AppendChunk(dst, p []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(len(p)), 16)
	dst = append(append(dst, "\r\n"...), p...)
	return append(dst, "\r\n"...)
}

// LastChunk ends what is in chunked coding.
const LastChunk = "0\r\n\r\n"
