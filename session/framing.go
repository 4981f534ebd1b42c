package session

import (
	"sync/atomic"

	"switchback/session/frame"
)

// A Framing is the form that a session's messages have on its wire. A
// transport chooses it when it opens a session: SockJS, or its own for a wire
// without SockJS frames. Its methods append to dst and keep nothing.
type Framing interface {
	AppendOpen(dst []byte) []byte
	AppendHeartbeat(dst []byte) []byte
	AppendClose(dst []byte, code int, reason string) []byte

	// AppendText and AppendBinary encode one message for the queue.
	// AppendBinary returns ErrText where the wire carries text only.
	AppendText(dst, text []byte) []byte
	AppendBinary(dst, data []byte) ([]byte, error)

	// Separator stands between two messages in the queue. It is always the same.
	Separator() string

	// AppendQueue appends the frames that carry all of a queue.
	AppendQueue(dst, queue []byte) []byte
}

// SockJS is the framing of the SockJS protocol: o, h, a[...] and c[...]. All
// that is queued leaves in one a[...].
var SockJS Framing = sockJS{}

type sockJS struct{}

func (sockJS) AppendOpen(dst []byte) []byte      { return append(dst, frame.Open...) }
func (sockJS) AppendHeartbeat(dst []byte) []byte { return append(dst, frame.Heartbeat...) }

func (sockJS) AppendClose(dst []byte, code int, reason string) []byte {
	return frame.AppendClose(dst, code, reason)
}

func (sockJS) AppendText(dst, text []byte) []byte { return frame.AppendQuoted(dst, text) }

func (sockJS) AppendBinary(dst, _ []byte) ([]byte, error) { return dst, ErrText }

func (sockJS) Separator() string { return "," }

func (sockJS) AppendQueue(dst, queue []byte) []byte { return frame.AppendMessages(dst, queue) }

// A Prepared is a text for many sessions: it is encoded once for each framing
// that carries it. Its methods may be called from any goroutine.
type Prepared struct {
	text  []byte
	forms atomic.Pointer[form]
}

// A form is a text in the encoding of one framing. Forms are never changed.
type form struct {
	framing Framing
	encoded []byte
	next    *form
}

// Prepare returns text, prepared. It keeps text, which must not be changed
// afterwards.
func Prepare(text []byte) *Prepared { return &Prepared{text: text} }

// Text is what Prepare was given.
func (m *Prepared) Text() []byte { return m.text }

// encoded returns the text in the encoding of f, which is not to be changed. If two
// goroutines ask for a new form at once, both may make it; one of the two is kept.
func (m *Prepared) encoded(f Framing) []byte {
	first := m.forms.Load()
	for e := first; e != nil; e = e.next {
		if e.framing == f {
			return e.encoded
		}
	}
	e := &form{framing: f, encoded: f.AppendText(nil, m.text), next: first}
	m.forms.CompareAndSwap(first, e)
	return e.encoded
}
