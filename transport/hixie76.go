package transport

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"switchback/session"
)

// hixie76 is the WebSocket framing of draft-hixie-thewebsocketprotocol-76: text
// between 0x00 and 0xff, and nothing else but the closing 0xff 0x00.
type hixie76 struct{}

func (hixie76) appendBegin(dst []byte, _ int, _ bool) []byte   { return append(dst, 0x00) }
func (hixie76) end() string                                    { return "\xff" }
func (hixie76) ping() string                                   { return "" }
func (hixie76) binary() bool                                   { return false }
func (hixie76) appendClose(dst []byte, _ int, _ string) []byte { return append(dst, 0xff, 0x00) }

func isHixie76(r *http.Request) bool {
	return isUpgrade(r) && r.Header.Get("Sec-WebSocket-Key1") != "" && r.Header.Get("Sec-WebSocket-Key2") != ""
}

// upgradeHixie76 makes k's connection of a request's. The headers are answered
// before the nonce is read, which a proxy may send only then (sockjs-protocol,
// Websocket.test_haproxy).
func (k *socket) upgradeHixie76(w http.ResponseWriter, r *http.Request) error {
	one, err := hixieNumber(r.Header.Get("Sec-WebSocket-Key1"))
	if err == nil {
		var two uint32
		if two, err = hixieNumber(r.Header.Get("Sec-WebSocket-Key2")); err == nil {
			return k.answerHixie76(w, r, one, two)
		}
	}
	refuse(w, http.StatusBadRequest, "WebSocket key is broken.")
	return err
}

// hixieNumber is a key's digits, divided by the number of its spaces.
func hixieNumber(key string) (uint32, error) {
	var digits []byte
	spaces := uint64(0)
	for i := range len(key) {
		switch c := key[i]; {
		case c == ' ':
			spaces++
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		}
	}
	n, err := strconv.ParseUint(string(digits), 10, 32)
	if err != nil || spaces == 0 || n%spaces != 0 {
		return 0, errors.New("transport: broken Hixie-76 key")
	}
	return uint32(n / spaces), nil
}

func (k *socket) answerHixie76(w http.ResponseWriter, r *http.Request, one, two uint32) error {
	if err := k.hijack(w); err != nil {
		return err
	}
	b := k.conn.Lend()
	defer b.GiveBack()
	c := k.service.guard.Caller(r)
	scheme := "ws"
	if c.Secure {
		scheme = "wss"
	}
	fmt.Fprintf(k.conn, "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Origin: %s\r\nSec-WebSocket-Location: %s://%s%s\r\n\r\n",
		r.Header.Get("Origin"), scheme, c.Host, r.URL.RequestURI())
	challenge := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, one), two)
	challenge = append(challenge, make([]byte, 8)...)
	k.conn.SetReadDeadline(time.Now().Add(k.service.options.HandshakeTimeout))
	if _, err := io.ReadFull(b, challenge[8:]); err != nil {
		k.conn.Close()
		return err
	}
	k.conn.SetReadDeadline(time.Time{})
	sum := md5.Sum(challenge)
	return k.start(sum[:])
}

func (hixie76) next(k *socket, b *body) (binary bool, err error) {
	if k.cut > 0 {
		return false, skipHixie76(k)
	}
	kind, err := k.buffer.ReadByte()
	switch {
	case err != nil:
		return false, unexpected(err)
	case kind == 0xff:
		k.peerEnd = &session.CloseError{Code: session.CodeNormal}
		return false, io.EOF
	case kind != 0x00:
		return false, &session.CloseError{Code: session.CodeInvalid, Reason: "Broken frame"}
	}
	if err := k.hurry(); err != nil {
		k.cut = 1
		return false, err
	}
	for {
		if _, err := k.buffer.Peek(1); err != nil {
			k.cut = 1
			return false, unexpected(err)
		}
		p, _ := k.buffer.Peek(k.buffer.Buffered())
		text, _, whole := bytes.Cut(p, []byte{0xff})
		if err = b.append(text); err == nil && len(b.bytes) > k.limit() {
			err = tooBig
		}
		switch {
		case err != nil:
			k.cut = 1
			return false, err
		case whole:
			k.buffer.Discard(len(text) + 1)
			return false, nil
		}
		k.buffer.Discard(len(text))
		k.came(len(text))
	}
}

// skipHixie76 reads what has come of the rest of a text that is not wanted.
func skipHixie76(k *socket) error {
	if _, err := k.buffer.Peek(1); err != nil {
		return unexpected(err)
	}
	p, _ := k.buffer.Peek(k.buffer.Buffered())
	n := len(p)
	if i := bytes.IndexByte(p, 0xff); i >= 0 {
		n, k.cut = i+1, 0
	}
	_, err := k.skip(n)
	return err
}

// unexpected tells the end of a connection without a close frame.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
