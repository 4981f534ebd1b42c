// Package client speaks to the admin listener of a server: see package admin. Its
// [Client] is a stomp.Messenger, by which a service in Go publishes from elsewhere as a
// program does that has the broker itself.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"switchback/handler/stomp"
)

// A Client speaks to one server. Its methods may be called from any goroutine. Their
// errors are an *Error where the server has answered, and otherwise the http.Client's.
type Client struct {
	url   string
	token string
	http  *http.Client
}

var _ stomp.Messenger = (*Client)(nil)

// New returns a client of the server whose admin listener is at url, such as
// http://127.0.0.1:8082. A nil h is http.DefaultClient.
func New(url, token string, h *http.Client) *Client {
	if h == nil {
		h = http.DefaultClient
	}
	return &Client{strings.TrimSuffix(url, "/"), token, h}
}

// Send sends a message to a destination, see stomp.Messenger: to that of a broadcast, too.
// Payloads are encoded here. An empty body goes as text.
func (c *Client) Send(ctx context.Context, destination string, payload any) error {
	p, err := publication(destination, payload)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, "/api/publish", p, new(Published))
}

// SendToUser sends a message to the sessions of a user, see stomp.Messenger.
func (c *Client) SendToUser(ctx context.Context, user, destination string, payload any) error {
	p, err := publication(destination, payload)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, "/api/publish-user", UserPublication{user, p}, new(Published))
}

// publication is a message as the server takes it. Of headers with the same name the
// first is the one that counts (STOMP 1.2, Repeated Header Entries).
func publication(destination string, payload any) (Publication, error) {
	p := Publication{Destination: destination}
	switch m := payload.(type) {
	case stomp.Message:
		p.Headers, payload = headers(m.Headers), m.Payload
	case *stomp.Message:
		if payload = nil; m != nil {
			p.Headers, payload = headers(m.Headers), m.Payload
		}
	}
	contentType, body, err := stomp.EncodeBody(payload)
	switch contentType {
	case stomp.TypeJSON:
		p.Payload = body
	case stomp.TypeOctets:
		p.Base64 = &body
	default:
		text := string(body)
		p.Text = &text
	}
	return p, err
}

func headers(list stomp.Headers) map[string]string {
	all := make(map[string]string, len(list))
	for _, h := range list {
		if _, again := all[h.Name]; !again {
			all[h.Name] = h.Value
		}
	}
	return all
}

// A Filter chooses sessions: those that all fields fit, where they are not empty.
type Filter struct{ Endpoint, User, Transport string }

// Sessions returns a page of at most limit sessions whose IDs come after one; 0 is the
// server's default.
func (c *Client) Sessions(ctx context.Context, of Filter, limit int, after string) (Sessions, error) {
	query := url.Values{"endpoint": {of.Endpoint}, "user": {of.User}, "transport": {of.Transport}, "after": {after}}
	var page Sessions
	err := c.do(ctx, http.MethodGet, "/api/sessions?"+pageQuery(limit, query), nil, &page)
	return page, err
}

// Disconnect closes sessions, and returns how many.
func (c *Client) Disconnect(ctx context.Context, d Disconnection) (closed int, err error) {
	var answer Disconnected
	err = c.do(ctx, http.MethodPost, "/api/disconnect", d, &answer)
	return answer.Closed, err
}

// Cluster returns what the server knows of its cluster.
func (c *Client) Cluster(ctx context.Context) (Cluster, error) {
	var answer Cluster
	err := c.do(ctx, http.MethodGet, "/api/cluster", nil, &answer)
	return answer, err
}

// KeptTopics returns a page of at most limit topics that are kept, after one; 0 is the
// server's default.
func (c *Client) KeptTopics(ctx context.Context, limit int, after string) (KeptTopics, error) {
	var page KeptTopics
	err := c.do(ctx, http.MethodGet, "/api/history/topics?"+pageQuery(limit, url.Values{"after": {after}}), nil, &page)
	return page, err
}

// Range is which entries of a topic History returns: those after an offset, those before
// one, or, with neither, the newest. After "0" is from the beginning.
type Range struct{ After, Before string }

// History returns at most limit entries of a topic; 0 is the server's default. There may be
// fewer, where they are large: the page after the last goes on.
func (c *Client) History(ctx context.Context, topic string, of Range, limit int) (History, error) {
	var page History
	err := c.do(ctx, http.MethodGet, "/api/history?"+pageQuery(limit, url.Values{"topic": {topic}, "after": {of.After}, "before": {of.Before}}), nil, &page)
	return page, err
}

// Trim removes the oldest entries of a topic, and returns what is left.
func (c *Client) Trim(ctx context.Context, t Trim) (KeptTopic, error) {
	var left KeptTopic
	err := c.do(ctx, http.MethodPost, "/api/history/trim", t, &left)
	return left, err
}

// pageQuery is the query for a page: what is empty is left out.
func pageQuery(limit int, values url.Values) string {
	for name, v := range values {
		if v[0] == "" {
			delete(values, name)
		}
	}
	if limit != 0 {
		values.Set("limit", strconv.Itoa(limit))
	}
	return values.Encode()
}

// answerLimit is how much of an answer is read: more than the server's largest.
const answerLimit = 8 << 20

// do makes one request.
func (c *Client) do(ctx context.Context, method, path string, body, answer any) error {
	var encoded bytes.Buffer
	if body != nil {
		e := json.NewEncoder(&encoded)
		e.SetEscapeHTML(false) // a payload's bytes stay as they are
		if err := e.Encode(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, &encoded)
	if err != nil {
		return err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusOK {
		return json.Unmarshal(text, answer)
	}
	var failure Failure
	if json.Unmarshal(text, &failure) != nil || failure.Error == nil {
		return &Error{Status: response.StatusCode, Message: fmt.Sprintf("%s answers %s, and not as an admin listener does.", c.url, response.Status)}
	}
	failure.Error.Status = response.StatusCode
	return failure.Error
}
