package transport

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
	"switchback/session/frame"
)

// A poll that follows at once finds the one before it detached.
func TestSequentialClosesAreNeverRefused(t *testing.T) {
	s := serve(t, session.Shared(handler.Close{}), Options{})
	for i := range 300 {
		id := newID()
		for _, want := range []string{"o\n", `c[3000,"Go away!"]` + "\n", `c[3000,"Go away!"]` + "\n"} {
			if got := s.poll(t, id); got != want {
				t.Fatalf("session %d: got %q, want %q", i, got, want)
			}
		}
	}
}

func TestStreamsRotateWithoutLoss(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{ResponseLimit: 64})
	id := newID()
	next := 0
	for rotation := 0; rotation < 200; rotation++ {
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
	if next < 200 {
		t.Errorf("%d messages in 200 rotations", next)
	}
}

// Two thousand clients poll again the instant a response ends, while messages
// are sent to all of them: none is refused, none loses one.
func TestConcurrentPollersLoseNothing(t *testing.T) {
	const pollers, messages = 2000, 20
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	s := serve(t, session.Shared(handler.Broadcast{Hub: hub, Topic: "all"}), Options{DisconnectDelay: 30 * time.Second})
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
}

// collect polls until it has all messages, in order.
func (s *served) collect(id string, messages int) error {
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
