package natsserver_test

import (
	"log"
	"os"

	"switchback/handler"
	"switchback/handler/engine"
	"switchback/handler/engine/natsserver"
)

// One of the nodes of a cluster, which finds the others by one of two.
func ExampleStart() {
	secret, err := os.ReadFile("cluster.secret") // the same on all
	if err != nil {
		log.Fatal(err)
	}
	server, err := natsserver.Start(natsserver.Options{
		Cluster: "chat",
		Secret:  secret,
		Listen:  "10.0.0.3:6222",
		Seeds:   []string{"10.0.0.1:6222", "10.0.0.2:6222"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	hub, err := handler.NewHub(engine.New(server.Wire(), engine.Options{}))
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	// hub is for handler.Broadcast, stomp.Options and handlers of your own.
}
