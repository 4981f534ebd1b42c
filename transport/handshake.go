package transport

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"switchback/session"
	"switchback/transport/internal/guard"
	"switchback/transport/internal/http1"
)

// keySize is that of what Sec-WebSocket-Key encodes, and keyGUID what is hashed
// with it (RFC 6455, sections 4.1 and 4.2.2).
const (
	keySize = 16
	keyGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// version is the one that is spoken (RFC 6455, section 4.1).
var version = []string{"13"}

func isUpgrade(r *http.Request) bool { return http1.ListHas(r.Header["Upgrade"], "websocket") }

// checkHandshake returns what keeps a request from being a handshake of RFC
// 6455, or nothing (section 4.2.1; sockjs-protocol, WebsocketHttpErrors).
func checkHandshake(r *http.Request) string {
	switch {
	case !isUpgrade(r):
		return `Can "Upgrade" only to "WebSocket".`
	case !http1.ListHas(r.Header["Connection"], "upgrade"):
		return `"Connection" must be "Upgrade".`
	case r.ProtoMajor != 1 || !r.ProtoAtLeast(1, 1):
		return "WebSocket needs HTTP/1.1."
	case !slices.Equal(r.Header["Sec-Websocket-Version"], version):
		return `"Sec-WebSocket-Version" must be "13", once.`
	case r.ContentLength != 0:
		return "A WebSocket handshake has no body."
	}
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return `"Sec-WebSocket-Key" must be there once.`
	}
	key, err := base64.StdEncoding.DecodeString(keys[0])
	if err != nil || len(key) != keySize {
		return `"Sec-WebSocket-Key" must be 16 bytes in base64.`
	}
	return ""
}

// refuseUpgrade answers a handshake for the base URL where that is none of native
// WebSocket. The greeting would tell such a client nothing: a browser says no more
// than that the code is 200.
func (e *Endpoint) refuseUpgrade(w http.ResponseWriter, r *http.Request) {
	reason := "WebSocket is disabled here."
	if e.serves("websocket") {
		reason = "Native WebSocket is at " + e.prefix + "/websocket; on this URL it is off, see the option RawWebSocket (raw_websocket)."
	}
	e.stats.Handshakes.Add(1)
	e.log.Warn("WebSocket handshake refused", "reason", reason, "address", e.guard.Caller(r).IP())
	unread(w, r)
	refuse(w, http.StatusBadRequest, reason)
}

// subprotocolsOf are those that an opener speaks.
func subprotocolsOf(opener session.Opener) []string {
	if s, ok := opener.(session.Subprotocoler); ok {
		return s.Subprotocols()
	}
	return nil
}

// subprotocol returns the first of the client's sub-protocols that the opener
// speaks.
func (e *Endpoint) subprotocol(r *http.Request) string {
	for _, asked := range guard.List(r.Header["Sec-Websocket-Protocol"]) {
		for _, spoken := range e.subprotocols {
			if strings.EqualFold(asked, spoken) {
				return strings.Clone(asked)
			}
		}
	}
	return ""
}

// upgradeRFC6455 makes k's connection of a request's. The answer leaves with the
// first frames.
func (k *socket) upgradeRFC6455(w http.ResponseWriter, r *http.Request, subprotocol string) error {
	answer := append(make([]byte, 0, 256), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"...)
	answer = http1.AppendField(answer, "Sec-WebSocket-Accept", acceptance(r.Header.Get("Sec-Websocket-Key")))
	if subprotocol != "" {
		answer = http1.AppendField(answer, "Sec-WebSocket-Protocol", subprotocol)
	}
	for _, cookie := range w.Header()["Set-Cookie"] {
		answer = http1.AppendField(answer, "Set-Cookie", cookie)
	}
	if err := k.hijack(w); err != nil {
		return err
	}
	return k.start(append(answer, "\r\n"...))
}

// acceptance is the answer to a key (RFC 6455, section 4.2.2).
func acceptance(key string) string {
	sum := sha1.Sum([]byte(key + keyGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// hijack takes a request's connection for good.
func (k *socket) hijack(w http.ResponseWriter) (err error) {
	if k.conn, err = k.service.taker.Upgrade(w); err != nil {
		refuse(w, http.StatusInternalServerError, "WebSocket is not possible here.")
		return err
	}
	k.conn.SetWriteTimeout(k.service.options.WriteTimeout)
	k.conn.Own(k)
	return nil
}
