package stomp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"switchback/handler/stomp/frame"
	"switchback/session"
)

// textLog is a logger of everything, and what it has logged.
func textLog() (*slog.Logger, *logBuffer) {
	var l logBuffer
	return slog.New(slog.NewTextHandler(&l, &slog.HandlerOptions{Level: slog.LevelDebug})), &l
}

// level counts the lines of a level.
func (l *logBuffer) level(name string) int { return strings.Count(l.String(), " level="+name+" ") }

// A client is told what was wrong with its frame; the log gets no word of it.
func TestLogQuotesNoBrokenFrame(t *testing.T) {
	var l logBuffer
	bubble(t, Options{Logger: slog.New(slog.NewTextHandler(&l, nil))}, func(w *world) {
		for _, in := range []string{
			"SEND\npasscode=secret\n\n\x00",
			"SEND\ndestination:/topic/a\nAuthorization:Bearer secret\\x\n\n\x00",
			"SEND\ndestination:/topic/a\n\nabc\x00secret\n\x00",
		} {
			c := w.connect("1.2")
			c.send(in)
			if got := c.take(); len(got) != 2 || !strings.Contains(got[0], "secret") {
				t.Errorf("the client is told %q", got)
			}
		}
	})
	log := l.String()
	if strings.Contains(log, "secret") {
		t.Errorf("the log has it: %s", log)
	}
	for _, reason := range []string{"illegal header", "illegal escape sequence", "unknown command"} {
		if !strings.Contains(log, reason) {
			t.Errorf("the log does not say %q: %s", reason, log)
		}
	}
}

// A program that gives no logger hears what goes wrong in it.
func TestDefaultLoggerIsTheProcesss(t *testing.T) {
	log, l := textLog()
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(log)
	bubble(t, Options{}, func(w *world) {
		w.broker.Handle("/json", Func(func(context.Context, *Request, hello) (any, error) { return nil, nil }), Reply{})
		w.broker.Handle("/panic", func(context.Context, *Request) (any, error) { panic("oops") }, Reply{})
		c := w.connect("1.2")
		c.send("SEND\ndestination:/app/json\n\n{bad\x00", "SEND\ndestination:/app/panic\n\n\x00", "SEND\ndestination:/topik/x\n\n\x00")
		c.want()
	})
	for _, line := range []string{
		`level=WARN msg="stomp: function failed"`, `level=ERROR msg="stomp: function panicked"`, `level=INFO msg="stomp: frame is dropped"`,
	} {
		if !strings.Contains(l.String(), line) {
			t.Errorf("no %s in\n%s", line, l)
		}
	}
}

// A function that ends because its client has gone has not failed.
func TestEndOfTheClientIsNoFailure(t *testing.T) {
	log, l := textLog()
	bubble(t, Options{Logger: log}, func(w *world) {
		w.broker.Handle("/wait", func(ctx context.Context, _ *Request) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, Reply{})
		w.broker.Handle("/canceled", func(context.Context, *Request) (any, error) { return nil, context.Canceled }, Reply{})
		c := w.connect("1.2")
		c.send("SEND\ndestination:/app/canceled\n\n\x00") // something of the program's
		if l.level("WARN") != 1 {
			t.Errorf("log: %s", l)
		}
		l.Reset()
		go c.send("SEND\ndestination:/app/wait\n\n\x00")
		c.take()
		c.gone()
	})
	if l.level("WARN") != 0 || l.level("DEBUG") != 1 {
		t.Errorf("log: %s", l)
	}
}

