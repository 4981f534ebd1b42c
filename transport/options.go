package transport

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"switchback/session"
	"switchback/session/option"
	"switchback/transport/internal/guard"
)

// Options are the settings of an endpoint. The zero value is SockJS as it is
// commonly served, with every limit on. A zero number or duration stands for
// its default.
type Options struct {
	// ClientURL is the sockjs-client that the iframe page loads; it should be
	// the version that the pages use. The default is DefaultClientURL.
	ClientURL string

	// HeartbeatDelay is the silence after which the client is sent a
	// heartbeat. A native WebSocket's is a ping; one with SockJS frames is
	// pinged with a heartbeat when nothing has come from it since the one
	// before. A WebSocket is closed where nothing has come from it by the
	// heartbeat after a ping. The default is 25 seconds. A negative value
	// turns heartbeats off, and with them the detection of WebSocket peers
	// that have vanished.
	HeartbeatDelay time.Duration `default:"25s" negative:"off"`

	// DisconnectDelay is how long a session outlives its last receiver. The
	// default is 5 seconds.
	DisconnectDelay time.Duration `default:"5s"`

	// ResponseLimit is the number of bytes after which a stream ends, so that
	// the browser can free them; the client opens the next one at once. The
	// default is 128 KiB.
	ResponseLimit int `default:"128KiB" unit:"bytes"`

	// DisabledTransports are the transports that are not served, by their names, such
	// as "xhr-polling"; without "websocket" there is no native WebSocket, either.
	// [Transports] has all names. The default is none.
	DisabledTransports []string

	// RawWebSocket serves native WebSocket on the base URL itself, too, which a
	// mux has to hand over as it is: see Endpoint.Register. On /websocket it is
	// always served, unless "websocket" is disabled.
	RawWebSocket bool

	// Hixie76 accepts the WebSocket handshake that came before RFC 6455. It
	// was withdrawn because it can poison the caches of proxies.
	Hixie76 bool

	// CookieNeeded sets the JSESSIONID cookie that some load balancers need
	// to keep a client on one node, and says so in /info.
	CookieNeeded bool

	// AllowedOrigins are the origins of pages that may use the endpoint:
	// exact ones ("https://example.com"), patterns in which * stands for
	// anything and a list of ports is in brackets
	// ("https://*.example.com:[8080,8081]"), "null", "file://", or "*" for all.
	// ws and wss are http and https, and a slash at the end is not looked at:
	// native clients write that. An endpoint's own origin is always allowed,
	// unless its host is not one of Hosts. The default is only that.
	AllowedOrigins []string

	// TrustedProxies are the addresses whose Forwarded and X-Forwarded-For,
	// -Host, -Port and -Proto headers are believed (-Scheme or -Ssl, where
	// there is no -Proto). Proxies that add to what they are told make lists
	// of them, which are read from their end up to the first address that is
	// not here. A proxy must set, add to or remove each header of its kind: it
	// answers for what it passes on. The default is none.
	TrustedProxies []netip.Prefix

	// Forwarded is the kind of header that the trusted proxies set:
	// "x-forwarded", "forwarded" (RFC 7239), or "either", which reads
	// Forwarded where there is no X-Forwarded-For. The other kind, which the
	// client may have sent, is not read. The default is "either".
	Forwarded string `default:"either"`

	// Hosts are the names and addresses that are the server's own, without a
	// port: a request for any other host is as one from a foreign page, whether
	// it names a page or not. Behind a trusted proxy the host is the one that it
	// reports. The default is any host, but for what DNS rebinding could make
	// one: over plain HTTP, at the listener's own port on a loopback address
	// and from no trusted proxy, only localhost, names below it, and addresses.
	// Where a loopback address is trusted, so is every browser on this machine.
	Hosts []string

	// MessageLimit is the size of a message from the client, in bytes, over
	// which it is refused (1009, 413). The default is 512 KiB.
	MessageLimit int `default:"512KiB" unit:"bytes"`

	// BodyLimit is the same for a request's body and for one WebSocket
	// message of a SockJS session, either of which can hold many messages.
	// The default is 1 MiB.
	BodyLimit int `default:"1MiB" unit:"bytes"`

	// BatchLimit is the number of messages that one body may hold (413,
	// 1009). The default is 16,384.
	BatchLimit int `default:"16384"`

	// SessionLimit is the number of sessions of the endpoint (503). The
	// default is 1,000,000.
	SessionLimit int `default:"1000000"`

	// AddressLimit is the number of sessions of one peer address, of IPv6 of
	// one /64 (503). The default is no limit: offices and proxies share an
	// address.
	AddressLimit int

	// UserLimit is the number of sessions of one user, whom an Opener names (503);
	// nobody is no user. The default is no limit.
	UserLimit int

	// MessageRate is the number of messages a second that one session's client may
	// send, in the long run, and MessageBurst how many at once, after silence: with
	// more the session is closed (1008). The default is no limit; for MessageBurst it
	// is MessageRate.
	MessageRate  int
	MessageBurst int

	// ByteRate and ByteBurst are the same for the bytes of these messages: one that is
	// larger than ByteBurst is always too much. The default is no limit; for
	// ByteBurst it is ByteRate.
	ByteRate  int `unit:"bytes"`
	ByteBurst int `unit:"bytes"`

	// PublishRate and PublishBurst are the same for the messages of all sessions of one
	// user; nobody's sessions count by themselves. Who comes back has no new burst. The
	// default is no limit; for PublishBurst it is PublishRate.
	PublishRate  int
	PublishBurst int

	// QueueLimit is the number of bytes a client may leave unread; over it
	// the session is closed (1013). A single message of any size passes when
	// nothing waits before it. What many sessions hold together, as large
	// messages to a topic, does not count: for that see package memory. The
	// default is 1 MiB.
	QueueLimit int `default:"1MiB" unit:"bytes"`

	// InboxLimit is the number of bytes that may wait for a session's
	// handler; over it the client waits. The default is 64 KiB.
	InboxLimit int `default:"64KiB" unit:"bytes"`

	// BodyTimeout is how long nothing may come of a request's body, or of a
	// WebSocket message that has begun (408, 1008). The default is 15 seconds.
	// One that brings less than 500 bytes a second for 30 seconds, or takes more
	// than 10 minutes, is given up in the same way.
	BodyTimeout time.Duration `default:"15s"`

	// WriteTimeout is the time in which the client must take some of what is
	// written to it: over plain HTTP on Linux any of it, elsewhere the next 64
	// KiB. After three such times a client is given up that has not acknowledged
	// what its socket took. The default is 10 seconds.
	WriteTimeout time.Duration `default:"10s"`

	// HandshakeTimeout is the time in which a Hixie-76 handshake must be
	// complete, whose last part comes after its answer. The default is 10
	// seconds.
	HandshakeTimeout time.Duration `default:"10s"`

	// CloseTimeout is how long the server waits for a WebSocket peer's close
	// frame after its own, before it closes the connection. The default is 5
	// seconds.
	CloseTimeout time.Duration `default:"5s"`

	// InboxTimeout is how long a client waits for a busy handler before the
	// session is closed (1013). The default is 30 seconds.
	InboxTimeout time.Duration `default:"30s"`

	// Opened is called before a session's handler hears of it, and Closed after that
	// has heard of its end, with what it was told or with the *session.PanicError of
	// its OnClose: each once for a session, with no lock held. They must not block.
	Opened func(s session.Session)
	Closed func(s session.Session, err error)

	// Logger gets what happens: debug for the life of sessions, a line when one opens
	// and one with its age, code and reason when it has closed; warn for
	// sessions and pages that are refused and for slow clients and handlers,
	// error for handlers that panic. Never a message or a session id of a URL,
	// and of what a client sent no more than 256 bytes a line. Clients can
	// cause lines of debug and warn as often as they like: sample them where
	// that matters. The default is slog.Default() as NewEndpoint finds it;
	// slog.New(slog.DiscardHandler) is none.
	Logger *slog.Logger
}

