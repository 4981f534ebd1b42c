package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	infoTimeout = 8 * time.Second // sockjs-client, InfoReceiver.timeout
	infoLimit   = 64 << 10
	roundTrips  = 2 // that a transport needs to open, whichever it is (sockjs-client)
)

// info is what /info tells and a client needs.
type info struct {
	WebSocket *bool  `json:"websocket"`
	BaseURL   string `json:"base_url"`
}

// receiveInfo asks /info, and sets what follows from the answer.
func (d *dialer) receiveInfo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	start := time.Now()
	answer, err := d.fetchInfo(ctx)
	if err != nil {
		return err
	}
	d.timeout = max(d.o.OpenTimeout, roundTrips*retransmission(time.Since(start)))
	if answer.WebSocket != nil && !*answer.WebSocket {
		d.names = slices.DeleteFunc(slices.Clone(d.names), func(name string) bool { return name == "websocket" })
	}
	if answer.BaseURL == "" {
		return nil
	}
	if err := d.moveTo(answer.BaseURL); err != nil {
		return noServer(codeNoServer, fmt.Errorf("base_url: %w", err))
	}
	return nil
}

// fetchInfo returns the answer of /info. One that is not a JSON object, with
// status 200, tells nothing and is no error (sockjs-client, InfoAjax).
func (d *dialer) fetchInfo(ctx context.Context) (info, error) {
	req, err := d.o.request(ctx, http.MethodGet, d.base.JoinPath("info").String(), nil)
	if err != nil {
		return info{}, noServer(codeNoServer, err)
	}
	res, err := d.o.do(req)
	if err != nil {
		return info{}, noServer(codeNoServer, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return info{}, noServer(res.StatusCode, statusError(res.StatusCode))
	}
	p, err := io.ReadAll(io.LimitReader(res.Body, infoLimit))
	if err != nil {
		return info{}, noServer(codeNoServer, err)
	}
	var answer info
	if json.Unmarshal(p, &answer) != nil {
		return info{}, nil
	}
	return answer, nil
}

// moveTo makes baseURL, which may be relative, the one that transports use.
func (d *dialer) moveTo(baseURL string) error {
	base, err := d.base.Parse(baseURL)
	if err != nil {
		return err
	}
	if secure(d.base) && !secure(base) {
		return errors.New("leads from https to http")
	}
	return d.setBase(base)
}

func secure(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == "wss" }

func noServer(code int, err error) *CloseError {
	return &CloseError{Code: code, Reason: "Cannot connect to server", Err: fmt.Errorf("info: %w", err)}
}

// retransmission is the time after which an answer counts as lost, by a
// round-trip time (sockjs-client, countRTO).
func retransmission(rtt time.Duration) time.Duration {
	if rtt > 100*time.Millisecond {
		return 4 * rtt
	}
	return 300*time.Millisecond + rtt
}
