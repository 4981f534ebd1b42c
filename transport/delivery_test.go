package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
	"switchback/session/frame"
	"switchback/session/memory"
	"switchback/transport/client"
)

// A poll that follows at once finds the one before it detached.
func TestSequentialClosesAreNeverRefused(t *testing.T) {
	overWires(t, func(t *testing.T, w wire) {
		s := w.serve(t, session.Shared(handler.Close{}), Options{})
		for i := range rounds(300) {
			id := newID()
			for _, want := range []string{"o\n", `c[3000,"Go away!"]` + "\n", `c[3000,"Go away!"]` + "\n"} {
				if got := s.poll(t, id); got != want {
					t.Fatalf("session %d: got %q, want %q", i, got, want)
				}
			}
		}
	})
}

func TestStreamsRotateWithoutLoss(t *testing.T) {
	overWires(t, func(t *testing.T, w wire) {
		s := w.serve(t, session.Shared(handler.Echo{}), Options{ResponseLimit: 64})
		id := newID()
		next := 0
		for rotation := 0; rotation < rounds(200); rotation++ {
			res, err := s.client.Post(s.url+"/000/"+id+"/xhr_streaming", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(res.Body); lines.Scan(); {
				switch line := lines.Text(); {
				case line == "o" && rotation == 0, strings.HasPrefix(line, "hh"):
				case line == fmt.Sprintf(`a["%040d"]`, next):
					next++
				default:
					t.Fatalf("rotation %d: got %q, want message %d", rotation, line, next)
				}
				if strings.HasPrefix(lines.Text(), "hh") {
					continue
				}
				s.ask(t, "POST", "/000/"+id+"/xhr_send", fmt.Sprintf(`["%040d"]`, next)).want(t, 204, "")
			}
			res.Body.Close()
		}
		if next < rounds(200) {
			t.Errorf("%d messages in %d rotations", next, rounds(200))
		}
		s.ask(t, "POST", "/000/"+id+"/xhr", "") // or its server would wait for who fetches the last
	})
}

// A greeter sends in OnOpen.
type greeter struct {
	handler.Echo
	opened chan session.Session
}

func (g greeter) OnOpen(s session.Session) error {
	g.opened <- s
	return s.Send(bytes.Repeat([]byte{'x'}, 20<<10))
}

// What OnOpen sent leaves with the open frame, and then waits no more.
func TestGreetingIsTaken(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"websocket", "raw-websocket", "xhr-streaming", "xhr-polling", "eventsource"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			g := greeter{opened: make(chan session.Session, 1)}
			s := serve(t, session.Shared(g), Options{DisconnectDelay: time.Hour})
			c, err := s.open(t.Context(), transport)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if text, err := c.Recv(t.Context()); len(text) != 20<<10 {
				t.Fatalf("got %d bytes, %v", len(text), err)
			}
			opened := <-g.opened
			eventually(t, "all is taken", func() bool { return opened.Queued() == 0 && s.Stats().Memory.Load() == 0 })
			if err := opened.Send(bytes.Repeat([]byte{'x'}, 2<<20)); err != nil {
				t.Errorf("one message of any size: %v", err)
			}
			if text, err := c.Recv(t.Context()); len(text) != 2<<20 {
				t.Errorf("got %d bytes, %v", len(text), err)
			}
		})
	}
}

// Two thousand clients poll again the instant a response ends, while messages
// are sent to all of them: none is refused, none loses one.
func TestConcurrentPollersLoseNothing(t *testing.T) {
	overWires(t, func(t *testing.T, w wire) {
		const messages = 10
		pollers := rounds(2000)
		if w.isSecure() {
			pollers = rounds(300) // 2,000 handshakes at once would be the test
		}
		hub, err := handler.NewHub(handler.NewMemory())
		if err != nil {
			t.Fatal(err)
		}
		defer hub.Close()
		s := w.serve(t, session.Shared(handler.Broadcast{Hub: hub, Topic: "all"}), Options{DisconnectDelay: time.Hour})
		var clients sync.WaitGroup
		failures := make(chan error, pollers)
		for i := range pollers {
			clients.Go(func() {
				if err := s.collect(fmt.Sprintf("poller%d", i), messages); err != nil {
					failures <- fmt.Errorf("poller %d: %w", i, err)
				}
			})
		}
		eventually(t, "all have subscribed", func() bool { return hub.Subscribers("all") == pollers })
		for i := range messages {
			hub.Publish(t.Context(), "all", fmt.Append(nil, i))
			time.Sleep(10 * time.Millisecond)
		}
		clients.Wait()
		close(failures)
		for err := range failures {
			t.Error(err)
		}
	})
}

// A hundred sessions at once on each transport send and receive: each message
// comes back once and in order, however many leave together.
func TestEchoesComeBackOnceAndInOrder(t *testing.T) {
	overWires(t, func(t *testing.T, w wire) {
		sessions := rounds(100)
		if w.isSecure() {
			sessions = rounds(30) // most of what more would do is handshakes
		}
		for _, transport := range []string{"websocket", "raw-websocket", "xhr-streaming", "xhr-polling", "eventsource"} {
			t.Run(transport, func(t *testing.T) {
				s := w.serve(t, session.Shared(handler.Echo{}), Options{ResponseLimit: 1000, DisconnectDelay: time.Hour})
				var clients sync.WaitGroup
				for i := range sessions {
					clients.Go(func() {
						if err := s.converse(t.Context(), transport); err != nil {
							t.Errorf("session %d: %v", i, err)
						}
					})
				}
				clients.Wait()
				eventually(t, "sessions end", func() bool { return s.Stats().Sessions.Load() == 0 || !strings.HasSuffix(transport, "websocket") })
			})
		}
	})
}

