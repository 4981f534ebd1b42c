package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"switchback/session"
	"switchback/session/frame"
	"switchback/session/memory"
	"switchback/transport/internal/netpoll"
)

// A socket is the receiver that carries a session over a WebSocket, for as long
// as both live. One goroutine at a time reads it, when there is something to
// read; frames are written by whoever has them, since a write does not wait.
type socket struct {
	pump
	service *service
	session *session.Local
	conn    *netpoll.Conn
	codec   codec
	native  bool         // without SockJS frames
	works   atomic.Bool  // the reading goroutine is in the handler
	silent  atomic.Int32 // heartbeats sent since something was read
	closing atomic.Bool  // the WebSocket close frame is sent

	// The reading goroutine's.
	buffer  *netpoll.Buffer     // while it reads
	pace    *pace               // of a message that has begun and is not here, or nil
	cut     int32               // bytes to come of a frame that is not read on; of Hixie-76, where they are not counted, 1
	skipped int32               // bytes that came after the close frame was sent
	peerEnd *session.CloseError // the peer's close frame
}

// A codec is one kind of WebSocket framing.
type codec interface {
	appendBegin(dst []byte, size int, binary bool) []byte // what stands before a message, and end after it
	end() string
	ping() string // empty: there is none
	binary() bool // there are binary messages
	appendClose(dst []byte, code int, reason string) []byte

	// next reads the next message of a socket into body. It returns io.EOF when
	// the peer has closed, a *session.CloseError for what the peer may not send,
	// and errNoMessage where it sent something that is no message.
	next(k *socket, b *body) (binary bool, err error)
}

// errNoMessage is read where the peer sent a control frame.
var errNoMessage = errors.New("transport: no message")

// websocket opens a session over WebSocket (sockjs-protocol, Websocket).
func (e *Endpoint) websocket(w http.ResponseWriter, r *http.Request, key string) {
	if s := e.registry.Find(key); s != nil && !s.Belongs(r) {
		notFound(w)
		return
	}
	e.upgrade(w, r, &socket{service: &e.service})
}

// rawWebSocket opens a session over native WebSocket, without SockJS frames
// (sockjs-protocol, RawWebsocket).
func (e *Endpoint) rawWebSocket(w http.ResponseWriter, r *http.Request, _ string) {
	e.upgrade(w, r, &socket{service: &e.service, native: true})
}

// upgrade opens the session and makes the handshake, in this order, so that a
// client that the opener refuses is told so by HTTP.
func (e *Endpoint) upgrade(w http.ResponseWriter, r *http.Request, k *socket) {
	hixie := e.options.Hixie76 && isHixie76(r)
	if reason := checkHandshake(r); reason != "" && !hixie {
		e.stats.Handshakes.Add(1)
		if !k.native {
			peer := e.guard.Peer(r, "websocket")
			e.attempts.note(r, e.prefix, &peer, true)
		}
		unread(w, r)
		w.Header()["Sec-Websocket-Version"] = version // RFC 6455, section 4.4
		refuse(w, http.StatusBadRequest, reason)
		return
	}
	k.codec = rfc6455{}
	if hixie {
		k.codec = hixie76{}
	}
	peer := e.guard.Peer(r, "websocket")
	if k.native {
		peer.Transport, peer.Binary, peer.Subprotocol = "raw-websocket", k.codec.binary(), e.subprotocol(r)
	}
	var err error
	k.session, err = e.registry.Open("", r, peer, framings[wireKind{k.codec, k.native}], k)
	if !k.native {
		e.attempts.note(r, e.prefix, &peer, err != nil)
	}
	if err != nil {
		e.refusal(w, r, err)
		return
	}
	if hixie {
		err = k.upgradeHixie76(w, r)
	} else {
		err = k.upgradeRFC6455(w, r, peer.Subprotocol)
	}
	if err != nil {
		e.stats.Handshakes.Add(1)
		k.session.Detach(k, &session.CloseError{Code: session.CodeAbnormal, Err: err})
		return
	}
	k.conn.Arm()
}

// limit is the size of a WebSocket message.
func (k *socket) limit() int {
	if k.native {
		return k.service.options.MessageLimit
	}
	return k.service.options.BodyLimit
}

// hurry has the rest of a message come at its pace, and may return outOfMemory; came
// tells of a part of it, and relax of its end. All are the reading goroutine's.
func (k *socket) hurry() error {
	if k.pace != nil || k.closing.Load() {
		return nil
	}
	if !memory.Received.Take(unfinished) {
		return outOfMemory
	}
	k.pace = new(pace)
	k.conn.SetReadDeadline(k.pace.begin(time.Now(), k.service.options.BodyTimeout))
	return nil
}

func (k *socket) came(n int) {
	if k.pace == nil || k.closing.Load() {
		return
	}
	k.silent.Store(0)
	if t, changed := k.pace.more(time.Now(), n); changed {
		k.conn.SetReadDeadline(t)
	}
}

func (k *socket) relax() {
	if k.pace == nil {
		return
	}
	k.pace = nil
	memory.Received.Give(unfinished)
	k.conn.SetReadDeadline(time.Time{})
	if k.closing.Load() { // meanwhile
		k.closed()
	}
}

