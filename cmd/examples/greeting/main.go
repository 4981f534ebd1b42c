// Greeting answers {"name": ...}, sent to /app/hello, with a greeting on
// /topic/greetings, one second later. STOMP comes over native WebSocket and
// over SockJS, at the same URL.
package main

import (
	"context"
	"flag"
	"fmt"
	"html"
	"log"
	"net"
	"net/http"
	"time"

	"switchback/handler/stomp"
	"switchback/transport"
)

type hello struct {
	Name string `json:"name"`
}

type greeting struct {
	Content string `json:"content"`
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8081", "address to listen on")
	flag.Parse()
	broker, err := stomp.New(stomp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	broker.Handle("/hello", stomp.Func(greet), stomp.Reply{To: []string{"/topic/greetings"}})
	ws, err := transport.NewEndpoint("/ws", broker, transport.Options{RawWebSocket: true})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	ws.Register(mux)
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("greeting: http://%s/ws\n", listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}

// greet takes a second, in which only the client that asked waits.
func greet(ctx context.Context, _ *stomp.Request, h hello) (*greeting, error) {
	select {
	case <-time.After(time.Second):
		return &greeting{"Hello, " + html.EscapeString(h.Name) + "!"}, nil
	case <-ctx.Done():
		return nil, nil
	}
}
