package chat

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/session"
)

// What clients are sent. The order of the fields is that of the documentation.
type (
	welcome struct {
		Type  string      `json:"type"`
		User  string      `json:"user,omitempty"` // not of rooms
		Rooms []roomCount `json:"rooms"`
		More  bool        `json:"more,omitempty"`
	}
	roomCount struct {
		Room   string `json:"room"`
		Unread int    `json:"unread"`
	}
	joined struct {
		Type     string    `json:"type"`
		Room     string    `json:"room"`
		Offset   string    `json:"offset"`
		Members  []string  `json:"members"`
		More     bool      `json:"more,omitempty"`
		Gap      bool      `json:"gap,omitempty"`
		Messages []message `json:"messages"`
	}
	message struct {
		Type   string `json:"type"`
		Room   string `json:"room"`
		Offset string `json:"offset"`
		At     string `json:"at"`
		User   string `json:"user"`
		ID     string `json:"id,omitempty"`
		Text   string `json:"text"`
		Gap    bool   `json:"gap,omitempty"`
	}
	ack struct {
		Type   string `json:"type"`
		ID     string `json:"id"`
		Room   string `json:"room"`
		Offset string `json:"offset"`
	}
	past struct {
		Type     string    `json:"type"`
		Room     string    `json:"room"`
		Messages []message `json:"messages"`
		More     bool      `json:"more,omitempty"`
	}
	online struct {
		Type   string `json:"type"`
		Room   string `json:"room"`
		User   string `json:"user"`
		Online bool   `json:"online"`
	}
	unread struct {
		Type  string `json:"type"`
		Room  string `json:"room"`
		Count int    `json:"count"`
	}
	typing struct {
		Type string `json:"type"`
		Room string `json:"room"`
		User string `json:"user"`
	}
	members struct {
		Type    string   `json:"type"`
		Room    string   `json:"room"`
		Members []string `json:"members"`
		More    bool     `json:"more,omitempty"`
		Named   []string `json:"named,omitempty"`
	}
	about struct { // left, created
		Type string `json:"type"`
		Room string `json:"room"`
	}
	failure struct {
		Type string `json:"type"`
		Code Code   `json:"code"`
		Text string `json:"text"`
		ID   string `json:"id,omitempty"`
	}
)

// encode is a reply as JSON. Texts are as they are: < stays <.
func encode(reply any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(reply); err != nil {
		panic(err) // of the types above there is none
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// stored is the ID with which a client's message is kept: unique in its room though
// another user has the same.
func stored(id, user string) string { return id + " " + user }

// said is a publication as a message. The id is of who sent it by a Chat.
func (c *Chat) said(room string, p *handler.Publication) message {
	id, of, ok := strings.Cut(p.ID, " ")
	if !ok || of != p.User {
		id = ""
	}
	return message{
		Type: "message", Room: room, Offset: history.Position{Epoch: p.Epoch, Offset: p.Offset}.String(),
		At: p.At.UTC().Format(time.RFC3339Nano), User: p.User, ID: id, Text: string(p.Text),
	}
}

// messages are entries as messages.
func (c *Chat) messages(room string, epoch uint64, entries []history.Entry) []message {
	all := make([]message, len(entries))
	for i := range entries {
		all[i] = c.said(room, entries[i].Publication(epoch))
	}
	return all
}

// A prepared is what a publication is to all sessions of this node, encoded once. It is the
// publication's Payload from the first of them on.
type prepared struct {
	of   *handler.Publication
	sent *session.Prepared
}

func (p *prepared) Append(dst []byte) []byte { return append(dst, p.of.Text...) }
func (p *prepared) Size() int                { return len(p.of.Text) }

// prepare returns what sessions are sent for a publication, by encode the first time.
func prepare(p *handler.Publication, encode func() []byte) *session.Prepared {
	if known, ok := p.Payload.(*prepared); ok {
		return known.sent
	}
	known := &prepared{p, session.Prepare(encode())}
	p.Payload = known
	return known.sent
}
