package handler_test

import (
	"context"
	"log"

	"switchback/handler"
	"switchback/session"
)

// A chat: what one says, all in the room hear.
type chat struct{ hub *handler.Hub }

func (c chat) OnOpen(s session.Session) error {
	return c.hub.Subscribe(context.Background(), "room", handler.ForSession(s))
}

func (c chat) OnMessage(s session.Session, text []byte) error {
	said := append([]byte(s.ID()+": "), text...)
	return c.hub.Publish(context.Background(), "room", said)
}

func (c chat) OnClose(s session.Session, _ error) {
	c.hub.Unsubscribe(context.Background(), "room", handler.ForSession(s))
}

func ExampleHub() {
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		log.Fatal(err)
	}
	opener := session.Shared(chat{hub})
	_ = opener // for transport.NewEndpoint
}
