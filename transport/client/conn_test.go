package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestRecvThatGaveUpLosesNothing(t *testing.T) {
	next := make(chan string)
	stream := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, prelude+"o\n")
		for {
			http.NewResponseController(w).Flush()
			select {
			case f := <-next:
				fmt.Fprint(w, f)
			case <-r.Context().Done():
				return
			}
		}
	}
	c := dial(t, serve(t, script{"xhr_streaming": stream}), only("xhr-streaming"))
	for i := range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			_, err := c.Recv(ctx)
			done <- err
		}()
		waitFor(t, func() bool { return goroutines("(*Conn).receive") == 1 })
		next <- `a["` // the half of a frame
		cancel()
		if err := <-done; err != context.Canceled {
			t.Fatalf("Recv: %v", err)
		}
		next <- fmt.Sprintf("%d\"]\n", i)
		wantMessage(t, c, fmt.Sprint(i))
	}
}

func TestRecvOfADoneContextTakesNothing(t *testing.T) {
	c := dial(t, serve(t, script{"xhr": answers("o\n", "a[\"1\",\"2\"]\n")}), only("xhr-polling"))
	wantMessage(t, c, "1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Recv(ctx); err != context.Canceled {
		t.Errorf("Recv: %v", err)
	}
	wantMessage(t, c, "2")
}

func TestMessageGoesToOneOfManyReceivers(t *testing.T) {
	const messages = 100
	array := "a[" + strings.Repeat(`"x",`, messages-1) + "\"x\"]\n"
	c := dial(t, serve(t, script{"xhr": answers("o\n", array, "c[3000,\"over\"]\n")}), only("xhr-polling"))
	var wg sync.WaitGroup
	got := make(chan string, 2*messages)
	for range 4 {
		wg.Go(func() {
			for {
				text, err := c.Recv(within(t))
				if err != nil {
					wantClose(t, err, 3000, "over")
					return
				}
				got <- string(text)
			}
		})
	}
	wg.Wait()
	if len(got) != messages {
		t.Errorf("%d messages; want %d", len(got), messages)
	}
}

func TestCloseEndsRecv(t *testing.T) {
	servers := map[string]func() script{"websocket": func() script {
		return webSocket(t, func(ws *websocket.Conn) {
			ws.WriteMessage(websocket.TextMessage, []byte("o"))
			readClose(ws)
		})
	}}
	for _, ca := range carriers {
		servers[ca.name] = func() script { return script{ca.path: ca.serve(ca.body("o"))} }
	}
	for name, newServer := range servers {
		for how, ctx := range map[string]context.Context{"for ever": context.Background(), "for a time": within(t)} {
			t.Run(name+" "+how, func(t *testing.T) {
				c := dial(t, serve(t, newServer()), only(name))
				done := make(chan error)
				go func() {
					_, err := c.Recv(ctx)
					done <- err
				}()
				waitFor(t, func() bool { return goroutines("(*Conn).fill") == 1 })
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				wantClose(t, <-done, 1000, "Normal closure")
				wantEnd(t, c, 1000, "Normal closure")
			})
		}
	}
}

func TestCloseAbortsTheReceivingRequest(t *testing.T) {
	aborted := make(chan struct{})
	c := dial(t, serve(t, script{"xhr_streaming": func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "o\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(aborted)
	}}), only("xhr-streaming"))
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-aborted
}

func TestCloseDropsWhatWasNotReceived(t *testing.T) {
	c := dial(t, serve(t, script{"xhr": answers("o\n", "a[\"1\",\"2\"]\n")}), only("xhr-polling"))
	wantMessage(t, c, "1")
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wantEnd(t, c, 1000, "Normal closure")
}

func TestCloseSendsWhatIsQueued(t *testing.T) {
	bodies := make(chan string, 10)
	started, release := make(chan struct{}), make(chan struct{})
	next := collect(bodies)
	c := dial(t, serve(t, opened(then(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-release
		next(w, r)
	}, next))), only("xhr-polling"))
	send(t, c, "1")
	<-started
	send(t, c, "2", "3")
	closed := make(chan error)
	go func() { closed <- c.Close() }()
	waitFor(t, func() bool { return goroutines("(*sender).flush") == 1 })
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if first, second := <-bodies, <-bodies; first != `["1"]` || second != `["2","3"]` {
		t.Errorf("requests %s and %s", first, second)
	}
}

func TestCloseDoesNotWaitForeverForARequest(t *testing.T) {
	o := only("xhr-polling")
	o.CloseTimeout = 50 * time.Millisecond
	c := dial(t, serve(t, opened(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})), o)
	send(t, c, "x")
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseTakesUsersCodesOnly(t *testing.T) {
	c := dial(t, serve(t, script{"xhr": answers("o\n")}), only("xhr-polling"))
	for _, code := range []int{0, 999, 1001, 1006, 2000, 2999, 5000} {
		if err := c.CloseWith(code, ""); err != ErrClose {
			t.Errorf("code %d: %v", code, err)
		}
	}
	if err := c.CloseWith(3000, strings.Repeat("x", 124)); err != ErrClose {
		t.Errorf("long reason: %v", err)
	}
	if err := c.CloseWith(4999, strings.Repeat("x", 123)); err != nil {
		t.Error(err)
	}
	wantEnd(t, c, 4999, strings.Repeat("x", 123))
}

func TestCloseErrorTellsItsCause(t *testing.T) {
	c := dial(t, serve(t, script{"xhr": then(answers("o\n"), status(http.StatusBadGateway))}), only("xhr-polling"))
	_, err := c.Recv(within(t))
	var code statusError
	if !errors.As(err, &code) || code != http.StatusBadGateway {
		t.Errorf("error %v", err)
	}
	if got := err.Error(); got != "client: closed: 1006 Connection lost: status 502" {
		t.Errorf("error %q", got)
	}
}
