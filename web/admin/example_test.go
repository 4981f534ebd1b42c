package admin_test

import (
	"log"
	"os"

	"switchback/handler/stomp"
	"switchback/transport"
	"switchback/web/admin"
)

// A program with a broker of its own has an admin listener beside its endpoint.
func ExampleNew() {
	broker, err := stomp.New(stomp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	endpoint, err := transport.NewEndpoint("/ws", broker, transport.Options{})
	if err != nil {
		log.Fatal(err)
	}
	s, err := admin.New(admin.Options{
		Token:     os.Getenv("ADMIN_TOKEN"),
		Broker:    broker,
		Endpoints: map[string]*transport.Endpoint{"/ws": endpoint},
	})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := s.Listen("127.0.0.1:8082")
	if err != nil {
		log.Fatal(err)
	}
	go s.Serve(listener) // ends with s.Shutdown
	// Serve the endpoint. At the end: s.Drain, the endpoint's Shutdown, s.Shutdown.
}
