package stomp

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unsafe"

	"switchback/handler/rules"
	"switchback/handler/stomp/frame"
	"switchback/session"
)

func mustRules(t testing.TB, list []rules.Rule, o rules.Options) *rules.List {
	t.Helper()
	l, err := rules.New(list, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// byHeaders is a LoginFunc that believes what a client says: its login and its roles. Who
// says nothing is nobody.
func byHeaders(_ context.Context, c *Client, h Headers) error {
	if user := h.Value("login"); user != "" {
		c.Identity = &session.Identity{User: strings.Clone(user), Claims: map[string]any{"roles": strings.Clone(h.Value("roles"))}}
	}
	return nil
}

const denied = "ERROR\nmessage:Failed to send message to ExecutorSubscribableChannel[clientInboundChannel]\nreceipt-id:1\n" +
	"content-type:text/plain\ncontent-length:13\n\nAccess Denied^@"

func TestRulesDecideOverFrames(t *testing.T) {
	var (
		subscribe, send = []rules.Action{rules.Subscribe}, []rules.Action{rules.Send}
		alarm           = []rules.Rule{
			{On: subscribe, To: []string{"/alarm/{user}"}, Allow: true, Who: rules.Who{Group: rules.Authenticated}},
			{On: send, To: []string{"/api/**"}, Allow: true, Who: rules.Who{Roles: []string{"admin"}}},
			{},
		}
		own = []rules.Rule{
			{On: subscribe, To: []string{"/user/queue/open"}, Allow: true},
			{On: subscribe, To: []string{"/queue/**"}, Allow: true},
			{On: send, To: []string{"/user/{user}/**"}, Allow: true},
		}
		open   = []rules.Rule{{Allow: true}}
		known  = []rules.Rule{{On: []rules.Action{rules.Connect}, Allow: true, Who: rules.Who{Group: rules.Authenticated}}, {Allow: true}}
		closed = []rules.Rule{{}}
	)
	for _, c := range []struct {
		list    []rules.Rule
		connect string // headers
		frame   string // SESSION is the client's
		allowed bool
	}{
		{alarm, "login:kim", "SUBSCRIBE\nid:0\ndestination:/alarm/kim\n", true},
		{alarm, "login:kim", "SUBSCRIBE\nid:0\ndestination:/alarm/lee\n", false},
		{alarm, "login:kim", "SUBSCRIBE\nid:0\ndestination:/alarm/*\n", false},
		{alarm, "login:kim", "SUBSCRIBE\nid:0\ndestination:/**\n", false},
		{alarm, "login:*", "SUBSCRIBE\nid:0\ndestination:/alarm/*\n", false},
		{alarm, "x:y", "SUBSCRIBE\nid:0\ndestination:/alarm/kim\n", false},
		{alarm, "login:kim", "SEND\ndestination:/alarm/kim\n", false},
		{alarm, "login:kim", "SEND\ndestination:/api/echo\n", false},
		{alarm, "login:ann\nroles:staff admin", "SEND\ndestination:/api/echo\n", true},
		{alarm, "login:ann\nroles:staff admin", "SEND\ndestination:/alarm/ann\n", false},
		{alarm, "login:kim", "SEND\ndestination:/user/lee/queue/x\n", false},
		{alarm, "login:kim", "SUBSCRIBE\nid:0\ndestination:/user/queue/x\n", false},

		{own, "login:kim", "SEND\ndestination:/user/kim/queue/x\n", true},
		{own, "login:kim", "SEND\ndestination:/user/lee/queue/x\n", false},
		{own, "login:kim", "SEND\ndestination:/queue/x\n", false},
		{own, "login:kim", "SUBSCRIBE\nid:0\ndestination:/user/queue/open\n", true},
		{own, "login:kim", "SUBSCRIBE\nid:0\ndestination:/user/queue/secret\n", false},
		{own, "login:kim", "SUBSCRIBE\nid:0\ndestination:/queue/secret\n", true},
		{own, "login:kim", "SUBSCRIBE\nid:0\ndestination:/queue/open-userSESSION\n", true},
		{own, "login:kim", "SUBSCRIBE\nid:0\ndestination:/queue/secret-userSESSION\n", false}, // by its other name
		{own, "login:kim", "SUBSCRIBE\nid:0\ndestination:/queue/*-userSESSION\n", false},

		{open, "x:y", "SEND\ndestination:/topic/a\n", true},
		{open, "x:y", "SEND\ndestination:/user/lee/queue/x\n", true},
		{open, "x:y", "SUBSCRIBE\nid:0\ndestination:/topic/**\n", true},
		{closed, "login:kim", "SEND\ndestination:/topic/a\n", false},
		{closed, "login:kim", "SUBSCRIBE\nid:0\ndestination:/app/a\n", false},
		{closed, "login:kim", "BEGIN\ntransaction:t\n", true},
		{known, "login:kim", "SEND\ndestination:/topic/a\n", true},
	} {
		o := Options{Rules: mustRules(t, c.list, rules.Options{}), Login: byHeaders, Topics: []string{"/topic", "/queue", "/alarm"}, Apps: []string{"/api", "/app"}}
		bubble(t, o, func(w *world) {
			x := w.connect("1.2", c.connect)
			text := strings.ReplaceAll(c.frame, "SESSION", x.session.ID())
			x.send(text + "receipt:1\n\n\x00")
			want := []string{receipt + "1\n\n^@"}
			if !c.allowed {
				want = []string{denied, closed1002}
			}
			x.want(want...)
			if n := w.broker.Stats().Refused.Load(); (n == 0) != c.allowed {
				t.Errorf("%s: %d are counted", text, n)
			}
		})
	}
}

func TestRulesDecideOverConnect(t *testing.T) {
	list := mustRules(t, []rules.Rule{{On: []rules.Action{rules.Connect}, Allow: true, Who: rules.Who{Group: rules.Authenticated}}}, rules.Options{})
	var log bytes.Buffer
	o := Options{Rules: list, Login: byHeaders, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	bubble(t, o, func(w *world) {
		w.connect("1.2", "login:kim")
		c := w.open("raw-websocket")
		c.send("CONNECT\naccept-version:1.2\npasscode:secret\nreceipt:1\n\n\x00")
		c.want(denied, closed1002)
		if s := w.broker.Stats(); s.Refused.Load() != 1 || s.Connects.Load() != 1 {
			t.Errorf("%d refused, %d connected", s.Refused.Load(), s.Connects.Load())
		}
	})
	if got := log.String(); !strings.Contains(got, "rules[0] refuses connect") || strings.Contains(got, "secret") {
		t.Errorf("log: %s", got)
	}
}

// What a transaction sends is looked at when it is committed, and the hook is asked after
// the rules.
func TestRulesGoBeforeTheHook(t *testing.T) {
	list := mustRules(t, []rules.Rule{{To: []string{"/topic/a"}, Allow: true}}, rules.Options{})
	var asked []string
	authorize := func(_ *Client, command frame.Command, destination string) error {
		asked = append(asked, string(command)+" "+destination)
		return nil
	}
	bubble(t, Options{Rules: list, Authorize: authorize}, func(w *world) {
		c := w.connect("1.2")
		c.send("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/topic/b\ntransaction:t\nreceipt:1\n\nx\x00SEND\ndestination:/topic/a\n\nx\x00")
		c.want()
		c.send("COMMIT\ntransaction:t\nreceipt:1\n\n\x00")
		c.want(denied, closed1002)
		if got := strings.Join(asked, ", "); got != "SEND /topic/a" {
			t.Errorf("the hook was asked of %s", got)
		}
	})
}

func TestUserLimit(t *testing.T) {
	bubble(t, Options{Login: byHeaders, UserLimit: 2}, func(w *world) {
		first := w.user("kim")
		w.user("kim")
		c := w.open("raw-websocket")
		c.send("CONNECT\naccept-version:1.2\nlogin:kim\n\n\x00")
		c.want(errorFrame("The limit of 2 sessions of a user has been reached"), closed1002)
		for range 3 {
			w.user("")
			first.send("DISCONNECT\n\n\x00")
			first.take()
			first = w.user("kim")
		}
		first.gone()
		first.take()
		w.user("kim")
		if n := w.broker.Stats().UserLimit.Load(); n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}

// The sessions of a user share a rate, whoever of them sends; nobody's do not.
func TestPublishRate(t *testing.T) {
	const send = "SEND\ndestination:/topic/a\nreceipt:1\n\nx\x00"
	const over = "The limit of 1 messages a second has been exceeded"
	bubble(t, Options{Login: byHeaders, PublishRate: 1, PublishBurst: 3}, func(w *world) {
		a, b := w.user("kim"), w.user("kim")
		a.send(send, send)
		a.want(receipt+"1\n\n^@", receipt+"1\n\n^@")
		b.send(send, send)
		b.want(receipt+"1\n\n^@", errorFrame(over, "receipt-id:1"), closed1002)
		time.Sleep(time.Second)
		a.send(send)
		a.want(receipt + "1\n\n^@")
		w.user("kim").send(send) // who comes back has no burst more
		for range 2 {
			nobody := w.user("")
			nobody.send(send, send, send)
			nobody.want(receipt+"1\n\n^@", receipt+"1\n\n^@", receipt+"1\n\n^@")
		}
		c := w.user("lee")
		c.send("BEGIN\ntransaction:t\n\n\x00", strings.Repeat("SEND\ndestination:/topic/a\ntransaction:t\n\nx\x00", 4))
		c.want()
		c.send("COMMIT\ntransaction:t\nreceipt:1\n\n\x00")
		c.want(errorFrame(over, "receipt-id:1"), closed1002)
		if n := w.broker.Stats().PublishRate.Load(); n != 3 {
			t.Errorf("%d are counted", n)
		}
	})
}

func TestSessionIsAsSmallAsItWas(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > 256 {
		t.Errorf("the handler of a session takes %d bytes", n)
	}
}
