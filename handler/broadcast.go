package handler

import (
	"context"

	"switchback/session"
)

// Broadcast sends every message to all sessions on a topic, its own included. Those of this
// node get one that the engine does not take, too: its sender could not be told, but by the
// end of its session.
type Broadcast struct {
	Hub   *Hub
	Topic string
}

func (b Broadcast) OnOpen(s session.Session) error {
	return b.Hub.Subscribe(context.Background(), b.Topic, ForSession(s))
}

func (b Broadcast) OnMessage(s session.Session, text []byte) error {
	p := &Publication{Text: text}
	room, err := b.Hub.Reserve(s.Context(), p)
	if err != nil {
		return err
	}
	defer room.Release()
	b.Hub.Deliver(s.Context(), p, b.Topic) // the engine counts what it does not take
	return nil
}

func (b Broadcast) OnClose(s session.Session, _ error) {
	b.Hub.Unsubscribe(context.Background(), b.Topic, ForSession(s))
}
