package transport_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"switchback/handler"
	"switchback/session"
	"switchback/transport"
)

// A server that echoes, at http://127.0.0.1:8081/echo.
func ExampleNewEndpoint() {
	echo, err := transport.NewEndpoint("/echo", session.Shared(handler.Echo{}), transport.Options{})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:8081", echo))
}

// A server whose connections cost least: they wait parked for their first request,
// too. It serves whatever the http.Server does, until it is interrupted.
func ExampleServer() {
	echo, err := transport.NewEndpoint("/echo", session.Shared(handler.Echo{}), transport.Options{})
	if err != nil {
		log.Fatal(err)
	}
	l, err := transport.Listen("127.0.0.1:8081")
	if err != nil {
		log.Fatal(err)
	}
	server := transport.NewServer(&http.Server{Handler: echo, ReadHeaderTimeout: 10 * time.Second}, echo)
	go server.Serve(l)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	<-interrupted
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

// An endpoint beside other handlers, for pages of two origins, and only for
// those who are logged in.
func ExampleNewEndpoint_options() {
	opener := session.OpenerFunc(func(r *http.Request) (session.Handler, error) {
		if _, err := r.Cookie("login"); err != nil {
			return nil, &session.RefusedError{Status: http.StatusUnauthorized, Reason: "Log in first"}
		}
		return handler.Echo{}, nil
	})
	echo, err := transport.NewEndpoint("/echo", opener, transport.Options{
		AllowedOrigins: []string{"https://example.com", "https://*.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	echo.Register(mux)
	mux.Handle("/", http.FileServer(http.Dir("public")))
	log.Fatal(http.ListenAndServe("127.0.0.1:8081", mux))
}