// Ready reads messages as long as some have come, and then waits for more.
func (k *socket) Ready(b *netpoll.Buffer) {
	k.buffer = b
	defer func() { k.buffer = nil }()
	k.silent.Store(0)
	for more := true; more; more = b.Buffered() > 0 {
		err := k.readMessage()
		if err != nil && err != errNoMessage && !k.end(err) {
			return
		}
	}
	k.conn.Arm()
}

// readMessage reads one message for the session.
func (k *socket) readMessage() error {
	b := newBody()
	defer b.free()
	binary, err := k.codec.next(k, b)
	k.relax()
	if err != nil || k.closing.Load() {
		return err
	}
	if err := k.receive(binary, b); !errors.Is(err, session.ErrClosed) {
		return err
	}
	return nil
}

// peek returns the next n bytes. Those after the first must come in time; so must
// the first, within a message that is hurried already.
func (k *socket) peek(n int) ([]byte, error) {
	p, err := k.buffer.Peek(1)
	if err == nil && n > 1 {
		if k.buffer.Buffered() < n {
			err = k.hurry()
		}
		if err == nil {
			p, err = k.buffer.Peek(n)
		}
	}
	return p, unexpected(err)
}

// end ends the session, for an error of reading, and tells whether the
// connection is to be read on, for the peer's close frame.
func (k *socket) end(err error) (goOn bool) {
	var end *session.CloseError
	switch {
	case k.peerEnd != nil:
		k.closing.Store(true)
		k.session.Detach(k, k.peerEnd)
		k.conn.End(&memory.Pieces{Bytes: k.codec.appendClose(nil, answering(k.peerEnd.Code), "")})
	case errors.As(err, &end):
		k.refuse(end)
		k.writeLast(&memory.Pieces{Bytes: k.codec.appendClose(nil, end.Code, end.Reason)})
		return true
	case k.closing.Load() && over(err):
		k.session.Detach(k, &session.CloseError{Code: session.CodeAbnormal, Err: err})
		k.conn.CloseFlushed()
	case errors.Is(err, os.ErrDeadlineExceeded):
		k.service.stats.Late.Add(1)
		return k.end(tooSlow)
	default:
		k.refuse(&session.CloseError{Code: session.CodeAbnormal, Err: err})
		k.conn.CloseFlushed()
	}
	return false
}

// answering is the code of the answer to a peer's close frame: its own, if it
// has one (RFC 6455, section 5.5.1).
func answering(code int) int {
	if code == codeNoStatus {
		return session.CodeNormal
	}
	return code
}

// over tells the ends of a connection whose close frame is sent: the peer's has
// come, or its time is over, or there will be none.
func over(err error) bool {
	return err == io.EOF || err == errLinger || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded)
}

// refuse ends the session for what the peer sent.
func (k *socket) refuse(end *session.CloseError) {
	switch end.Code {
	case session.CodeTooBig:
		k.service.stats.TooLarge.Add(1)
	case session.CodeInvalid, session.CodeUnsupported:
		k.service.stats.Broken.Add(1)
	case session.CodeTryLater:
		k.service.stats.Full.Add(1)
	}
	k.session.Detach(k, end)
}

// lingerLimit is what is read of a peer that goes on sending after its end: to
// close a connection with something unread resets it, and the peer may lose the
// close frame.
const lingerLimit = 32 << 20

var errLinger = errors.New("transport: peer goes on sending after the close frame")

// receive brings the session what a message holds.
func (k *socket) receive(binary bool, b *body) error {
	data := b.bytes
	k.works.Store(true)
	defer k.works.Store(false)
	k.direct.Store(true)
	defer k.direct.Store(false)
	switch {
	case binary && !k.native:
		return &session.CloseError{Code: session.CodeUnsupported, Reason: "Binary messages are not supported"}
	case binary:
		return k.session.ReceiveBinary(context.Background(), data)
	case k.native && !utf8.Valid(data):
		return &session.CloseError{Code: session.CodeInvalid, Reason: "Text is not UTF-8"}
	case k.native:
		return k.session.Receive(context.Background(), data)
	}
	messages, err := frame.DecodeText(data, k.service.options.BatchLimit)
	if err == nil {
		err = k.service.checkSizes(messages)
	}
	if err == nil {
		err = b.messages(len(messages))
	}
	switch {
	case errors.Is(err, errTooLarge), errors.Is(err, frame.ErrMany):
		return tooBig
	case err == outOfMemory:
		return err
	case errors.Is(err, frame.ErrStrings):
		return &session.CloseError{Code: session.CodeInvalid, Reason: "Payload must be an array of strings"}
	case err != nil:
		return &session.CloseError{Code: session.CodeInvalid, Reason: "Broken JSON encoding"}
	case len(messages) == 0:
		return nil
	}
	return k.session.Receive(context.Background(), messages...)
}

var (
	tooBig  = &session.CloseError{Code: session.CodeTooBig, Reason: "Message is too large"}
	tooSlow = &session.CloseError{Code: session.CodePolicy, Reason: "Message does not come in time"}
)
