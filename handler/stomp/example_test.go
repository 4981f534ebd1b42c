package stomp_test

import (
	"context"
	"errors"
	"html"
	"log"
	"net/http"
	"time"

	"switchback/handler/stomp"
	"switchback/handler/stomp/frame"
	"switchback/session"
	"switchback/transport"
)

// A server for front-ends that do
//
//	new SockJS("http://127.0.0.1:8081/ws")
//	new StompJs.Client({brokerURL: "ws://127.0.0.1:8081/ws"})
//
// Topics and queues need no code.
func ExampleNew() {
	broker, err := stomp.New(stomp.Options{Topics: []string{"/topic", "/alarm"}})
	if err != nil {
		log.Fatal(err)
	}
	endpoint, err := transport.NewEndpoint("/ws", broker, transport.Options{RawWebSocket: true})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	endpoint.Register(mux)
	mux.Handle("/", http.FileServer(http.Dir("public"))) // the page
	log.Fatal(http.ListenAndServe("127.0.0.1:8081", mux))
}

type hello struct {
	Name string `json:"name"`
}

type greeting struct {
	Content string `json:"content"`
}

// What is sent to /app/hello is answered, a second later, on /topic/greetings.
func ExampleBroker_Handle() {
	var broker *stomp.Broker // of New

	greet := func(ctx context.Context, r *stomp.Request, in hello) (greeting, error) {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done(): // the client has gone
			return greeting{}, ctx.Err()
		}
		return greeting{"Hello, " + html.EscapeString(in.Name) + "!"}, nil
	}
	broker.Handle("/hello", stomp.Func(greet), stomp.Reply{To: []string{"/topic/greetings"}})
}

// A chat room for each name: /app/chat/kitchen is told to all who have
// subscribed to /topic/chat/kitchen. Who asks for more than he may gets the error
// on his own /user/queue/errors.
func ExampleBroker_HandleError() {
	var broker *stomp.Broker // of New
	errEmpty := errors.New("say something")

	broker.Handle("/chat/{room}", func(_ context.Context, r *stomp.Request) (any, error) {
		if len(r.Body) == 0 {
			return nil, errEmpty
		}
		return r.Client.User() + " in " + r.Variable("room") + ": " + string(r.Body), nil
	}, stomp.Reply{To: []string{"/topic/chat/{room}"}})

	broker.HandleError(func(_ context.Context, r *stomp.Request, err error) (any, error) {
		if errors.Is(err, errEmpty) {
			return err.Error(), nil
		}
		return nil, err // is not ours to answer
	}, stomp.Reply{ToUser: []string{"/queue/errors"}, Session: true})
}

// A SUBSCRIBE to /app/members is answered with the users who are here.
func ExampleBroker_HandleSubscribe() {
	var broker *stomp.Broker // of New

	broker.HandleSubscribe("/members", func(context.Context, *stomp.Request) (any, error) {
		return broker.Users(), nil
	}, stomp.Reply{})
}

// What sends needs no more than a Messenger.
func ExampleMessenger() {
	tick := func(ctx context.Context, m stomp.Messenger) error {
		if err := m.Send(ctx, "/topic/time", time.Now().Format(time.TimeOnly)); err != nil {
			return err
		}
		return m.SendToUser(ctx, "bob", "/queue/alarm", map[string]any{"level": 3})
	}
	var broker *stomp.Broker // of New
	if err := tick(context.Background(), broker); err != nil {
		log.Print(err)
	}
}

// Users with passwords.
func ExamplePasswords() {
	broker, err := stomp.New(stomp.Options{
		Login: stomp.Passwords(map[string]string{"guest": "guest"}),
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = broker // for transport.NewEndpoint
}

// Users by a token in a header of CONNECT, and a topic that is for some of them
// only.
func ExampleLoginFunc() {
	type claims struct{ Admin bool }
	verify := func(token string) (user string, c claims, err error) { return } // your own

	broker, err := stomp.New(stomp.Options{
		Login: func(_ context.Context, c *stomp.Client, h stomp.Headers) error {
			user, claims, err := verify(h.Value("Authorization"))
			if err != nil {
				return &stomp.Error{Message: "Token is not valid", Err: err}
			}
			c.Identity, c.Value = &session.Identity{User: user}, claims
			return nil
		},
		Authorize: func(c *stomp.Client, command frame.Command, destination string) error {
			if destination == "/topic/admins" && !c.Value.(claims).Admin {
				return &stomp.Error{Message: "Access denied"}
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = broker // for transport.NewEndpoint
}
