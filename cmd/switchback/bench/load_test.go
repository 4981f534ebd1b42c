package bench

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"switchback/session"
	"switchback/transport"
	"switchback/transport/client"
)

func TestEchoesAddUp(t *testing.T) {
	url := serve(t, transport.Options{ResponseLimit: 4096}) + "/echo"
	for _, name := range allTransports {
		for how, c := range map[string]echoCommand{
			"one at a time": {Inflight: 1},
			"many at once":  {Inflight: 5},
			"at a rate":     {Rate: 500},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				c.Flags, c.Timing, c.Sessions, c.Size = at(url, name), brief, 7, 100
				c.Flags.PID = os.Getpid()
				r := put(t, &c.Flags, c.run)
				wantNoLoss(t, r)
				if r.Sessions.Opened != 7 || r.Flow.Server == nil || r.Flow.Client == nil || r.Flow.Offered != c.Rate {
					t.Errorf("%+v %+v", r.Sessions, r.Flow)
				}
			})
		}
	}
}

func TestDeliveriesAddUp(t *testing.T) {
	for _, name := range allTransports {
		for how, rate := range map[string]float64{"one at a time": 0, "at a rate": 200} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				url := serve(t, transport.Options{ResponseLimit: 4096}) + "/broadcast" // whose sessions are all of a load
				c := fanoutCommand{Flags: at(url, name), Timing: brief, Sessions: 7, Size: headerSize, Rate: rate}
				r := put(t, &c.Flags, c.run)
				wantNoLoss(t, r)
				if r.Sessions.Opened != 8 || r.Flow.Sent != 8*r.Flow.Published || r.Flow.Offered != 8*rate {
					t.Errorf("%+v %+v", r.Sessions, r.Flow)
				}
			})
		}
	}
}

func TestOpenedSessionsAddUp(t *testing.T) {
	url := serve(t, transport.Options{}) + "/echo"
	for _, name := range allTransports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := openCommand{Flags: at(url, name), Timing: brief}
			r := put(t, &c.Flags, c.run)
			wantNoLoss(t, r)
			if int64(r.Sessions.Opened) != r.Flow.Received+1 {
				t.Errorf("%+v %+v", r.Sessions, r.Flow)
			}
		})
	}
}

func TestIdleSessionsSeeHeartbeats(t *testing.T) {
	const delay = 100 * time.Millisecond
	url := serve(t, transport.Options{HeartbeatDelay: delay}) + "/echo"
	for _, name := range allTransports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := idleCommand{Flags: at(url, name), Sessions: 7, Hold: 5 * delay, Heartbeat: delay}
			c.Flags.PID = os.Getpid()
			r := put(t, &c.Flags, c.run)
			wantNoLoss(t, r)
			if r.Heartbeats == nil || r.Heartbeats.Count < 2*7 {
				t.Errorf("heartbeats %+v", r.Heartbeats)
			}
			if m := r.Memory; m == nil || m.Before <= 0 || m.After <= 0 || m.Peak < m.After || r.Hold.Server == nil {
				t.Errorf("%+v %+v", m, r.Hold)
			}
		})
	}
}

