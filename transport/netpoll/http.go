package netpoll

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// plain returns the length of the request that p begins with, where it is one
// that can be served without http.Server: a POST of a SockJS client that is here
// whole, and that asks for nothing but its answer. Otherwise it returns 0. It is
// stricter than http.ReadRequest, which parses the request then, and than
// http.Server: what they would refuse, or what could be read in two ways, is not
// plain (RFC 9112, sections 2.2, 3.2 and 5.1).
func plain(p []byte) int {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 || !legible(p[:end]) {
		return 0
	}
	line, fields, _ := bytes.Cut(p[:end], []byte("\r\n"))
	if !forSession(line) {
		return 0
	}
	size, hosts, sizes := 0, 0, 0
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(field, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(name) == len(field) || !isToken(name):
			return 0
		case is(name, "Host"):
			if !isHost(value) {
				return 0
			}
			hosts++
		case is(name, "Content-Length"):
			n, err := strconv.ParseUint(string(value), 10, 12)
			if err != nil {
				return 0
			}
			size = int(n)
			sizes++
		case is(name, "Connection") && !is(value, "keep-alive"),
			is(name, "Expect"), is(name, "Trailer"), is(name, "Transfer-Encoding"), is(name, "Upgrade"):
			return 0
		}
	}
	if hosts != 1 || sizes > 1 || len(p) < end+4+size {
		return 0
	}
	return end + 4 + size
}

// is tells whether a name or a value is a certain one, without regard to case.
func is(p []byte, name string) bool {
	return len(p) == len(name) && strings.EqualFold(string(p), name)
}

// forSession tells a request line of a SockJS client that opens a response or
// sends messages, from any other.
func forSession(line []byte) bool {
	target, post := bytes.CutPrefix(line, []byte("POST /"))
	target, http11 := bytes.CutSuffix(target, []byte(" HTTP/1.1"))
	if !post || !http11 || bytes.IndexByte(target, ' ') >= 0 {
		return false
	}
	path, _, _ := bytes.Cut(target, []byte("?"))
	switch string(path[bytes.LastIndexByte(path, '/')+1:]) {
	case "xhr", "xhr_send", "xhr_streaming":
		return true
	}
	return false
}

// legible tells whether a head is in ASCII, and its lines end as they should.
func legible(head []byte) bool {
	for i, c := range head {
		switch {
		case c == '\r':
			if i+1 == len(head) || head[i+1] != '\n' {
				return false
			}
		case c == '\n':
			if i == 0 || head[i-1] != '\r' {
				return false
			}
		case c < ' ' && c != '\t' || c > '~':
			return false
		}
	}
	return true
}

// isToken tells names of headers, but for some with characters that nobody uses
// in them (RFC 9110, section 5.6.2).
func isToken[T string | []byte](name T) bool { return consists(name, "-_.") }

// isHost tells names and addresses, with or without a port.
func isHost(value []byte) bool { return consists(value, "-_.:[]") }

// consists tells whether text is not empty and holds letters, digits and those
// others only.
func consists[T string | []byte](text T, others string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte(others, c) >= 0:
		default:
			return false
		}
	}
	return len(text) > 0
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

// AppendHead appends a status line and headers, but for those of each message,
// for those whose names are none, and for the empty line.
func AppendHead(dst []byte, status int, h http.Header, keepAlive bool) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(status), 10)
	dst = append(append(append(dst, ' '), http.StatusText(status)...), "\r\n"...)
	names := slices.AppendSeq(make([]string, 0, 16), maps.Keys(h))
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
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, oneLine.Replace(value)...), "\r\n"...)
}

// AppendDate appends the header of that name.
func AppendDate(dst []byte) []byte {
	dst = append(dst, "Date: "...)
	dst = time.Now().UTC().AppendFormat(dst, http.TimeFormat)
	return append(dst, "\r\n"...)
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
