package frame

import (
	"bytes"
	"strings"
)

// A Command says what a frame is for.
type Command string

// The commands of a client.
const (
	Connect     Command = "CONNECT"
	Stomp       Command = "STOMP" // CONNECT, since version 1.1
	Send        Command = "SEND"
	Subscribe   Command = "SUBSCRIBE"
	Unsubscribe Command = "UNSUBSCRIBE"
	Ack         Command = "ACK"
	Nack        Command = "NACK"
	Begin       Command = "BEGIN"
	Commit      Command = "COMMIT"
	Abort       Command = "ABORT"
	Disconnect  Command = "DISCONNECT"
)

// The commands of a server.
const (
	Connected Command = "CONNECTED"
	Message   Command = "MESSAGE"
	Receipt   Command = "RECEIPT"
	Error     Command = "ERROR"
)

// commandOf returns the command with this name, or none.
func commandOf(name []byte) Command {
	for _, c := range [...]Command{
		Send, Message, Ack, Nack, Subscribe, Unsubscribe, Connect, Stomp, Connected,
		Receipt, Error, Begin, Commit, Abort, Disconnect,
	} {
		if string(name) == string(c) {
			return c
		}
	}
	return ""
}

// connects tells whether a command opens a session. STOMP is CONNECT by another
// name.
func (c Command) connects() bool { return c == Connect || c == Stomp }

// raw tells whether a command's headers are never escaped (STOMP 1.2, Value
// Encoding).
func (c Command) raw() bool { return c.connects() || c == Connected }

// hasBody tells whether a command's frame may have a body (STOMP 1.2, Body).
func (c Command) hasBody() bool { return c == Send || c == Message || c == Error }

// A Header is one header of a frame, without escapes.
type Header struct{ Name, Value string }

// Headers are a frame's headers in their order. Where one is repeated, the
// first counts (STOMP 1.2, Repeated Header Entries).
type Headers []Header

// Lookup returns the value of a header, and whether there is one.
func (h Headers) Lookup(name string) (value string, ok bool) {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value, true
		}
	}
	return "", false
}

// Value returns the value of a header; empty where there is none.
func (h Headers) Value(name string) string {
	value, _ := h.Lookup(name)
	return value
}

// Clone returns headers in memory of their own, which holds nothing else: those
// of a decoded frame hold all that came with them.
func (h Headers) Clone() Headers {
	var b strings.Builder
	for i := range h {
		b.WriteString(h[i].Name)
		b.WriteString(h[i].Value)
	}
	rest := b.String()
	clone := make(Headers, len(h))
	for i := range h {
		name, value := len(h[i].Name), len(h[i].Name)+len(h[i].Value)
		clone[i] = Header{rest[:name], rest[name:value]}
		rest = rest[value:]
	}
	return clone
}

// A Frame is one unit of the protocol.
type Frame struct {
	Command Command
	Headers Headers
	Body    []byte
}

// Clone returns a frame in memory of its own.
func (f *Frame) Clone() *Frame {
	return &Frame{Command: f.Command, Headers: f.Headers.Clone(), Body: bytes.Clone(f.Body)}
}

// Size is about the number of bytes that a frame holds in memory.
func (f *Frame) Size() int {
	const perHeader = 32 // two strings
	n := len(f.Body)
	for _, h := range f.Headers {
		n += perHeader + len(h.Name) + len(h.Value)
	}
	return n
}
