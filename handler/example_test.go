package handler_test

import (
	"context"
	"fmt"
	"log"

	"switchback/handler"
	"switchback/session"
	"switchback/session/sessiontest"
)

// A chat: what one says, all in the room hear.
type chat struct{ hub *handler.Hub }

func (c chat) OnOpen(s session.Session) error {
	return c.hub.Subscribe(context.Background(), "room", handler.ForSession(s))
}

func (c chat) OnMessage(s session.Session, text []byte) error {
	return c.hub.Publish(s.Context(), "room", text)
}

func (c chat) OnClose(s session.Session, _ error) {
	c.hub.Unsubscribe(context.Background(), "room", handler.ForSession(s))
}

func ExampleHub() {
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	c := chat{hub} // session.Shared(c) is for transport.NewEndpoint

	kim, lee := sessiontest.New(session.Peer{}), sessiontest.New(session.Peer{})
	c.OnOpen(kim)
	c.OnOpen(lee)
	c.OnMessage(lee, []byte("Hello, I have to go"))
	c.OnClose(lee, lee.Leave())
	c.OnMessage(kim, []byte("Goodbye"))
	fmt.Printf("%q\n%q\n", kim.Texts(), lee.Texts())
	// Output:
	// ["Hello, I have to go" "Goodbye"]
	// ["Hello, I have to go"]
}
