package session_test

import (
	"context"
	"log"
	"net/http"

	"switchback/session"
)

// A session that is served in a loop, on a goroutine of its own.
func ExampleBlocking() {
	opener := session.Blocking(func(c *session.Conn) error {
		for {
			text, err := c.Recv(context.Background())
			if err != nil {
				return err
			}
			if err := c.Send(text); err != nil {
				return err
			}
		}
	})
	serve(opener)
}

// A greeter has a state of its own for each session.
type greeter struct{ user string }

func (g *greeter) OnOpen(s session.Session) error { return s.Send([]byte("Hello, " + g.user)) }

func (g *greeter) OnMessage(s session.Session, text []byte) error {
	if string(text) == "bye" {
		return &session.CloseError{Code: 3000, Reason: "Goodbye, " + g.user}
	}
	return s.Send(text)
}

func (g *greeter) OnClose(_ session.Session, err error) { log.Printf("%s has left: %v", g.user, err) }

// A handler for each session, chosen by the request that opens it.
func ExampleOpenerFunc() {
	opener := session.OpenerFunc(func(r *http.Request) (session.Handler, error) {
		user := r.URL.Query().Get("user")
		if user == "" {
			return nil, &session.RefusedError{Status: http.StatusUnauthorized, Reason: "Who are you?"}
		}
		return &greeter{user: user}, nil
	})
	serve(opener)
}

// serve stands for transport.NewEndpoint.
func serve(session.Opener) {}
