// Package frame encodes and decodes the units of the SockJS protocol: the open,
// heartbeat, message and close frames that a server sends, and the arrays of
// strings that a client does.
//
// Text is bytes in UTF-8, with one addition: JavaScript strings may hold lone
// surrogates, which UTF-8 has no form for. They stand in text as the three
// bytes that UTF-8 would give them (WTF-8), so that what came in as \ud800 goes
// out as \ud800.
//
// decode.go reads the arrays, escape.go writes strings.
package frame

import "strconv"

// The frames that never differ.
const (
	Open      = "o"
	Heartbeat = "h"
)

// AppendClose appends the close frame c[code,"reason"].
func AppendClose(dst []byte, code int, reason string) []byte {
	dst = append(dst, 'c', '[')
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, ',')
	dst = AppendQuoted(dst, []byte(reason))
	return append(dst, ']')
}
