package frame

import "strings"

// unescape returns a header's name or value without its escapes. \r is taken in
// version 1.1, too, which has no such escape.
func unescape(s string) (string, error) {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for start := 0; ; {
		b = append(b, s[start:i]...)
		c := byte(0)
		if i+1 < len(s) {
			c = s[i+1]
		}
		switch c {
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 'c':
			b = append(b, ':')
		case '\\':
			b = append(b, '\\')
		default:
			return "", quoting("illegal escape sequence", "Illegal escape sequence at index %d: %s", i, printable(s))
		}
		start = i + 2
		next := strings.IndexByte(s[start:], '\\')
		if next < 0 {
			return string(append(b, s[start:]...)), nil
		}
		i = start + next
	}
}

// An escaping is how headers are written. No escaping lets a value end its line
// or the headers: what has no escape becomes a space.
type escaping uint8

const (
	unescaped escaping = iota // 1.0, CONNECT, CONNECTED
	escaped11
	escaped12
)

func escapingOf(v Version, c Command) escaping {
	switch {
	case v == V10 || c.raw():
		return unescaped
	case v == V11:
		return escaped11
	}
	return escaped12
}

// special are the bytes that do not stand for themselves in all versions.
var special = [256]bool{0: true, '\n': true, '\r': true, ':': true, '\\': true}

// append appends a name or a value.
func (e escaping) append(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); i++ {
		if !special[s[i]] {
			continue
		}
		if escape := e.escape(s[i]); escape != "" {
			dst = append(dst, s[start:i]...)
			dst = append(dst, escape...)
			start = i + 1
		}
	}
	return append(dst, s[start:]...)
}

// escape returns what stands for a special byte; nothing for itself.
func (e escaping) escape(c byte) string {
	switch {
	case c == 0, c == '\n' && e == unescaped, c == '\r' && e == unescaped:
		return " "
	case e == unescaped, c == '\r' && e == escaped11:
		return ""
	}
	switch c {
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case ':':
		return `\c`
	}
	return `\\`
}
