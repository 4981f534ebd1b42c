package http1

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

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

// appendHead appends a status line and headers, but for those of each message,
// for those whose names are none, and for the empty line.
func appendHead(dst []byte, status int, h http.Header, keepAlive bool) []byte {
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

// AppendChunkHead begins a chunk of so many bytes, which is more than none, and ChunkEnd
// ends it (RFC 9112, section 7.1).
func AppendChunkHead(dst []byte, size int) []byte {
	return append(strconv.AppendUint(dst, uint64(size), 16), "\r\n"...)
}

const (
	ChunkEnd  = "\r\n"
	LastChunk = "0\r\n\r\n" // ends what is in chunks
)
