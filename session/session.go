package session

import (
	"context"
	"net/http"
	"net/netip"
)

// A Session is one client's conversation with the server. It outlives the
// requests and connections that carry it. Its methods may be called from any
// goroutine, and never wait for the client.
type Session interface {
	// ID is this process's name for the session. It is never the session id
	// of the URL, which is the client's secret (sockjs-protocol, SessionURLs).
	ID() string

	// Peer is the client as it was when the session opened. It is not changed
	// afterwards and must not be changed.
	Peer() *Peer

	// Send queues a text for the client, after everything that was queued
	// before. It encodes text before it returns and keeps nothing of it. A
	// text that is not valid UTF-8 is sent with U+FFFD in place of what is
	// not; lone surrogates that came from a SockJS client go back as they
	// came. Send returns ErrClosed on a session that is closing or closed,
	// ErrSlow when the client leaves more unread than QueueLimit allows: the
	// session is then closed; and ErrMemory where the process holds too much and
	// the text is over 16 KiB or something is unread: then it does nothing.
	Send(text []byte) error

	// SendPrepared is Send for a message that goes to many sessions. It is encoded
	// once for all of them and, where it is large, held by all together: it does not
	// count for QueueLimit, and never meets ErrMemory. Who publishes asks
	// memory.Reserve first.
	SendPrepared(m *Prepared) error

	// SendBinary is Send for a binary message. Where Peer.Binary is false it
	// returns ErrText and does nothing.
	SendBinary(data []byte) error

	// Queued is the number of bytes that the client has yet to take.
	Queued() int

	// Close sends what is queued and then the close frame. It returns ErrCode
	// for a code that may not be sent (see ValidCode) and ErrClosed when the
	// session is already closing. A reason is cut to 123 bytes at a character
	// (RFC 6455, section 5.5).
	Close(code int, reason string) error

	// Context is cancelled when the session closes. Its cause is the error
	// that OnClose gets.
	Context() context.Context
}

// A Handler responds to the events of a session: OnOpen once, first; OnMessage
// for each message, in order; OnClose once, last. Calls for one session never
// overlap; calls for different sessions do.
//
// A handler ends its session by returning an error from OnOpen or OnMessage: a
// *CloseError is told to the client as it is, any other error as 1011 without
// its text; that is then the Err of the *CloseError that OnClose gets. A panic
// ends the session as a *PanicError does that is returned.
//
// While a handler works, the session's further messages wait, and when
// InboxLimit bytes of them wait, so does the client: its requests are not
// answered, and after InboxTimeout the session is closed; its WebSocket is not
// read.
type Handler interface {
	// OnOpen may already send. Where it returns an error OnClose is called all the same.
	OnOpen(s Session) error

	// OnMessage gets one message. text is valid until OnMessage returns.
	OnMessage(s Session, text []byte) error

	// OnClose gets the reason: a *CloseError. It is the place to give back
	// what OnOpen took; nothing can be sent any more. It runs on a goroutine of
	// its own, or after the call that ended the session.
	OnClose(s Session, err error)
}

// Nop is a Handler that does nothing, to be embedded by those that do something on
// some events only.
type Nop struct{}

func (Nop) OnOpen(Session) error            { return nil }
func (Nop) OnMessage(Session, []byte) error { return nil }
func (Nop) OnClose(Session, error)          {}

// A BinaryHandler is a Handler that takes binary messages, which only native
// WebSocket carries. A session whose handler is none is closed with 1003 by
// the first of them.
type BinaryHandler interface {
	// OnBinary gets one binary message. data is valid until it returns.
	OnBinary(s Session, data []byte) error
}

// A Drainer is a Handler that wants to say goodbye: OnDrain is called when the
// server begins to shut down, before the session is closed with 1001.
type Drainer interface {
	OnDrain(s Session)
}

// An Opener chooses the handler of a new session, or refuses it: this is the
// place for authentication. It is called once for each session with the
// request that asks for it, and must keep neither the request nor anything of
// it. A *RefusedError says what the client is told; any other error is told as
// 500. A handler that was returned may never be used, if the client asked
// twice at once.
type Opener interface {
	Open(r *http.Request) (Handler, error)
}

// A Subprotocoler is an Opener whose native WebSocket endpoint speaks
// sub-protocols (RFC 6455, section 1.9). The first of the client's list that
// it names is chosen, without regard to case; Peer.Subprotocol tells which.
type Subprotocoler interface {
	Subprotocols() []string
}

// An OpenerFunc is a function used as an Opener.
type OpenerFunc func(r *http.Request) (Handler, error)

// Open calls f.
func (f OpenerFunc) Open(r *http.Request) (Handler, error) { return f(r) }

// Shared is an Opener that gives every session the same handler.
func Shared(h Handler) Opener {
	return OpenerFunc(func(*http.Request) (Handler, error) { return h, nil })
}

// A Peer is the client of a session as it was when the session opened.
type Peer struct {
	Transport   string // "websocket", "xhr-streaming", ... as sockjs-client names them, or "raw-websocket"
	Address     string // IP address, without port; behind a trusted proxy the one it reports
	Host        string // host and port that the client asked for, at most 256 bytes of them
	Secure      bool   // the client came over TLS
	Binary      bool   // the transport carries binary messages: it is native WebSocket
	Origin      string // of the page, at most 256 bytes of it, or empty
	UserAgent   string // at most 256 bytes of it
	Subprotocol string // chosen at the handshake of a native WebSocket, or empty

	Identity *Identity // who it is, set before OnOpen; nil: nobody
}

// Network is what AddressLimit counts: the address, and of IPv6 the /64, since that is
// what one client has at least (RFC 6177, section 2). Peers without an address share one
// that is not valid.
func (p *Peer) Network() netip.Prefix {
	a, err := netip.ParseAddr(p.Address)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	network, _ := a.Prefix(min(a.BitLen(), 64))
	return network
}