// open opens a session, which on a busy machine gets more time than /info's
// round trip would leave it.
func (s *site) open(ctx context.Context, transport string) (*client.Conn, error) {
	return client.Dial(ctx, s.url, client.Options{Transports: []string{transport}, HTTPClient: s.client, OpenTimeout: patience})
}

// converse opens a session and has 100 messages echoed.
func (s *site) converse(ctx context.Context, transport string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := s.open(ctx, transport)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := make(chan error, 1)
	go func() {
		for i := range 100 {
			if err := c.Send(fmt.Appendf(nil, "message %d %% \u2028 </script>", i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range 100 {
		text, err := c.Recv(ctx)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("message %d %% \u2028 </script>", i); string(text) != want {
			return fmt.Errorf("got %q, want %q", text, want)
		}
	}
	return <-sent
}

// collect polls until it has all messages, in order.
func (s *site) collect(id string, messages int) error {
	for next := -1; next < messages; {
		r, err := http.NewRequest("POST", s.url+"/000/"+id+"/xhr", nil)
		if err != nil {
			return err
		}
		a, err := s.do(r)
		if err != nil {
			return err
		}
		if next < 0 && a.body == "o\n" {
			next = 0
			continue
		}
		if !strings.HasPrefix(a.body, "a[") {
			return fmt.Errorf("got %d %q after %d messages", a.status, a.body, next)
		}
		texts, err := frame.Decode([]byte(a.body[1:]), messages)
		if err != nil {
			return err
		}
		for _, text := range texts {
			if string(text) != fmt.Sprint(next) {
				return fmt.Errorf("got message %s, want %d", text, next)
			}
			next++
		}
	}
	return nil
}

// Large messages to many are held together: each client gets them whole, in order and among
// small ones, over each transport and wire, and nothing is held afterwards.
func TestLargeMessagesToMany(t *testing.T) {
	before := memory.Used()
	texts := []string{"first"}
	for i := range 8 {
		texts = append(texts, strings.Repeat(fmt.Sprintf("%d %% \u2028 </script> \x01", i), 1+i*4000), fmt.Sprint("small ", i))
	}
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	overWires(t, func(t *testing.T, w wire) {
		topic := string(w)
		s := w.serve(t, session.Shared(handler.Broadcast{Hub: hub, Topic: topic}), Options{MessageLimit: 1 << 20, ResponseLimit: 100_000, DisconnectDelay: time.Hour})
		var clients []*client.Conn
		for _, transport := range []string{"websocket", "raw-websocket", "xhr-streaming", "xhr-polling", "eventsource", "websocket", "xhr-streaming"} {
			c, err := s.open(t.Context(), transport)
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		jsonp := "/000/" + newID() + "/jsonp?c=x"
		s.ask(t, "GET", jsonp, "", "Sec-Fetch-Site: same-origin")
		eventually(t, "all have subscribed", func() bool { return hub.Subscribers(topic) == len(clients)+1 })
		for _, text := range texts {
			if err := hub.Publish(t.Context(), topic, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		for i, c := range clients {
			all.Go(func() {
				defer c.Close()
				for n, want := range texts {
					if got, err := c.Recv(t.Context()); err != nil || string(got) != want {
						t.Errorf("client %d, message %d: %d bytes, %v; want %d", i, n, len(got), err, len(want))
						return
					}
				}
			})
		}
		all.Wait()
		script := s.ask(t, "GET", jsonp, "", "Sec-Fetch-Site: same-origin").body
		var f string
		if err := json.Unmarshal([]byte(strings.TrimSuffix(strings.TrimPrefix(script, "/**/x("), ");\r\n")), &f); err != nil || !strings.HasPrefix(f, "a[") {
			t.Fatalf("%.100q: %v", script, err)
		}
		got, err := frame.Decode([]byte(f[1:]), len(texts))
		if err != nil || len(got) != len(texts) || string(got[15]) != texts[15] || strings.Contains(script, "</") {
			t.Errorf("jsonp: %d messages, %v", len(got), err)
		}
	})
	eventually(t, "nothing is held", func() bool { return memory.Used() == before })
}

// What is published is timed until it is written, in whatever way that is.
func TestDeliveryIsTimed(t *testing.T) {
	overWires(t, func(t *testing.T, w wire) {
		hub, err := handler.NewHub(handler.NewMemory())
		if err != nil {
			t.Fatal(err)
		}
		defer hub.Close()
		s := w.serve(t, session.Shared(handler.Broadcast{Hub: hub, Topic: "all"}), Options{})
		var clients []*client.Conn
		for _, transport := range []string{"websocket", "raw-websocket", "xhr-streaming", "xhr-polling"} {
			c, err := s.open(t.Context(), transport)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			clients = append(clients, c)
		}
		eventually(t, "all have subscribed", func() bool { return hub.Subscribers("all") == len(clients) })
		if err := hub.Publish(t.Context(), "all", []byte("x")); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			if text, err := c.Recv(t.Context()); err != nil || string(text) != "x" {
				t.Errorf("%s: %q, %v", c.Transport(), text, err)
			}
		}
		eventually(t, "all have been timed", func() bool {
			_, count, _ := s.Stats().Delivery.Counts()
			return count == uint64(len(clients))
		})
	})
}
