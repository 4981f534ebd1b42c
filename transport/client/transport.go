package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// A transport carries one session. next is called by one goroutine at a time,
// the rest by any.
type transport interface {
	// next waits for what the server sends next. The bytes are valid, and may
	// be changed, until the next call. An error is a *CloseError and final.
	next() (kind, []byte, error)

	// send sends one text and keeps nothing of it. Its errors are
	// *CloseErrors.
	send(text []byte) error

	// close tells the server that the session is over. next returns an error
	// soon afterwards.
	close(code int, reason string)

	// abort gives up the connections. next returns an error at once.
	abort()
}

// A kind tells what next has brought.
type kind int

const (
	frameKind  kind = iota // a SockJS frame
	textKind               // a native WebSocket message
	binaryKind             // another one
)

// transports are the functions that open one, by its name. They return when ctx
// is done; what they return lives on.
var transports = map[string]func(ctx context.Context, d *dialer) (transport, error){
	"websocket":     openWebSocket,
	"raw-websocket": openRawWebSocket,
	"xhr-streaming": openXHRStreaming,
	"xhr-polling":   openXHRPolling,
	"eventsource":   openEventSource,
}

// request returns a request with the headers of the session. body may be nil;
// it must not be changed any more, because net/http can still read it after
// the answer has come.
func (o *Options) request(ctx context.Context, method, url string, body []byte) (*http.Request, error) {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return nil, err
	}
	req.Header = o.Header.Clone() // a Jar adds to it
	if host := o.Header.Get("Host"); host != "" {
		req.Host = host
	}
	return req, nil
}

// do makes a request. Its errors do not tell the URL, in which the session id
// is a secret.
func (o *Options) do(req *http.Request) (*http.Response, error) {
	res, err := o.HTTPClient.Do(req)
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return res, err
}

// A statusError is an HTTP status that ends what was asked for.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }
