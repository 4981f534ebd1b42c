package client

import (
	"context"
	"net/http"
)

func openXHRStreaming(_ context.Context, d *dialer) (transport, error) {
	return openXHR(d, "xhr_streaming")
}

func openXHRPolling(_ context.Context, d *dialer) (transport, error) {
	return openXHR(d, "xhr")
}

func openXHR(d *dialer, path string) (transport, error) {
	return openHTTP(d, http.MethodPost, path, &xhrReader{lineReader{limit: d.o.FrameLimit}}), nil
}

// An xhrReader reads frames that are lines. The prelude of a stream, which
// older browsers need, is a line as well.
type xhrReader struct{ lineReader }

func (x *xhrReader) start(res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return statusError(res.StatusCode)
	}
	x.reset(res.Body)
	return nil
}

func (x *xhrReader) next() ([]byte, error) {
	for {
		if p, err := x.line(); err != nil || len(p) > 0 {
			return p, err
		}
	}
}
