package auth_test

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"switchback/handler"
	"switchback/session"
	"switchback/session/auth"
	"switchback/transport"
)

// An echo for those who have a token: a program sends it as Authorization, a page, which
// cannot, exchanges it for a ticket and puts that into the URL of its SockJS object.
func ExampleOpener() {
	keys, err := auth.ReadSecret("secret") // or ReadKeys, or FetchKeys
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := auth.NewVerifier(keys, auth.Options{})
	if err != nil {
		log.Fatal(err)
	}
	tickets, err := auth.NewTickets(auth.TicketOptions{})
	if err != nil {
		log.Fatal(err)
	}
	opener := auth.Opener(session.Shared(handler.Echo{}), auth.Access{Verifier: verifier, Tickets: tickets})
	echo, err := transport.NewEndpoint("/echo", opener, transport.Options{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	echo.Register(mux)
	mux.HandleFunc("POST /ticket", func(w http.ResponseWriter, r *http.Request) {
		who, err := verifier.Verify(r.Header.Get("Authorization"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		ticket, _, err := tickets.Issue(who)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, ticket) // for new SockJS("/echo?ticket=" + ticket)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:8081", mux))
}

func ExampleVerifier() {
	dir, err := os.MkdirTemp("", "auth")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(strings.Repeat("s", auth.SecretLimit)), 0o600); err != nil {
		log.Fatal(err)
	}
	signer, err := auth.ReadSecretSigner(file)
	if err != nil {
		log.Fatal(err)
	}
	token, err := signer.Sign(map[string]any{"sub": "kim", "roles": []string{"admin"}, "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		log.Fatal(err)
	}

	keys, err := auth.ReadSecret(file)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := auth.NewVerifier(keys, auth.Options{})
	if err != nil {
		log.Fatal(err)
	}
	who, err := verifier.Verify(token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(who.User, who.Claims["roles"])
	_, err = verifier.Verify(token[:len(token)-1])
	fmt.Println(err)
	// Output:
	// kim [admin]
	// session: refused: 401 Token is no JWT
}
