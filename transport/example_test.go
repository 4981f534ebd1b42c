package transport_test

import (
	"log"
	"net/http"
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
// too. It serves whatever the http.Server does.
func ExampleEndpoint_Serve() {
	echo, err := transport.NewEndpoint("/echo", session.Shared(handler.Echo{}), transport.Options{})
	if err != nil {
		log.Fatal(err)
	}
	l, err := transport.Listen("127.0.0.1:8081")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(echo.Serve(&http.Server{Handler: echo, ReadHeaderTimeout: 10 * time.Second}, l))
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