// DefaultClientURL is the client that the iframe page loads by default.
const DefaultClientURL = "https://cdn.jsdelivr.net/npm/sockjs-client@1.6.1/dist/sockjs.min.js"

// Complete returns the options with their defaults filled in. An error says
// which of them is wrong and what it may be.
func (o Options) Complete() (Options, error) {
	option.SetDefaults(&o)
	o.ClientURL = cmp.Or(o.ClientURL, DefaultClientURL)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.MessageBurst = cmp.Or(o.MessageBurst, o.MessageRate)
	o.ByteBurst = cmp.Or(o.ByteBurst, o.ByteRate)
	o.PublishBurst = cmp.Or(o.PublishBurst, o.PublishRate)
	return o, o.check()
}

// AllowsOrigin tells whether pages of an origin may use the endpoint, wherever it is:
// AllowedOrigins has it. It is false where that is wrong.
func (o Options) AllowsOrigin(origin string) bool {
	g, err := guard.New(guard.Options{AllowedOrigins: o.AllowedOrigins, Logger: slog.New(slog.DiscardHandler)})
	return err == nil && g.Allowed(&http.Request{Header: http.Header{"Origin": {origin}}}, guard.ByScript)
}

// Transports returns the names of the transports, as sockjs-client has them, which
// DisabledTransports may hold.
func Transports() (names []string) {
	for _, row := range urls {
		for _, name := range row.transports {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// check returns what is wrong with options, defaults filled in.
func (o Options) check() error {
	for _, t := range o.DisabledTransports {
		if names := Transports(); !slices.Contains(names, t) {
			return fmt.Errorf("transport: DisabledTransports: %q: must be one of %s", t, strings.Join(names, ", "))
		}
	}
	if !slices.Contains(guard.Kinds, o.Forwarded) {
		return fmt.Errorf("transport: Forwarded: %q: must be one of %s", o.Forwarded, strings.Join(guard.Kinds, ", "))
	}
	if u, err := url.Parse(o.ClientURL); err != nil || u.Scheme != "http" && u.Scheme != "https" && !strings.HasPrefix(o.ClientURL, "/") {
		return fmt.Errorf("transport: ClientURL: %q: must begin with http://, https:// or /", o.ClientURL)
	}
	if name, _ := option.Negative(o); name != "" {
		return fmt.Errorf("transport: %s: must not be negative", name)
	}
	for _, r := range []struct {
		name        string
		rate, burst int
	}{{"Message", o.MessageRate, o.MessageBurst}, {"Byte", o.ByteRate, o.ByteBurst}, {"Publish", o.PublishRate, o.PublishBurst}} {
		if r.rate == 0 && r.burst > 0 {
			return fmt.Errorf("transport: %sBurst: must have a %sRate with it", r.name, r.name)
		}
	}
	return nil
}
