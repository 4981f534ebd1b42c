package frame

import (
	"strconv"
	"strings"
	"unicode"
)

// Append appends a frame as a peer of this version reads it. SEND, MESSAGE and
// ERROR get their content-length; one among the headers is left out. Other
// commands have no body.
func Append(dst []byte, v Version, c Command, h Headers, body []byte) []byte {
	e := escapingOf(v, c)
	dst = append(dst, c...)
	dst = append(dst, '\n')
	for i := range h {
		if Bare(h[i].Name) != "content-length" {
			dst = appendHeader(dst, e, h[i].Name, h[i].Value)
		}
	}
	if !c.hasBody() {
		return append(dst, "\n\x00"...)
	}
	return append(append(appendLength(dst, len(body)), body...), 0)
}

// A Delivery is what differs between the MESSAGE frames of one message.
type Delivery struct {
	Subscription string // the subscription's id; empty for one that has none (1.0)
	MessageID    string
	Ack          string // what an ACK names, in 1.2; empty where none is wanted
	Redelivered  bool   // the message was delivered before

	// Of a message that is kept.
	Offset string // its place; empty: it is not kept
	Gap    bool   // others before it are missing
	Unread string // how many the user has not read; empty: that is not counted
}

// AppendMessage appends the MESSAGE frame of one delivery. The headers are the
// message's: its destination, its content type, and what its sender added.
// Those of a Delivery and content-length are left out of them; those of a message that is
// kept where it is.
func AppendMessage(dst []byte, v Version, d Delivery, h Headers, body []byte) []byte {
	return append(append(AppendMessageHead(dst, v, d, h, len(body)), body...), 0)
}

// AppendMessageHead appends what stands before the body of such a frame, of so many
// bytes. After the body comes a zero byte.
func AppendMessageHead(dst []byte, v Version, d Delivery, h Headers, body int) []byte {
	e := escapingOf(v, Message)
	dst = append(dst, Message...)
	dst = append(dst, '\n')
	for i := range h {
		if !Delivered(h[i].Name) && (d.Offset == "" || !keeping(h[i].Name)) {
			dst = appendHeader(dst, e, h[i].Name, h[i].Value)
		}
	}
	if d.Subscription != "" {
		dst = appendHeader(dst, e, "subscription", d.Subscription)
	}
	dst = appendHeader(dst, e, "message-id", d.MessageID)
	if d.Ack != "" && v == V12 {
		dst = appendHeader(dst, e, "ack", d.Ack)
	}
	if d.Redelivered {
		dst = append(dst, "redelivered:true\n"...)
	}
	if d.Offset != "" {
		dst = appendHeader(dst, e, "offset", d.Offset)
	}
	if d.Gap {
		dst = append(dst, "gap:true\n"...)
	}
	if d.Unread != "" {
		dst = appendHeader(dst, e, "unread", d.Unread)
	}
	return appendLength(dst, body)
}

// keeping tells whether a header of a MESSAGE that is kept is the server's to set.
func keeping(name string) bool {
	switch Bare(name) {
	case "offset", "gap", "unread":
		return true
	}
	return false
}

// Delivered tells whether a header of a MESSAGE is the server's to set: those
// of a Delivery, and content-length, however a peer may read the name.
func Delivered(name string) bool {
	switch Bare(name) {
	case "subscription", "message-id", "ack", "redelivered", "content-length":
		return true
	}
	return false
}

// Bare returns a header's name without what a peer may take from around it: blanks
// and what becomes one (1.0), white space of any kind (stompjs 2, in every
// version). What is decided by a name that others have chosen is decided by this:
// to a peer that trims, "content-length " is content-length.
func Bare(name string) string {
	return strings.TrimFunc(name, func(r rune) bool {
		const vowelSeparator, byteOrderMark = '\u180e', '\ufeff' // white space in JavaScript
		return r <= ' ' || unicode.IsSpace(r) || r == vowelSeparator || r == byteOrderMark
	})
}

// appendHeader appends one header. A name with a colon cannot be told from
// another header where nothing is escaped, nor one of blanks from none, and is
// left out.
func appendHeader(dst []byte, e escaping, name, value string) []byte {
	if e == unescaped && (strings.IndexByte(name, ':') >= 0 || Bare(name) == "") || name == "" {
		return dst
	}
	dst = e.append(dst, name)
	dst = append(dst, ':')
	dst = e.append(dst, value)
	return append(dst, '\n')
}

// appendLength ends the headers with the size of the body.
func appendLength(dst []byte, body int) []byte {
	dst = append(dst, "content-length:"...)
	dst = strconv.AppendInt(dst, int64(body), 10)
	return append(dst, "\n\n"...)
}
