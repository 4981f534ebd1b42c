package frame

import (
	"unicode/utf16"
	"unicode/utf8"
)

// surrogateSize is the length of a surrogate in WTF-8.
const surrogateSize = 3

// decodeRune is utf8.DecodeRune for text that may hold surrogates.
func decodeRune(p []byte) (rune, int) {
	r, size := utf8.DecodeRune(p)
	if size == 1 && r == utf8.RuneError && len(p) >= surrogateSize &&
		p[0] == 0xed && p[1]&0xe0 == 0xa0 && p[2]&0xc0 == 0x80 {
		return 0xd000 | rune(p[1]&0x3f)<<6 | rune(p[2]&0x3f), surrogateSize
	}
	return r, size
}

// rejoin appends a piece of text to what came before it. Where a JavaScript
// client has cut its string within a character, one piece ends with a high
// surrogate and the next begins with a low one: together they are the character
// again, as the client's content-length counts it.
func rejoin(kept, piece []byte) []byte {
	if len(kept) < surrogateSize || len(piece) < surrogateSize || piece[0] != 0xed {
		return append(kept, piece...)
	}
	end := len(kept) - surrogateSize
	high, _ := decodeRune(kept[end:])
	low, _ := decodeRune(piece)
	r := utf16.DecodeRune(high, low)
	if r == utf8.RuneError {
		return append(kept, piece...)
	}
	return append(utf8.AppendRune(kept[:end], r), piece[surrogateSize:]...)
}

// IsText tells whether a body can go as text as it is: it is UTF-8, or is so
// but for lone surrogates. Those keep their length on every wire: as themselves
// in SockJS, as U+FFFD elsewhere.
func IsText(body []byte) bool {
	if utf8.Valid(body) {
		return true
	}
	var before rune
	for i := 0; i < len(body); {
		r, size := decodeRune(body[i:])
		if r == utf8.RuneError && size == 1 || utf16.DecodeRune(before, r) != utf8.RuneError {
			return false
		}
		before = r
		i += size
	}
	return true
}

// AppendText appends a body as valid text: surrogates that make a character
// become it, and each byte that is no text becomes U+FFFD.
func AppendText(dst, body []byte) []byte {
	for i := 0; i < len(body); {
		r, size := decodeRune(body[i:])
		if r == utf8.RuneError || size != surrogateSize || !utf16.IsSurrogate(r) {
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		low, lowSize := decodeRune(body[i+size:])
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			dst = utf8.AppendRune(dst, pair)
			i += size + lowSize
			continue
		}
		dst = append(dst, body[i:i+size]...)
		i += size
	}
	return dst
}
