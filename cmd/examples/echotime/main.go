// Echotime answers what a page sends to /api/echo on /topic/messages, with the
// time of day. The page may use sockjs-client and any STOMP library on it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"switchback/handler/stomp"
	"switchback/transport"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8081", "address to listen on")
	flag.Parse()
	broker, err := stomp.New(stomp.Options{Apps: []string{"/api"}})
	if err != nil {
		log.Fatal(err)
	}
	broker.Handle("/echo", stomp.Func(echo), stomp.Reply{To: []string{"/topic/messages"}})
	ws, err := transport.NewEndpoint("/ws", broker, transport.Options{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	ws.Register(mux)
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("echotime: http://%s/ws\n", listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}

func echo(_ context.Context, _ *stomp.Request, text string) (string, error) {
	return fmt.Sprintf("%s (%s)", text, time.Now().Format("15:04:05")), nil
}
