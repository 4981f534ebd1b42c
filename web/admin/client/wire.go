package client

import (
	"encoding/json"
	"errors"
	"time"

	"switchback/handler/stomp"
)

// A Publication is the body of POST /api/publish, or an item of its batch. It has exactly
// one of Payload, Text and Base64.
type Publication struct {
	Destination string            `json:"destination"`
	Payload     json.RawMessage   `json:"payload,omitempty"` // goes as application/json, with its bytes as they are
	Text        *string           `json:"text,omitempty"`    // goes as text/plain
	Base64      *[]byte           `json:"base64,omitempty"`  // goes as application/octet-stream
	Headers     map[string]string `json:"headers,omitempty"` // of STOMP
	ID          string            `json:"id,omitempty"`      // of STOMP the message-id
}

// A UserPublication is the body of POST /api/publish-user.
type UserPublication struct {
	User string `json:"user"`
	Publication
}

// Published is the answer to both.
type Published struct {
	Published int `json:"published"`
}

// A Session is one of GET /api/sessions.
type Session struct {
	ID        string     `json:"id"` // the server's name for it, not that of its URL
	Endpoint  string     `json:"endpoint"`
	Transport string     `json:"transport"`
	Address   string     `json:"address"`
	User      string     `json:"user,omitempty"`
	Opened    *time.Time `json:"opened,omitempty"`
	Queued    int        `json:"queued"` // bytes that the client has yet to take
}

// Sessions is a page of sessions, by ID.
type Sessions struct {
	Sessions []Session `json:"sessions"`
	Next     string    `json:"next,omitempty"` // after, for the next page; empty: this is the last
	Node     string    `json:"node,omitempty"` // whose they are, of a cluster
}

// A Topic is one of GET /api/topics.
type Topic struct {
	Destination   string `json:"destination"`   // as clients name it; a pattern may be one
	Subscriptions int    `json:"subscriptions"` // on the node that was asked
}

// Topics is a page of topics, by destination.
type Topics struct {
	Topics []Topic `json:"topics"`
	Next   string  `json:"next,omitempty"`
	Node   string  `json:"node,omitempty"` // whose they are, of a cluster
}

// A Disconnection is the body of POST /api/disconnect. It has exactly one of Session and
// User.
type Disconnection struct {
	Session string `json:"session,omitempty"`
	User    string `json:"user,omitempty"`
	Code    int    `json:"code,omitempty"`   // the default is 3000
	Reason  string `json:"reason,omitempty"` // the default is that of 3000, "Go away!"
}

// Disconnected is the answer to it.
type Disconnected struct {
	Closed int    `json:"closed"`         // sessions
	Node   string `json:"node,omitempty"` // of a cluster: Closed is of this one, and the others are told
}

// A TicketRequest is the body of POST /api/tickets. It has exactly one of Token, that of
// the user, and User, for whom the caller vouches.
type TicketRequest struct {
	Token  string         `json:"token,omitempty"`
	User   string         `json:"user,omitempty"`
	Claims map[string]any `json:"claims,omitempty"` // with User; "roles" are those that rules know
}

// A Ticket is the answer to it: what a page puts into the URL of its SockJS object.
type Ticket struct {
	Ticket  string    `json:"ticket"`
	Query   string    `json:"query"`   // with its name, as it stands in the URL
	Expires time.Time `json:"expires"` // by when the session has to be opened
}

// A KeptTopic is what is kept of a topic. An offset is EPOCH/NUMBER, as messages have it.
type KeptTopic struct {
	Topic string `json:"topic"`
	First string `json:"first"` // offset of the oldest entry, or of the next one where none is kept
	Last  string `json:"last"`  // offset of the newest there has been
	Count int64  `json:"count"`
	Bytes int64  `json:"bytes"`
}

// KeptTopics is a page of GET /api/history/topics, by topic.
type KeptTopics struct {
	Topics []KeptTopic `json:"topics"`
	Next   string      `json:"next,omitempty"`
}

// An Entry is one message as it is kept: of STOMP a MESSAGE frame. It has exactly one of
// Text and Base64.
type Entry struct {
	Offset string    `json:"offset"`
	At     time.Time `json:"at"`
	ID     string    `json:"id,omitempty"`
	User   string    `json:"user,omitempty"`
	Text   *string   `json:"text,omitempty"`
	Base64 *[]byte   `json:"base64,omitempty"` // of what is not UTF-8
}

// History is a page of GET /api/history, in order of offsets.
type History struct {
	KeptTopic
	Entries []Entry `json:"entries"`
}

// A Trim is the body of POST /api/history/trim, which removes the oldest entries of a topic:
// those over Count, before Age, or over Bytes. What is not given is no limit.
type Trim struct {
	Topic string `json:"topic"`
	Count int    `json:"count,omitempty"`
	Age   string `json:"age,omitempty"` // a duration as Go has it: 720h
	Bytes int64  `json:"bytes,omitempty"`
}

// A Cluster is the answer of GET /api/cluster: what the node that is asked knows.
type Cluster struct {
	Node      string    `json:"node"` // its number
	Name      string    `json:"name"`
	Connected bool      `json:"connected"` // to the server that carries publications
	Since     time.Time `json:"since"`
	Outbox    int64     `json:"outbox"` // publications that others have not confirmed
	Losses    int64     `json:"losses"` // times that publications may have been missed
	Nodes     []Node    `json:"nodes"`  // the others
}

// A Node is another node.
type Node struct {
	Node    string    `json:"node"`
	Name    string    `json:"name"`
	Heard   time.Time `json:"heard"`             // the last sign of it
	Missing bool      `json:"missing,omitempty"` // something may be missing, and is asked for
}

// A Failure is every answer that is no success. Published counts what a batch has
// published before.
type Failure struct {
	Error     *Error `json:"error"`
	Published int    `json:"published,omitempty"`
}

// An Error is why a request was refused. It is stomp.ErrDestination, stomp.ErrMemory or
// stomp.ErrQueueFull where that was the reason.
type Error struct {
	Status  int    `json:"-"` // of HTTP
	Code    string `json:"code"`
	Message string `json:"message"`         // a sentence
	Index   *int   `json:"index,omitempty"` // in a batch
}

// Codes of errors that stand for one of package stomp.
const (
	CodeDestination = "unknown_destination"
	CodeMemory      = "memory"
	CodeQueueFull   = "queue_full"
)

func (e *Error) Error() string { return e.Message }

// Is tells errors of package stomp.
func (e *Error) Is(target error) bool {
	of := map[string]error{CodeDestination: stomp.ErrDestination, CodeMemory: stomp.ErrMemory, CodeQueueFull: stomp.ErrQueueFull}[e.Code]
	return of != nil && errors.Is(of, target)
}
