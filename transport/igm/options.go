package igm

import (
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/gorilla/websocket"
	"github.com/igm/sockjs-go/v3/sockjs"

	"switchback/transport"
)

// complete returns o with its defaults. It refuses what igm cannot do and what
// cannot be, by name.
func complete(o transport.Options) (transport.Options, error) {
	if names := unavailable(o); len(names) > 0 {
		return o, fmt.Errorf("igm: this implementation has no %s", strings.Join(names, ", "))
	}
	if int64(o.ResponseLimit) > math.MaxUint32 {
		return o, fmt.Errorf("igm: ResponseLimit: %d: must be at most %d", o.ResponseLimit, uint32(math.MaxUint32))
	}
	return o.Complete()
}

// honoured are the options that igm has, those that are seen to before it, and
// Hixie76, which has no effect.
var honoured = []string{
	"ClientURL", "HeartbeatDelay", "DisconnectDelay", "ResponseLimit", "DisabledTransports", "RawWebSocket", "Hixie76",
	"CookieNeeded", "AllowedOrigins", "TrustedProxies", "Forwarded", "Hosts", "MessageLimit", "BodyLimit", "SessionLimit",
	"AddressLimit", "BodyTimeout", "WriteTimeout", "HandshakeTimeout", "Logger",
}

// unavailable returns the names of the options in o that igm has not: whatever is not
// known to be honoured, so that none is taken and then ignored.
func unavailable(o transport.Options) (names []string) {
	for field, value := range reflect.ValueOf(o).Fields() {
		if !value.IsZero() && !slices.Contains(honoured, field.Name) {
			names = append(names, field.Name)
		}
	}
	return names
}

// engineOptions are o as igm has them. Those that igm has no word for are
// honoured before it.
func engineOptions(o transport.Options, subprotocols []string) sockjs.Options {
	opts := sockjs.Options{
		SockJSURL:             o.ClientURL,
		ResponseLimit:         uint32(o.ResponseLimit),
		HeartbeatDelay:        max(o.HeartbeatDelay, 0), // igm: 0 is off
		DisconnectDelay:       o.DisconnectDelay,
		Websocket:             true,
		RawWebsocket:          true,
		WebsocketWriteTimeout: o.WriteTimeout,
		WebsocketUpgrader: &websocket.Upgrader{
			HandshakeTimeout: o.HandshakeTimeout,
			Subprotocols:     subprotocols,
			CheckOrigin:      allowed,
		},
		CheckOrigin: allowed,
	}
	if o.CookieNeeded {
		opts.JSessionID = setCookie
	}
	for _, name := range o.DisabledTransports {
		disable(&opts, name)
	}
	return opts
}

// allowed answers igm and gorilla, which see only requests whose origin has
// been allowed already.
func allowed(*http.Request) bool { return true }

// setCookie sets the cookie on every session URL; /info never does.
func setCookie(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/info" {
		sockjs.DefaultJSessionID(w, r)
	}
}

func disable(opts *sockjs.Options, transport string) {
	switch transport {
	case "websocket":
		opts.Websocket, opts.RawWebsocket = false, false
	case "xhr-streaming":
		opts.DisableXHRStreaming = true
	case "xhr-polling":
		opts.DisableXHR = true
	case "eventsource":
		opts.DisableEventSource = true
	case "htmlfile":
		opts.DisableHtmlFile = true
	case "jsonp-polling":
		opts.DisableJSONP = true
	}
}
