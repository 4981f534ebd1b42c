package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// openTimeout is what a transport gets to open where no round-trip time is
// known (sockjs-client, _connect).
const openTimeout = 5 * time.Second

// Dial opens a session of the endpoint at a base URL such as
// "http://127.0.0.1:8081/echo". The schemes are http and https; ws and wss
// stand for them. It tries one transport after the other, each with a new
// session id and within a time that follows from how long /info took. A server
// that refuses with a close frame, or with a code that an application may
// send, is not asked again.
//
// ctx bounds Dial and has no part in the session after it. The error is a
// *CloseError, or ctx's when that was done.
func Dial(ctx context.Context, baseURL string, o Options) (*Conn, error) {
	d, err := newDialer(baseURL, o)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if d.wantsInfo() {
		err = d.receiveInfo(ctx)
	}
	var c *Conn
	if err == nil {
		c, err = d.connect(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("client: dial: %w", ctx.Err())
	}
	return c, err
}

// A dialer opens one session. /info changes its base, names and timeout.
type dialer struct {
	o       Options
	base    *url.URL // http or https
	server  string   // the part of the URL before the session id
	names   []string // of the transports to try
	timeout time.Duration
}

func newDialer(baseURL string, o Options) (*dialer, error) {
	d := &dialer{o: o.withDefaults(), server: fmt.Sprintf("%03d", mathrand.IntN(1000))}
	d.timeout = max(d.o.OpenTimeout, openTimeout)
	d.names = d.o.Transports
	if d.o.SkipInfo {
		d.names = d.names[:1]
	}
	for _, name := range d.names {
		if transports[name] == nil {
			return nil, fmt.Errorf("no transport %q", name)
		}
	}
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, err
	}
	return d, d.setBase(base)
}

// setBase takes a base URL, and moves the user name and password in it to
// where WebSocket has them, too.
func (d *dialer) setBase(base *url.URL) error {
	switch base.Scheme {
	case "ws":
		base.Scheme = "http"
	case "wss":
		base.Scheme = "https"
	case "http", "https":
	default:
		return fmt.Errorf("scheme %q of the URL is not http or https", base.Scheme)
	}
	if base.Host == "" || base.Fragment != "" {
		return errors.New("URL has no host or has a fragment")
	}
	if base.User != nil {
		password, _ := base.User.Password()
		(&http.Request{Header: d.o.Header}).SetBasicAuth(base.User.Username(), password)
		base.User = nil
	}
	d.base = base
	return nil
}

func (d *dialer) wantsInfo() bool {
	return !d.o.SkipInfo && (len(d.names) > 1 || d.names[0] != "raw-websocket")
}

// sessionURL is the URL of a new session. Its id is a secret that nobody can
// guess (sockjs-protocol, SessionURLs).
func (d *dialer) sessionURL() *url.URL {
	return d.base.JoinPath(d.server, rand.Text())
}

// connect tries the transports in turn.
func (d *dialer) connect(ctx context.Context) (*Conn, error) {
	var failed []error
	for _, name := range d.names {
		c, err := d.try(ctx, name)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil || c.refused(err) {
			return nil, err
		}
		failed = append(failed, fmt.Errorf("%s: %w", name, err))
	}
	return nil, &CloseError{Code: codeAllFailed, Reason: "All transports failed", Err: errors.Join(failed...)}
}

// try opens a session with one transport. With an error it returns the session
// that did not open, which is nil where not even the transport did.
func (d *dialer) try(ctx context.Context, name string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	t, err := transports[name](ctx, d)
	if err != nil {
		return nil, err
	}
	c := newConn(name, t, &d.o)
	return c, c.open(ctx)
}
