package chat_test

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"

	"switchback/handler"
	"switchback/handler/chat"
	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/session"
	"switchback/session/sessiontest"
)

func Example() {
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	l, err := history.New(memory.New(memory.Options{}), hub, history.Options{Policies: []history.Policy{{Topics: "/chat/*", Unread: true}}})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	c, err := chat.New(chat.Options{Log: l, Path: "/chat"})
	if err != nil {
		log.Fatal(err)
	}

	// An endpoint does this when a client comes: transport.NewEndpoint("/chat", c, ...).
	h, err := c.Open(httptest.NewRequest("GET", "/chat", nil))
	if err != nil {
		log.Fatal(err)
	}
	s := sessiontest.New(session.Peer{Identity: &session.Identity{User: "kim"}})
	h.OnOpen(s)
	h.OnMessage(s, []byte(`{"type":"join","room":"lobby"}`))
	h.OnMessage(s, []byte(`{"type":"message","room":"lobby","id":"1","text":"Hello"}`))
	h.OnClose(s, s.Leave())

	for _, text := range s.Texts() {
		var said struct{ Type, User, Room, Text string }
		if err := json.Unmarshal([]byte(text), &said); err != nil {
			log.Fatal(err)
		}
		fmt.Println(said)
	}
	// Output:
	// {welcome kim  }
	// {joined  lobby }
	// {message kim lobby Hello}
	// {ack  lobby }
}