// The publisher's session may be elsewhere, but on this machine. What it receives there is not
// counted.
func TestPublisherIsElsewhere(t *testing.T) {
	url := serve(t, transport.Options{})
	elsewhere := strings.Replace(url, "127.0.0.1", "localhost", 1)
	for publish, want := range map[string]string{
		url + "/broadcast":           "",
		elsewhere + "/broadcast":     "",
		url + "/nowhere":             "is a SockJS endpoint served at " + url + "/nowhere",
		"http://192.0.2.1/broadcast": "192.0.2.1 is not this machine",
	} {
		c := fanoutCommand{Flags: at(url+"/broadcast", "websocket"), Publish: publish, Timing: brief, Sessions: 3, Size: headerSize, Rate: 20}
		l, err := newLoad(&c.Flags, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.run(l)
		l.close()
		switch {
		case want == "" && err == nil:
			wantNoLoss(t, r)
			if counted := map[bool]int64{true: 4, false: 3}[publish == c.Flags.URL]; r.Flow.Sent != counted*r.Flow.Published {
				t.Errorf("%s: %d of %d count", publish, r.Flow.Sent, r.Flow.Published)
			}
		case want == "" || err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v; want %q", publish, err, want)
		}
	}
}

func TestTextsOfIdleSessionsAreCounted(t *testing.T) {
	url := serve(t, transport.Options{}) + "/broadcast"
	c := idleCommand{Flags: at(url, "xhr-polling"), Sessions: 5, Hold: time.Minute, Texts: 2, Heartbeat: time.Minute}
	l, err := newLoad(&c.Flags, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	told, over := make(chan error, 1), make(chan struct{})
	go func() { // ends when all are there
		for l.live.Load() < 5 {
			time.Sleep(time.Millisecond)
		}
		conn, err := client.Dial(context.Background(), url, client.Options{Transports: []string{"websocket"}})
		if err != nil {
			told <- err
			return
		}
		defer conn.Close()
		told <- errors.Join(conn.Send([]byte("1")), conn.Send([]byte("2")))
		<-over
	}()
	r, err := c.run(l)
	close(over)
	if err := errors.Join(err, <-told); err != nil {
		t.Fatal(err)
	}
	if x := r.Texts; x == nil || x.Count != 10 || x.Fewest != 2 || x.Most != 2 {
		t.Errorf("got %+v", x)
	}
}

func TestHeartbeatsAmongMessagesAreNotCounted(t *testing.T) {
	for _, name := range allTransports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A client that has not answered one by the next is gone: a quarter of a second.
			url := serve(t, transport.Options{HeartbeatDelay: 250 * time.Millisecond})
			long := timing{Time: 1200 * time.Millisecond, Warmup: 20 * time.Millisecond}
			e := echoCommand{Flags: at(url+"/echo", name), Timing: long, Sessions: 3, Size: headerSize, Rate: 6}
			wantNoLoss(t, put(t, &e.Flags, e.run))
			f := fanoutCommand{Flags: at(url+"/broadcast", name), Timing: long, Sessions: 3, Size: headerSize, Rate: 2}
			wantNoLoss(t, put(t, &f.Flags, f.run))
		})
	}
}

func TestHeartbeatThatDoesNotComeIsOverdue(t *testing.T) {
	url := serve(t, transport.Options{HeartbeatDelay: -1}) + "/echo"
	c := idleCommand{Flags: at(url, "websocket"), Sessions: 3, Hold: 60 * time.Millisecond, Heartbeat: 10 * time.Millisecond}
	r := put(t, &c.Flags, c.run)
	if h := r.Heartbeats; h == nil || h.Count != 0 || h.Overdue != 3 || h.Late.Max < 49 {
		t.Errorf("heartbeats %+v", h)
	}
	c.Heartbeat = time.Minute
	if r := put(t, &c.Flags, c.run); r.Heartbeats != nil {
		t.Errorf("heartbeats %+v before any is due", r.Heartbeats)
	}
}

func TestLostSessionsAreCountedByReason(t *testing.T) {
	url := serve(t, transport.Options{}) + "/close"
	for _, name := range allTransports[:4] {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := idleCommand{Flags: at(url, name), Sessions: 7, Hold: time.Hour, Heartbeat: time.Hour}
			begun := time.Now()
			r := put(t, &c.Flags, c.run)
			if r.Sessions.Lost != 7 || r.Failures["lost: 3000 Go away!"] != 7 || time.Since(begun) > 20*time.Second {
				t.Errorf("%+v %v after %v", r.Sessions, r.Failures, time.Since(begun))
			}
		})
	}
}

func TestOtherTextsAreWrong(t *testing.T) {
	url := serve(t, transport.Options{}) + "/broadcast"
	c := echoCommand{Flags: at(url, "websocket"), Timing: brief, Sessions: 3, Size: 64, Inflight: 1}
	r := put(t, &c.Flags, c.run)
	if r.Flow.Wrong == 0 || r.Flow.Received != r.Flow.Sent || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "is there an echo endpoint") {
		t.Errorf("%+v %q", r.Flow, r.Notes)
	}
}

func TestEndpointThatAnswersNothingIsTold(t *testing.T) {
	url := endpoint(t, session.Shared(session.Nop{}), 0)
	c := echoCommand{Flags: at(url, "websocket"), Timing: brief, Sessions: 3, Size: 64, Inflight: 1}
	r := put(t, &c.Flags, c.run)
	if r.Flow.Lost == 0 || len(r.Notes) != 1 || r.Notes[0] != "nothing came back; is there an echo endpoint at "+url+"?" {
		t.Errorf("%+v %q", r.Flow, r.Notes)
	}
}

