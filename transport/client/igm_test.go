package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/igm/sockjs-go/v3/sockjs"
)

// igm returns an endpoint at /echo of another implementation. Its polls lose
// sessions under a client that polls again at once, so xhr-polling is tested
// against a server of ours.
func igm(webSocket bool, f func(sockjs.Session)) http.Handler {
	o := sockjs.DefaultOptions
	o.Websocket = webSocket
	o.RawWebsocket = true
	return sockjs.NewHandler("/echo", o, f)
}

func echo(s sockjs.Session) {
	for {
		text, err := s.Recv()
		if err != nil || s.Send(text) != nil {
			return
		}
	}
}

var igmTransports = []string{"websocket", "raw-websocket", "xhr-streaming", "eventsource"}

func TestEchoComesBackInOrder(t *testing.T) {
	base := serve(t, igm(true, echo)) + "/echo"
	for _, name := range igmTransports {
		t.Run(name, func(t *testing.T) {
			c := dial(t, base, only(name))
			if c.Transport() != name {
				t.Fatalf("transport %q", c.Transport())
			}
			echoInOrder(t, c, 200)
		})
	}
}

func echoInOrder(t *testing.T, c *Conn, n int) {
	t.Helper()
	for i := range n {
		if err := c.Send(fmt.Appendf(nil, "message %d \"%%25\" \u2028 é", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		wantMessage(t, c, fmt.Sprintf("message %d \"%%25\" \u2028 é", i))
	}
}

func TestLargeMessageComesBack(t *testing.T) {
	base := serve(t, igm(true, echo)) + "/echo"
	large := strings.Repeat("0123456789abcdé\n", 20_000)
	for _, name := range igmTransports {
		t.Run(name, func(t *testing.T) {
			c := dial(t, base, only(name))
			if err := c.Send([]byte(large)); err != nil {
				t.Fatal(err)
			}
			got, err := c.Recv(within(t))
			if err != nil || string(got) != large {
				t.Fatalf("%d bytes, %v; want %d", len(got), err, len(large))
			}
		})
	}
}

// The response limit ends a stream after 128 KiB; the session goes on in the
// next.
func TestSessionOutlivesItsStreams(t *testing.T) {
	base := serve(t, igm(true, echo)) + "/echo"
	text := strings.Repeat("x", 50<<10)
	for _, name := range []string{"xhr-streaming", "eventsource"} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, base, only(name))
			for range 10 {
				if err := c.Send([]byte(text)); err != nil {
					t.Fatal(err)
				}
				wantMessage(t, c, text)
			}
		})
	}
}

func TestServersCodeEndsTheSession(t *testing.T) {
	base := serve(t, igm(true, func(s sockjs.Session) {
		s.Send("last words")
		s.Close(3000, "Go away!")
	})) + "/echo"
	for _, name := range igmTransports {
		t.Run(name, func(t *testing.T) {
			c := dial(t, base, only(name))
			wantMessage(t, c, "last words")
			wantEnd(t, c, 3000, "Go away!")
			wantEnd(t, c, 3000, "Go away!")
			wantClose(t, c.Send([]byte("x")), 3000, "Go away!")
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWebSocketIsTheFirstChoice(t *testing.T) {
	base := serve(t, igm(true, echo)) + "/echo"
	c := dial(t, base, Options{OpenTimeout: 2 * time.Minute})
	if c.Transport() != "websocket" {
		t.Errorf("transport %q", c.Transport())
	}
	echoInOrder(t, c, 3)
}

func TestInfoTurnsWebSocketOff(t *testing.T) {
	endpoint := igm(false, echo)
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/websocket") {
			t.Errorf("request for %s", r.URL.Path)
		}
		endpoint.ServeHTTP(w, r)
	})) + "/echo/"
	c := dial(t, base, Options{OpenTimeout: 2 * time.Minute})
	if c.Transport() != "xhr-streaming" {
		t.Errorf("transport %q", c.Transport())
	}
	echoInOrder(t, c, 3)
}

func TestRefusedWebSocketFallsBackToStreaming(t *testing.T) {
	endpoint := igm(true, echo)
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			http.Error(w, "no upgrades here", http.StatusForbidden)
			return
		}
		endpoint.ServeHTTP(w, r)
	})) + "/echo"
	c := dial(t, base, Options{OpenTimeout: 2 * time.Minute})
	if c.Transport() != "xhr-streaming" {
		t.Errorf("transport %q", c.Transport())
	}
	echoInOrder(t, c, 3)
}

// A load generator holds many sessions: what is quiet has no goroutine here,
// and who receives without a deadline brings the only one.
func TestQuietSessionHasNoGoroutine(t *testing.T) {
	base := serve(t, igm(true, echo)) + "/echo"
	for _, name := range igmTransports {
		c := dial(t, base, only(name))
		echoInOrder(t, c, 3)
	}
	waitFor(t, func() bool { return goroutines("client.(*") == 0 })
	for range 3 {
		c := dial(t, base, only("websocket"))
		go c.Recv(context.Background())
	}
	waitFor(t, func() bool { return goroutines("client.(*socket).next") == 3 })
	if n := goroutines("client.(*"); n != 3 {
		t.Errorf("%d goroutines in 3 sessions that receive", n)
	}
}
