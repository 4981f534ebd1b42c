package client

import (
	"net"
	"net/http"
	"sync"
	"time"

	"switchback/session/option"
)

// Options are the settings of a session. A zero number or duration stands for
// its default.
type Options struct {
	// Transports are the names of those that may be used, in the order to
	// try: "websocket", "xhr-streaming", "eventsource", "xhr-polling",
	// "raw-websocket". The default is the first four. "raw-websocket" is native
	// WebSocket, without SockJS: nothing but the messages is on its wire.
	Transports []string

	// Header is sent with every request of the session: Origin,
	// Authorization, Cookie. The requests go to another host when the base_url
	// of /info says so. The default is none.
	Header http.Header

	// HTTPClient makes the requests. Its Timeout must be zero; its Jar keeps
	// the cookies that some load balancers need. WebSockets use its Jar and the
	// DialContext, Proxy and TLSClientConfig of its Transport, if that is a
	// *http.Transport. The default is one that all sessions share.
	HTTPClient *http.Client

	// SkipInfo opens the first transport without asking /info, which costs a
	// request, gives the base_url and tells how long to wait for a transport.
	// Nothing is asked for "raw-websocket" alone, either.
	SkipInfo bool

	// OpenTimeout is the least time that a transport gets to open before the
	// next one is tried. The default is what sockjs-client takes: at least 0.6
	// seconds and more on slow networks, as /info was answered; 5 seconds
	// without /info.
	OpenTimeout time.Duration

	// Heartbeat is called for each heartbeat of the server, which on
	// "raw-websocket" is a ping, by the goroutine that receives. It must
	// return soon, and not call the Conn. The default is none.
	Heartbeat func()

	// Subprotocols are offered to the server in this order. Only
	// "raw-websocket" has them.
	Subprotocols []string

	// FrameLimit is the size of a frame or a native WebSocket message from
	// the server, in bytes, over which the session ends with 1009. The default
	// is 4 MiB.
	FrameLimit int `default:"4MiB" unit:"bytes"`

	// QueueLimit is the number of bytes that may wait for the request ahead
	// of them, where messages are sent by requests; over it Send waits. A
	// single message of any size passes when nothing waits before it. The
	// default is 256 KiB.
	QueueLimit int `default:"256KiB" unit:"bytes"`

	// SendTimeout is the time in which the server must take what is sent to
	// it. The default is 60 seconds.
	SendTimeout time.Duration `default:"60s"`

	// CloseTimeout is how long Close waits for what is queued to be sent, and
	// a WebSocket for the server's close frame. The default is 5 seconds.
	CloseTimeout time.Duration `default:"5s"`
}

var defaultTransports = []string{"websocket", "xhr-streaming", "eventsource", "xhr-polling"}

func (o Options) withDefaults() Options {
	option.SetDefaults(&o)
	if len(o.Transports) == 0 {
		o.Transports = defaultTransports
	}
	if o.HTTPClient == nil {
		o.HTTPClient = sharedClient()
	}
	if o.Heartbeat == nil {
		o.Heartbeat = func() {}
	}
	o.Header = o.Header.Clone()
	if o.Header == nil {
		o.Header = http.Header{}
	}
	return o
}

// sharedClient makes the requests of sessions without a client of their own.
// There may be many sessions on one host, each with a connection that is idle
// between two polls, so idle connections are not limited by number, and few
// bytes are kept for each.
var sharedClient = sync.OnceValue(func() *http.Client {
	dialer := net.Dialer{Timeout: 30 * time.Second}
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 1 << 20,
		// Below the 5 seconds after which common servers close theirs: a
		// message must not meet a connection that is just being closed.
		IdleConnTimeout:    4 * time.Second,
		DisableCompression: true, // a compressed stream is one that is held back
		ReadBufferSize:     1 << 10,
		WriteBufferSize:    1 << 10,
	}}
})
