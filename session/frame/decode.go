package frame

import (
	"bytes"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// What is wrong with what a client has sent.
var (
	ErrEmpty   = errors.New("frame: empty")                   // nothing, or white space
	ErrSyntax  = errors.New("frame: broken JSON")             // also what is not UTF-8
	ErrStrings = errors.New("frame: not an array of strings") // JSON, as far as it was read
	ErrMany    = errors.New("frame: too many messages")       // more than the caller takes
)

// Decode returns the messages of a JSON array of strings, at most max of them.
// It decodes in place: the messages lie in p, whose former content is lost,
// error or not. Text after the array, anything but strings in it, and invalid
// UTF-8 are errors, and then there are no messages.
func Decode(p []byte, max int) ([][]byte, error) {
	d := decoder{p: p}
	switch c := d.next(); {
	case c == 0 && d.i == len(p):
		return nil, ErrEmpty
	case c != '[':
		return nil, kind(c)
	}
	messages, err := d.array(max)
	if err == nil && (d.next() != 0 || d.i < len(p)) {
		return nil, ErrSyntax
	}
	return messages, err
}

// DecodeText is Decode for WebSocket, where one message may also come as a
// string without its array. Nothing at all is no message.
func DecodeText(p []byte, max int) ([][]byte, error) {
	d := decoder{p: p}
	switch c := d.next(); {
	case c == 0 && d.i == len(p):
		return nil, nil
	case c != '"':
		return Decode(p, max)
	}
	d.i++
	message, err := d.text()
	if err != nil {
		return nil, err
	}
	if d.next() != 0 || d.i < len(p) {
		return nil, ErrSyntax
	}
	return [][]byte{message}, nil
}

// A decoder reads JSON at p[i:].
type decoder struct {
	p []byte
	i int
}

// next skips white space and returns the byte there, or 0 at the end.
func (d *decoder) next() byte {
	for ; d.i < len(d.p); d.i++ {
		switch c := d.p[d.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// array reads from the opening bracket to after the closing one.
func (d *decoder) array(max int) ([][]byte, error) {
	d.i++
	if d.next() == ']' {
		d.i++
		return nil, nil
	}
	messages := make([][]byte, 0, min(max, 1+bytes.Count(d.p, []byte(`",`))))
	for {
		if c := d.next(); c != '"' {
			return nil, kind(c)
		}
		if len(messages) == max {
			return nil, ErrMany
		}
		d.i++
		message, err := d.text()
		if err != nil {
			return nil, err
		}
		messages = append(messages, message)
		switch d.next() {
		case ',':
			d.i++
		case ']':
			d.i++
			return messages, nil
		default:
			return nil, ErrSyntax
		}
	}
}

// kind tells broken JSON from JSON that is something else than asked for, by
// the byte with which a value begins.
func kind(c byte) error {
	switch {
	case c == '{', c == '[', c == '"', c == '-', c >= '0' && c <= '9', c == 't', c == 'f', c == 'n':
		return ErrStrings
	}
	return ErrSyntax
}

// text reads from after the opening quote to after the closing one.
func (d *decoder) text() ([]byte, error) {
	p, start := d.p, d.i
	for i := start; i < len(p); {
		switch c := p[i]; {
		case plain[c]:
			i++
		case c == '"':
			d.i = i + 1
			return p[start:i:i], nil
		case c == '\\':
			return d.escapes(start, i)
		case c < utf8.RuneSelf:
			return nil, ErrSyntax // a control character
		default:
			_, size := utf8.DecodeRune(p[i:])
			if size == 1 {
				return nil, ErrSyntax
			}
			i += size
		}
	}
	return nil, ErrSyntax
}

// escapes reads the rest of a text whose first escape is at i. What it writes,
// from out on, is never longer than what it has read.
func (d *decoder) escapes(start, i int) ([]byte, error) {
	p, out := d.p, i
	for i < len(p) {
		switch c := p[i]; {
		case plain[c]:
			p[out] = c
			out++
			i++
		case c == '"':
			d.i = i + 1
			return p[start:out:out], nil
		case c == '\\':
			r, size := unescape(p[i:])
			if size == 0 {
				return nil, ErrSyntax
			}
			i += size
			out += putRune(p[out:], r)
		case c < utf8.RuneSelf:
			return nil, ErrSyntax
		default:
			_, size := utf8.DecodeRune(p[i:])
			if size == 1 {
				return nil, ErrSyntax
			}
			out += copy(p[out:], p[i:i+size])
			i += size
		}
	}
	return nil, ErrSyntax
}

// unescape reads one escape, or the two of a surrogate pair. It returns size 0
// for what is none.
func unescape(p []byte) (r rune, size int) {
	if len(p) < 2 {
		return 0, 0
	}
	switch c := p[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := hexEscape(p)
	if !ok {
		return 0, 0
	}
	if low, ok := hexEscape(p[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return r, 6
}

// hexEscape reads \uxxxx.
func hexEscape(p []byte) (r rune, ok bool) {
	if len(p) < 6 || p[0] != '\\' || p[1] != 'u' {
		return 0, false
	}
	for _, c := range p[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// putRune is utf8.EncodeRune, but for surrogates, which keep their value.
func putRune(p []byte, r rune) int {
	if !surrogate(r) {
		return utf8.EncodeRune(p, r)
	}
	p[0], p[1], p[2] = 0xed, 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f)
	return 3
}

// ValidText returns text as valid UTF-8, for a wire that takes nothing else:
// two surrogates that follow each other become the character they make, a lone
// one and any other byte that is not UTF-8 become U+FFFD. It returns text
// itself where nothing had to change.
func ValidText(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	out := make([]byte, 0, len(text)+8)
	for i := 0; i < len(text); {
		r, size := decodeRune(text[i:])
		i += size
		if surrogate(r) {
			low, size := decodeRune(text[i:])
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				i += size
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}
