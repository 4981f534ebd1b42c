// Package frame encodes and decodes STOMP frames: versions 1.0, 1.1 and 1.2.
//
// A frame is a command, headers and a body:
//
//	SEND
//	destination:/topic/a
//	content-length:5
//
//	hello^@
//
// A [Decoder] takes them in pieces of any size, as the messages of a WebSocket
// or of a SockJS session bring them: many frames in one piece, one frame in many.
// It holds a peer to its [Limits] before it keeps anything. [Append] and
// [AppendMessage] encode.
//
// Blanks around the names and values of headers are no part of them in 1.0, and
// are in 1.1 and 1.2 (STOMP 1.2, Frames and Headers).
//
// Text is bytes in UTF-8, with one addition: a JavaScript string may hold half a
// character, a lone surrogate, which a SockJS session brings as the three bytes
// that UTF-8 would give it (WTF-8). See [IsText].
//
// The texts of errors are those that Spring's decoder gives a front-end, where it
// has one.
//
// frame.go and version.go are what frames are. decode.go takes the pieces, scan.go finds
// where a frame in them ends, encode.go writes frames, escape.go is what headers escape,
// text.go the surrogates, errors.go what is wrong.
package frame
