package handler

import (
	"context"

	"switchback/session"
)

// Broadcast sends every message to all sessions on a topic, its own included.
type Broadcast struct {
	Hub   *Hub
	Topic string
}

func (b Broadcast) OnOpen(s session.Session) error {
	return b.Hub.Subscribe(context.Background(), b.Topic, ForSession(s))
}

func (b Broadcast) OnMessage(s session.Session, text []byte) error {
	return b.Hub.Publish(s.Context(), b.Topic, text)
}

func (b Broadcast) OnClose(s session.Session, _ error) {
	b.Hub.Unsubscribe(context.Background(), b.Topic, ForSession(s))
}