// Each hook's panic ends its session with 1011, and is in the log once, with its
// stack.
func TestPanicsOfHooksAreLogged(t *testing.T) {
	for name, e := range map[string]struct {
		options Options
		told    string
	}{
		"Login":       {Options{Login: func(context.Context, *Client, Headers) error { panic("oops") }}, "CLOSE 1011 Internal error"},
		"Authorize":   {Options{Authorize: func(*Client, frame.Command, string) error { panic("oops") }}, "CLOSE 1011 Internal error"},
		"Connect":     {Options{Events: Events{Connect: func(*Client) { panic("oops") }}}, "CLOSE 1011 Internal error"},
		"Connected":   {Options{Events: Events{Connected: func(*Client) { panic("oops") }}}, "CLOSE 1011 Internal error"},
		"Subscribe":   {Options{Events: Events{Subscribe: func(Subscription) { panic("oops") }}}, "CLOSE 1011 Internal error"},
		"Unsubscribe": {Options{Events: Events{Unsubscribe: func(Subscription) { panic("oops") }}}, "CLOSE 1011 Internal error"},
		"Disconnect":  {Options{Events: Events{Disconnect: func(*Client, error) { panic("oops") }}}, "CLOSE 1000 "},
	} {
		log, l := textLog()
		e.options.Logger = log
		bubble(t, e.options, func(w *world) {
			c := w.open("raw-websocket")
			c.send("CONNECT\naccept-version:1.2\n\n\x00SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00UNSUBSCRIBE\nid:0\n\n\x00DISCONNECT\n\n\x00")
			wait()
			if got := c.take(); len(got) == 0 || got[len(got)-1] != e.told {
				t.Errorf("%s: the client is told %q", name, got)
			}
		})
		if s := l.String(); strings.Count(s, "oops") != 1 || !strings.Contains(s, `level=ERROR msg="stomp: hook panicked"`) || !strings.Contains(s, "log_test.go") {
			t.Errorf("%s: log: %s", name, s)
		}
	}
}

func TestPanicOfHandshakeIsAnswered(t *testing.T) {
	log, l := textLog()
	bubble(t, Options{Logger: log, Handshake: func(*http.Request) (*session.Identity, any, error) { panic("oops") }}, func(w *world) {
		_, err := w.registry.Open("", nil, session.Peer{}, wires[true], &client{world: w})
		var refused *session.RefusedError
		if !errors.As(err, &refused) || refused.Status != http.StatusInternalServerError {
			t.Errorf("got %v", err)
		}
	})
	if s := l.String(); !strings.Contains(s, "oops") || l.level("ERROR") != 1 {
		t.Errorf("log: %s", s)
	}
}

// A misspelt destination is seen, and a client that misspells all day is not.
func TestFirstDropOfADestinationIsSeen(t *testing.T) {
	log, l := textLog()
	bubble(t, Options{Logger: log}, func(w *world) {
		c := w.connect("1.2")
		for range 3 {
			c.send("SEND\ndestination:/topik/a\n\n\x00SUBSCRIBE\nid:0\ndestination:/topik/a\n\n\x00SEND\ndestination:/app/helo\n\n\x00SEND\n\n\x00UNSUBSCRIBE\n\n\x00")
		}
		if info, debug := l.level("INFO"), l.level("DEBUG"); info != 4 || debug != 11 {
			t.Errorf("%d lines at info, %d at debug: %s", info, debug, l)
		}
		for i := range 1000 {
			c.send(fmt.Sprintf("SEND\ndestination:/%d%s\n\n\x00", i, strings.Repeat("x", 1000)))
		}
		held := 0
		for name := range w.broker.dropped.names {
			held += len(name)
		}
		for line := range strings.Lines(l.String()) {
			if n := strings.Count(line, "x"); n > logLimit {
				t.Errorf("%d bytes in %.100s", n, line)
			}
		}
		if info := l.level("INFO"); info != 100 || held > 100*(logLimit+len("…")) {
			t.Errorf("%d lines at info, %d bytes are held", info, held)
		}
	})
}

func TestFrameOverALimitIsToldOnce(t *testing.T) {
	log, l := textLog()
	bubble(t, Options{Logger: log, FrameLimit: 100}, func(w *world) {
		w.connect("1.2").send("SEND\ndestination:/topic/a\ncontent-length:1000\n\n")
	})
	if s := l.String(); strings.Count(s, "value 1000 ") != 1 || !strings.Contains(s, `error="stomp frame: too large: `) {
		t.Errorf("log: %s", s)
	}
}

