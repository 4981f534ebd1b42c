package frame

import "unicode/utf8"

const hex = "0123456789abcdef"

// plain tells which bytes stand for themselves in a JSON string: ASCII but for
// controls, quote and backslash.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// AppendQuoted appends text as a JSON string.
func AppendQuoted(dst, text []byte) []byte {
	return append(AppendEscaped(append(dst, '"'), text), '"')
}

// AppendEscaped appends text, or a part that ends with whole characters, as it stands
// in a JSON string. It escapes what JSON must have escaped and what browsers were seen
// to mangle (sockjs-protocol, JSONEncoding.test_xhr_server_encodes); a lone surrogate
// becomes its \u escape, any other byte that is not UTF-8 becomes \ufffd.
func AppendEscaped(dst, text []byte) []byte {
	start := 0
	for i := 0; i < len(text); {
		if plain[text[i]] {
			i++
			continue
		}
		if text[i] < utf8.RuneSelf {
			dst = append(dst, text[start:i]...)
			dst = appendControl(dst, text[i])
			i++
			start = i
			continue
		}
		r, size := decodeRune(text[i:])
		if escaped(r) {
			dst = append(dst, text[start:i]...)
			dst = appendEscape(dst, r)
			start = i + size
		}
		i += size
	}
	return append(dst, text[start:]...)
}

// EscapedLen is the number of bytes that AppendEscaped appends.
func EscapedLen(text []byte) (n int) {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case plain[c]:
			n++
			i++
		case c < utf8.RuneSelf:
			n += len(appendControl(make([]byte, 0, 6), c))
			i++
		default:
			r, size := decodeRune(text[i:])
			i += size
			if escaped(r) {
				size = 6
			}
			n += size
		}
	}
	return n
}

// escaped tells whether a character beyond ASCII goes out as its escape.
// Surrogates and U+FFFD, which stands for what is not UTF-8, are among them.
func escaped(r rune) bool {
	switch {
	case r < 0x200c, r > 0xffff:
		return false
	case r <= 0x200f, r >= 0x2028 && r <= 0x202f, r >= 0x2060 && r <= 0x206f:
		return true
	}
	return surrogate(r) || r >= 0xfff0
}

func surrogate(r rune) bool { return r >= 0xd800 && r <= 0xdfff }

// decodeRune is utf8.DecodeRune for text that may hold surrogates.
func decodeRune(p []byte) (rune, int) {
	r, size := utf8.DecodeRune(p)
	if r == utf8.RuneError && size == 1 && len(p) >= 3 && p[0] == 0xed && p[1]&0xe0 == 0xa0 && p[2]&0xc0 == 0x80 {
		return 0xd000 | rune(p[1]&0x3f)<<6 | rune(p[2]&0x3f), 3
	}
	return r, size
}

// appendControl appends an ASCII character that does not stand for itself, as
// JSON.stringify does.
func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return appendEscape(dst, rune(c))
}

func appendEscape(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
}

// AppendScript appends a frame, or a part of one, as it stands in a string literal of
// JavaScript, for a page or a script: with < and > escaped, so that no </script> leaves
// whatever the messages hold.
func AppendScript(dst, frame []byte) []byte {
	for _, c := range frame {
		switch {
		case c == '<' || c == '>':
			dst = appendEscape(dst, rune(c))
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
