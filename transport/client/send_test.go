package client

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// collect is an xhr_send that hands out what it was sent.
func collect(bodies chan<- string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, _ := io.ReadAll(r.Body)
		select {
		case bodies <- string(p):
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	}
}

// waitFor waits until something is true.
func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

func send(t *testing.T, c *Conn, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := c.Send([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

// opened is a server whose polls and streams have the open frame and no more.
func opened(xhrSend http.HandlerFunc) script {
	return script{"xhr": answers("o\n"), "xhr_send": xhrSend}
}

func TestWhatQueuesDuringARequestLeavesInTheNext(t *testing.T) {
	bodies := make(chan string)
	var started atomic.Int32
	next := collect(bodies)
	c := dial(t, serve(t, opened(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Content-Type"); got != "text/plain" {
			t.Errorf("content type %q", got)
		}
		started.Add(1)
		next(w, r)
	})), only("xhr-polling"))
	send(t, c, "1")
	waitFor(t, func() bool { return started.Load() == 1 })
	send(t, c, "2", `"3"`, "4")
	if n := started.Load(); n != 1 {
		t.Errorf("%d requests at once", n)
	}
	if got := <-bodies; got != `["1"]` {
		t.Errorf("first request %s", got)
	}
	if got := <-bodies; got != `["2","\"3\"","4"]` {
		t.Errorf("second request %s", got)
	}
}

func TestSendsOfManyGoroutinesAllArriveInTheirOrder(t *testing.T) {
	const senders, texts = 8, 100
	bodies := make(chan string, senders*texts)
	c := dial(t, serve(t, opened(collect(bodies))), only("xhr-polling"))
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range texts {
				if err := c.Send(fmt.Appendf(nil, "%d/%d", i, j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := c.Close(); err != nil { // which flushes
		t.Fatal(err)
	}
	close(bodies)
	var last [senders]int
	for body := range bodies {
		for text := range strings.SplitSeq(strings.Trim(body, "[]"), ",") {
			var i, j int
			fmt.Sscanf(text, `"%d/%d"`, &i, &j)
			if j != last[i] {
				t.Fatalf("%s after %d/%d", text, i, last[i])
			}
			last[i]++
		}
	}
	for i, n := range last {
		if n != texts {
			t.Errorf("%d texts of sender %d", n, i)
		}
	}
}

func TestSendWaitsWhileTheQueueIsFull(t *testing.T) {
	bodies := make(chan string)
	o := only("xhr-polling")
	o.QueueLimit = 100
	c := dial(t, serve(t, opened(collect(bodies))), o)
	large := strings.Repeat("x", 200) // passes, as nothing waits
	send(t, c, large)
	waitFor(t, func() bool { return goroutines("(*sender).run") == 1 && c.t.(*httpTransport).waiting() == 0 })
	send(t, c, large)
	sent := make(chan error)
	go func() { sent <- c.Send([]byte("last")) }()
	waitFor(t, func() bool { return goroutines("(*sender).add(") == 1 })
	for range 2 {
		if got := <-bodies; got != `["`+large+`"]` {
			t.Errorf("request %s", got)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if got := <-bodies; got != `["last"]` {
		t.Errorf("request %s", got)
	}
}

// What counts is the size on the wire: servers limit that.
func TestQueueIsLimitedAsItIsSent(t *testing.T) {
	bodies := make(chan string)
	o := only("xhr-polling")
	o.QueueLimit = 100
	c := dial(t, serve(t, opened(collect(bodies))), o)
	send(t, c, "first")
	waitFor(t, func() bool { return goroutines("(*sender).run") == 1 && c.t.(*httpTransport).waiting() == 0 })
	send(t, c, "second")
	sent := make(chan error)
	go func() { sent <- c.Send([]byte(strings.Repeat("\x00", 20))) }()
	for _, want := range []string{`["first"]`, `["second"]`, `["` + strings.Repeat(`\u0000`, 20) + `"]`} {
		if got := <-bodies; got != want {
			t.Errorf("request %s; want %s", got, want)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// waiting is the number of texts in the queue.
func (s *sender) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.texts
}

func TestRequestHoldsNoMoreTextsThanServersTake(t *testing.T) {
	bodies := make(chan string)
	c := dial(t, serve(t, opened(collect(bodies))), only("xhr-polling"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2*textLimit + 1 {
			c.Send([]byte("x"))
		}
	}()
	for left := 2*textLimit + 1; left > 0; {
		n := strings.Count(<-bodies, "x")
		if n > textLimit {
			t.Errorf("%d texts in a request", n)
		}
		left -= n
	}
	<-done
}

func TestFailedSendEndsTheSession(t *testing.T) {
	for _, code := range []int{http.StatusCreated, http.StatusNotFound, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			var requests atomic.Int32
			c := dial(t, serve(t, opened(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.WriteHeader(code)
			})), only("xhr-polling"))
			send(t, c, "lost")
			wantEnd(t, c, 1006, "Sending error")
			wantClose(t, c.Send([]byte("late")), 1006, "Sending error")
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestFailedSendIsToldToWhoOnlySends(t *testing.T) {
	c := dial(t, serve(t, opened(status(http.StatusNotFound))), only("xhr-polling"))
	send(t, c, "lost")
	var err error
	waitFor(t, func() bool { err = c.Send([]byte("x")); return err != nil })
	wantClose(t, err, 1006, "Sending error")
}

func TestStatus200OfXHRSendIsFine(t *testing.T) {
	bodies := make(chan string, 3)
	c := dial(t, serve(t, opened(func(w http.ResponseWriter, r *http.Request) {
		p, _ := io.ReadAll(r.Body)
		bodies <- string(p)
		io.WriteString(w, "ok")
	})), only("xhr-polling"))
	for i := range 3 {
		send(t, c, fmt.Sprint(i))
		if got := <-bodies; got != fmt.Sprintf(`["%d"]`, i) {
			t.Errorf("request %s", got)
		}
	}
}

func TestUnansweredSendEndsTheSession(t *testing.T) {
	o := only("xhr-polling")
	o.SendTimeout = 50 * time.Millisecond
	c := dial(t, serve(t, opened(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})), o)
	send(t, c, "lost")
	wantEnd(t, c, 1006, "Sending error")
}

func TestPollingCarriesAnEcho(t *testing.T) {
	c := dial(t, serve(t, pollingEcho()), only("xhr-polling"))
	echoInOrder(t, c, 200)
}

// pollingEcho is a server of one session, which sends back what it is sent,
// one array a poll.
func pollingEcho() script {
	arrays := make(chan string, 200)
	return script{
		"xhr_send": collect(arrays),
		"xhr": then(answers("o\n"), func(w http.ResponseWriter, r *http.Request) {
			select {
			case array := <-arrays:
				fmt.Fprintf(w, "a%s\n", array)
			case <-r.Context().Done():
			}
		}),
	}
}