func TestRefusalSaysWhoTried(t *testing.T) {
	log, l := textLog()
	bubble(t, Options{Logger: log, Login: Passwords(map[string]string{"guest": "guest"})}, func(w *world) {
		w.open("websocket").send("CONNECT\naccept-version:1.2\nlogin:bob\npasscode:hunter2\n\n\x00")
		w.open("websocket").send("CONNECT\naccept-version:1.2\nlogin:" + strings.Repeat("y", 10_000) + "\npasscode:hunter2\n\n\x00")
		w.open("websocket").send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
	})
	s := l.String()
	if !strings.Contains(s, "address=192.0.2.1 login=bob ") || strings.Count(s, " address=192.0.2.1 ") != 3 || strings.Contains(s, "hunter2") {
		t.Errorf("log: %s", s)
	}
	if n := strings.Count(s, "y"); n < logLimit || n > logLimit+20 {
		t.Errorf("%d bytes of a name are logged", n)
	}
}

// Of a hook of the application's own the log tells no login: it may be a token.
func TestOtherRefusalsTellNoLogin(t *testing.T) {
	log, l := textLog()
	refuse := func(context.Context, *Client, Headers) error { return errors.New("expired") }
	bubble(t, Options{Logger: log, Login: refuse}, func(w *world) {
		w.open("websocket").send("CONNECT\naccept-version:1.2\nlogin:secret\n\n\x00")
	})
	if s := l.String(); strings.Contains(s, "secret") || !strings.Contains(s, "expired") {
		t.Errorf("log: %s", s)
	}
}

// What a client makes up is cut wherever the log has it.
func TestLogClipsWhatClientsSend(t *testing.T) {
	log, l := textLog()
	long := strings.Repeat("z", 900)
	o := Options{Logger: log, Strict: true, Login: byLogin, Authorize: func(_ *Client, _ frame.Command, destination string) error {
		if strings.HasPrefix(destination, "/topic/panic") {
			panic("no " + destination)
		}
		return nil
	}}
	bubble(t, o, func(w *world) {
		w.broker.Handle("/number", Func(func(context.Context, *Request, struct{ Age int }) (any, error) { return nil, nil }), Reply{})
		w.broker.Handle("/panic", Func(func(_ context.Context, _ *Request, in string) (any, error) { panic("bad body " + in) }), Reply{})
		w.broker.Handle("/**", func(context.Context, *Request) (any, error) { return nil, errors.New("no") }, Reply{})
		for _, frames := range []string{
			"SEND\ndestination:/app/number\n\n{\"age\":\"" + long + "\"}\x00",
			"SEND\ndestination:/app/number\n\n{\"age\":" + strings.Repeat("7", 50_000) + "}\x00",
			"SEND\ndestination:/app/panic\n\n" + long + "\x00",
			"SEND\ndestination:/topic/panic/" + long + "\n\n\x00",
			"SEND\ndestination:/nowhere/" + long + "\n\n\x00",
			"SEND\ndestination:/app/" + long + "\n\n\x00",
			"SUBSCRIBE\nid:0\ndestination:/topic/{" + long + "\n\n\x00",
			"COMMIT\ntransaction:" + long + "\n\n\x00",
			"UNSUBSCRIBE\nid:" + long + "\n\n\x00",
			"ACK\nid:" + long + "\n\n\x00",
		} {
			w.connect("1.2", "login:"+long).send(frames)
		}
	})
	for line := range strings.Lines(l.String()) {
		if n := strings.Count(line, "z") + strings.Count(line, "7"); n > 2*logLimit { // of the user and of one more
			t.Errorf("%d bytes in %.200s", n, line)
		}
	}
	if warn, failed := l.level("WARN"), l.level("ERROR"); warn != 7 || failed != 2 {
		t.Errorf("%d lines at warn, %d at error: %s", warn, failed, l)
	}
}

func TestClippingKeepsCharactersWhole(t *testing.T) {
	for _, s := range []string{"", strings.Repeat("a", logLimit), strings.Repeat("é", logLimit), "a" + strings.Repeat("\U0001F600", logLimit), strings.Repeat("\x80", 300)} {
		got := clip(s)
		if len(got) > logLimit+len("…") || utf8.ValidString(s) && !utf8.ValidString(got) || len(s) <= logLimit && got != s {
			t.Errorf("%.20q: got %q", s, got)
		}
	}
}
