package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/igm/sockjs-go/v3/sockjs"

	"switchback/transport/client"
)

// greet answers one message and says goodbye.
func greet(s sockjs.Session) {
	name, _ := s.Recv()
	s.Send("hello, " + name)
	s.Close(3000, "that was all")
}

func ExampleDial() {
	server := httptest.NewServer(sockjs.NewHandler("/greet", sockjs.DefaultOptions, greet))
	defer server.Close()

	ctx := context.Background()
	c, err := client.Dial(ctx, server.URL+"/greet", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Send([]byte("gopher")); err != nil {
		log.Fatal(err)
	}
	for {
		text, err := c.Recv(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", text)
	}
	// Output:
	// hello, gopher
	// client: closed: 3000 that was all
}