func TestLoadThatCannotBeginSaysWhy(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	url := serve(t, transport.Options{})
	for target, want := range map[string]string{
		url + "/nothing": "no session could be opened: 2000 All transports failed: status 404; is a SockJS endpoint served at " +
			url + "/nothing, with websocket?",
		gone.URL + "/echo": "no session could be opened: 2000 All transports failed: connection refused; is a SockJS endpoint served at " +
			gone.URL + "/echo, with websocket?",
	} {
		c := echoCommand{Flags: at(target, "websocket"), Timing: brief, Sessions: 1, Size: 64, Inflight: 1}
		l, err := newLoad(&c.Flags, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.run(l); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
		l.close()
	}
}

func TestLoadIsForThisMachineOnly(t *testing.T) {
	for url, want := range map[string]string{
		"http://192.0.2.1/echo":   "192.0.2.1 is not this machine; --anywhere allows it, if whoever runs it does",
		"http://[2001:db8::1]/":   "2001:db8::1 is not this machine; --anywhere allows it, if whoever runs it does",
		"127.0.0.1:8081":          `"127.0.0.1:8081" is no http or https URL; give one such as http://127.0.0.1:8081/echo`,
		"ftp://127.0.0.1/echo":    `"ftp://127.0.0.1/echo" is no http or https URL; give one such as http://127.0.0.1:8081/echo`,
		"http://127.0.0.1:1/echo": "",
		"https://[::1]:1/echo":    "",
	} {
		_, err := newLoad(&flags{URL: url}, io.Discard)
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := newLoad(&flags{URL: "http://192.0.2.1/echo", Anywhere: true}, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	for _, name := range allTransports {
		c := echoCommand{Flags: at(server.URL, name), Timing: brief, Sessions: 1, Size: 64, Inflight: 1}
		l, err := newLoad(&c.Flags, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.run(l); err == nil || !strings.Contains(err.Error(), "status 307") || asked {
			t.Errorf("%s: %v", name, err)
		}
		l.close()
	}
}

func TestProcessThatIsNotThereIsTold(t *testing.T) {
	_, err := newLoad(&flags{URL: "http://127.0.0.1:1/", PID: 1 << 30}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "--pid") {
		t.Errorf("%v", err)
	}
}

func TestSessionsThatDoNotFitAreLeftOut(t *testing.T) {
	var l load
	if n := l.cut(100, 200, "the server"); n != 100 || len(l.notes) > 0 {
		t.Errorf("%d %q", n, l.notes)
	}
	if n := l.cut(100, 50, "the server"); n != 50 || l.notes[0] != "50 sessions and not 100: the server may open no more files (ulimit -n)" {
		t.Errorf("%d %q", n, l.notes)
	}
}

// A server that is slower than the rate has the rest of the messages late: the
// time that a message waits to be sent is part of its latency.
func TestMessageIsLateFromWhenItWasDue(t *testing.T) {
	l := &load{meter: newMeter()}
	l.from.Store(0)
	var late []int64
	p := l.pace(1000, func(at int64) {
		if len(late) == 0 {
			time.Sleep(50 * time.Millisecond) // the server does not take it
		}
		late = append(late, l.now()-at)
		if len(late) == 40 {
			l.until.Store(at + 1)
		}
	})
	for !p.over() {
		time.Sleep(time.Millisecond)
	}
	p.stop()
	if len(late) != 40 || time.Duration(late[1]) < 45*time.Millisecond || p.unsent != 0 {
		t.Errorf("%d messages, the second %v late", len(late), time.Duration(late[1]))
	}
}

func TestMessagesThatWereDueAndNotSentAreCounted(t *testing.T) {
	l := &load{meter: newMeter()}
	blocked := make(chan struct{})
	p := l.pace(1000, func(int64) { <-blocked })
	time.Sleep(20 * time.Millisecond)
	l.until.Store(l.now())
	p.stopped.Store(true)
	close(blocked)
	p.stop()
	if p.unsent < 10 {
		t.Errorf("%d", p.unsent)
	}
}
