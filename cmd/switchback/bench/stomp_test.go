package bench

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchback/handler"
	"switchback/handler/stomp"
	"switchback/handler/stomp/frame"
	"switchback/session"
	"switchback/transport"
)

// broker starts a server of STOMP at /ws, which the test ends, and returns its URL.
func broker(t *testing.T, o stomp.Options, heartbeat time.Duration) (*stomp.Broker, string) {
	t.Helper()
	b, err := stomp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, endpoint(t, b, heartbeat)
}

func endpoint(t *testing.T, opener session.Opener, heartbeat time.Duration) string {
	t.Helper()
	e, err := transport.NewEndpoint("/ws", opener, transport.Options{HeartbeatDelay: heartbeat, DisconnectDelay: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	t.Cleanup(func() { e.Shutdown(context.Background()) })
	return server.URL + "/ws"
}

func TestIdleSessionsOfSTOMPAreSubscribed(t *testing.T) {
	const delay = 100 * time.Millisecond
	o := stomp.Options{
		HeartbeatSend: delay / 2, HeartbeatReceive: delay / 2, // of those who ask for some
		Authorize: func(_ *stomp.Client, _ frame.Command, destination string) error {
			if destination != "/topic/bench" {
				return &stomp.Error{Message: destination}
			}
			return nil
		},
	}
	for _, name := range allTransports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, url := broker(t, o, delay)
			c := idleCommand{Flags: at(url, name), Sessions: 7, Hold: 5 * delay, Heartbeat: delay, STOMP: true}
			r := put(t, &c.Flags, func(l *load) (*report, error) {
				r, err := c.run(l)
				if n := b.Stats().Subscriptions.Load(); n != 7 {
					t.Errorf("%d subscriptions", n)
				}
				return r, err
			})
			wantNoLoss(t, r)
			if r.Protocol != "STOMP" || r.Heartbeats == nil || r.Heartbeats.Count == 0 {
				t.Errorf("%+v, heartbeats %+v", r, r.Heartbeats)
			}
		})
	}
}

// answers sends a text for each message.
type answers struct {
	session.Nop
	text string
}

func (a answers) OnMessage(s session.Session, _ []byte) error { return s.Send([]byte(a.text)) }

// leaves ends each session with its first message.
type leaves struct{ session.Nop }

func (leaves) OnMessage(session.Session, []byte) error {
	return &session.CloseError{Code: session.CodeGoAway, Reason: "Go away!"}
}

func TestSTOMPThatIsRefusedSaysWhy(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const connected = "CONNECTED\nversion:1.2\n\n\x00"
	login := func(context.Context, *stomp.Client, stomp.Headers) error {
		return &stomp.Error{Message: "Bad CONNECT", Body: "Access refused"}
	}
	_, closed := broker(t, stomp.Options{Login: login}, 0)
	_, strict := broker(t, stomp.Options{Strict: true}, 0)
	for name, c := range map[string]struct{ url, want string }{
		"CONNECT":     {closed, `CONNECT was answered with ERROR: "Bad CONNECT: Access refused"`},
		"SUBSCRIBE":   {strict, `SUBSCRIBE was answered with ERROR: `},
		"silence":     {endpoint(t, session.Shared(session.Nop{}), 0), "no CONNECTED within 200ms"},
		"echo":        {endpoint(t, session.Shared(handler.Echo{}), 0), "no CONNECTED within 200ms"},
		"no receipt":  {endpoint(t, session.Shared(answers{text: connected}), 0), "no RECEIPT within 200ms"},
		"other texts": {endpoint(t, session.Shared(answers{text: "no\n\n\x00"}), 0), "stomp frame: broken"},
		"close":       {endpoint(t, session.Shared(leaves{}), 0), "3000 Go away!"},
	} {
		for _, over := range allTransports[:3] {
			t.Run(name+" "+over, func(t *testing.T) {
				t.Parallel()
				i := idleCommand{Flags: at(c.url, over), Sessions: 3, STOMP: true, Destination: "/nowhere"}
				l, err := newLoad(&i.Flags, io.Discard)
				if err != nil {
					t.Fatal(err)
				}
				defer l.close()
				l.options.OpenTimeout = 200 * time.Millisecond
				_, err = i.run(l)
				if err == nil || !strings.HasPrefix(err.Error(), "no session could be opened: "+c.want) ||
					!strings.HasSuffix(err.Error(), "; is a STOMP endpoint served at "+c.url+", with "+over+"?") {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

func TestSessionsThatSTOMPRefusesAreCountedByReason(t *testing.T) {
	var asked atomic.Int32
	login := func(context.Context, *stomp.Client, stomp.Headers) error {
		if asked.Add(1) > 4 {
			return &stomp.Error{Message: "Full"}
		}
		return nil
	}
	_, url := broker(t, stomp.Options{Login: login}, 0)
	c := idleCommand{Flags: at(url, "websocket"), Sessions: 7, Hold: time.Millisecond, Heartbeat: time.Hour, STOMP: true}
	r := put(t, &c.Flags, c.run)
	const why = `not opened: CONNECT was answered with ERROR: "Full"`
	if r.Sessions.Asked != 7 || r.Sessions.Opened != 4 || r.Sessions.Lost != 0 || len(r.Failures) != 1 || r.Failures[why] != 3 {
		t.Errorf("%+v %v", r.Sessions, r.Failures)
	}
}
