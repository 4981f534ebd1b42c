package stomp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchback/session"
)

// names are tokens of these tests: eyJ.USER.LIFE, which is a duration from now, or nothing.
func names(token string) (*session.Identity, error) {
	parts := strings.Split(strings.TrimPrefix(token, "Bearer "), ".")
	if len(parts) != 3 || parts[0] != "eyJ" {
		return nil, &session.RefusedError{Status: 401, Reason: "Token is no JWT"}
	}
	id := &session.Identity{User: parts[1]}
	if parts[2] != "" {
		life, err := time.ParseDuration(parts[2])
		if err != nil || life < 0 {
			return nil, &session.RefusedError{Status: 401, Reason: "Token has expired"}
		}
		id.Expires = time.Now().Add(life)
	}
	return id, nil
}

// handshake says that a session is kim's, for a minute.
func handshake(*http.Request) (*session.Identity, any, error) {
	return &session.Identity{User: "kim", Expires: time.Now().Add(time.Minute)}, nil, nil
}

func everybody(context.Context, *Client, Headers) error { return nil }

func TestConnectByToken(t *testing.T) {
	refusal := func(body string) string {
		return "ERROR\nmessage:Bad CONNECT\ncontent-type:text/plain\ncontent-length:" + strconv.Itoa(len(body)) + "\n\n" + body + "^@"
	}
	welcome := func(user string) string {
		if user != "" {
			user = "user-name:" + user + "\n"
		}
		return "CONNECTED\nversion:1.2\nheart-beat:0,0\nsession:*\n" + user + "\n^@"
	}
	missing := refusal("Who is asking? Bring a token in the header Authorization")
	passwords := Passwords(map[string]string{"guest": "secret"})
	for _, c := range []struct {
		headers   string
		opened    bool // by kim
		otherwise LoginFunc
		want      string
	}{
		{"Authorization:Bearer eyJ.lee.1h", false, nil, welcome("lee")},
		{"authorization:eyJ.lee.1h", false, nil, welcome("lee")},
		{"AUTHORIZATION:bearer eyJ.lee.1h", false, nil, refusal("Token is no JWT")}, // these tests' verifier is no Verifier
		{"X-Token:eyJ.lee.1h", false, nil, welcome("lee")},
		{"token:eyJ.lee.1h", false, nil, missing},
		{"login:x\npasscode:eyJ.lee.1h", false, nil, welcome("lee")},
		{"login:guest\npasscode:guest", false, nil, missing},
		{"login:guest", false, nil, missing},
		{"passcode:eyJ.lee", false, nil, missing},
		{"Authorization:Bearer eyJ.lee.-1h", false, nil, refusal("Token has expired")},
		{"Authorization:Bearer x\npasscode:eyJ.lee.1h", false, nil, refusal("Token is no JWT")},
		{"", false, nil, missing},

		{"", true, nil, welcome("kim")},
		{"login:guest\npasscode:guest", true, nil, welcome("kim")}, // as front-ends do
		{"Authorization:Bearer eyJ.kim.1h", true, nil, welcome("kim")},
		{"Authorization:Bearer eyJ.lee.1h", true, nil, refusal("Token is another user's")},
		{"Authorization:Bearer x", true, nil, refusal("Token is no JWT")},

		{"", false, everybody, welcome("")},
		{"Authorization:Bearer eyJ.lee.1h", false, everybody, welcome("lee")},
		{"Authorization:Bearer x", false, everybody, refusal("Token is no JWT")},
		{"login:guest\npasscode:secret", false, passwords, welcome("guest")},
		{"login:guest\npasscode:guest", false, passwords, refusal("Access refused")},
		{"login:guest\npasscode:eyJ.lee.1h", false, passwords, welcome("lee")},
	} {
		o := Options{Login: Tokens(names, "X-Token", c.otherwise)}
		if c.opened {
			o.Handshake = handshake
		}
		bubble(t, o, func(w *world) {
			x := w.open("raw-websocket")
			x.send("CONNECT\naccept-version:1.2\n" + c.headers + "\n\n\x00")
			want := []string{c.want}
			if strings.HasPrefix(c.want, "ERROR") {
				want = append(want, closed1002)
			}
			t.Log(c.headers)
			x.want(want...)
			if refused := w.broker.Stats().Refused.Load(); (refused == 1) != (len(want) == 2) {
				t.Errorf("%d refusals are counted", refused)
			}
		})
	}
}

// A verifier that fails in another way tells the client nothing of it.
func TestErrorsOfVerifiersAreNotTold(t *testing.T) {
	bubble(t, Options{Login: Tokens(func(string) (*session.Identity, error) { return nil, errors.New("disk is full") }, "", nil)}, func(w *world) {
		c := w.open("raw-websocket")
		c.send("CONNECT\naccept-version:1.2\nAuthorization:x\n\n\x00")
		if got := c.take(); len(got) != 2 || strings.Contains(got[0], "disk") || !strings.HasSuffix(got[0], "Access refused^@") {
			t.Errorf("got %q", got)
		}
	})
}

const closed1008 = "CLOSE 1008 "

// A client ends with its identity: that of CONNECT, or of the handshake where CONNECT has
// brought none.
func TestClientEndsWithItsIdentity(t *testing.T) {
	for _, c := range []struct {
		connect string
		opened  bool // by kim, for a minute
		end     time.Duration
	}{
		{"Authorization:eyJ.lee.30s", false, 30 * time.Second},
		{"Authorization:eyJ.lee.", false, 0},
		{"", true, time.Minute},
		{"Authorization:eyJ.kim.30s", true, 30 * time.Second},
		{"Authorization:eyJ.kim.1h", true, time.Hour},
		{"Authorization:eyJ.kim.", true, 0},
		{"Authorization:eyJ.kim.200000h", true, 0}, // for longer than this test looks
	} {
		for _, transport := range []string{"raw-websocket", "xhr-polling"} {
			o := Options{Login: Tokens(names, "", everybody)}
			if c.opened {
				o.Handshake = handshake
			}
			bubble(t, o, func(w *world) {
				x := w.open(transport)
				x.connect("1.2", c.connect)
				time.Sleep(max(c.end-time.Millisecond, 0))
				if x.want(); c.end == 0 {
					time.Sleep(10 * time.Hour)
					x.want()
					return
				}
				time.Sleep(time.Millisecond)
				x.want(errorFrame("Identity has expired"), closed1008)
				if n := w.broker.Stats().Expiries.Load(); n != 1 {
					t.Errorf("%d are counted", n)
				}
			})
		}
	}
}

// Before CONNECT there is no ERROR: the session ends by itself.
func TestIdentityExpiresBeforeConnect(t *testing.T) {
	bubble(t, Options{Handshake: handshake, ConnectTimeout: time.Hour}, func(w *world) {
		c := w.open("raw-websocket")
		time.Sleep(61 * time.Second)
		c.want("CLOSE 1008 Identity has expired")
	})
}

// An idle client and one with heart-beats end alike.
func TestClientWithHeartbeatsEndsWithItsIdentity(t *testing.T) {
	o := Options{Login: Tokens(names, "", nil), HeartbeatSend: 10 * time.Second, HeartbeatReceive: 10 * time.Second}
	bubble(t, o, func(w *world) {
		c := w.connect("1.2", "Authorization:eyJ.kim.25s", "heart-beat:10000,10000")
		time.Sleep(25 * time.Second)
		c.want("\n", "\n", errorFrame("Identity has expired"), closed1008)
	})
}

// A token that comes with any frame moves the end.
func TestFramesRenewAnIdentity(t *testing.T) {
	for _, frame := range []string{
		"SEND\ndestination:/topic/none\nAuthorization:Bearer eyJ.kim.1h\n\n\x00",
		"SUBSCRIBE\nid:1\ndestination:/topic/a\nauthorization:eyJ.kim.1h\n\n\x00",
		"BEGIN\ntransaction:t\nAuthorization:eyJ.kim.1h\n\n\x00",
		"SEND\ndestination:/topic/none\ntransaction:t\nAuthorization:eyJ.kim.1h\n\n\x00",
		"ACK\nid:x\nAuthorization:eyJ.kim.1h\n\n\x00",
	} {
		for _, opened := range []bool{false, true} {
			o := Options{Login: Tokens(names, "", nil), Renew: names}
			if opened {
				o.Handshake = handshake
			}
			bubble(t, o, func(w *world) {
				c := w.open("xhr-streaming")
				if opened {
					c.connect("1.2")
				} else {
					c.connect("1.2", "Authorization:eyJ.kim.1m")
				}
				if strings.Contains(frame, "transaction:t") && !strings.HasPrefix(frame, "BEGIN") {
					c.send("BEGIN\ntransaction:t\n\n\x00")
				}
				time.Sleep(59 * time.Second)
				c.send(frame)
				time.Sleep(time.Hour - time.Millisecond)
				c.want()
				time.Sleep(time.Millisecond)
				c.want(errorFrame("Identity has expired"), closed1008)
				if s := w.broker.Stats(); s.Renewed.Load() != 1 || s.Expiries.Load() != 1 {
					t.Errorf("stats: %d, %d", s.Renewed.Load(), s.Expiries.Load())
				}
			})
		}
	}
}

func TestTokensThatDoNotRenew(t *testing.T) {
	told := func(body string) []string {
		return []string{"ERROR\nmessage:Bad token\ncontent-type:text/plain\ncontent-length:" + strconv.Itoa(len(body)) + "\n\n" + body + "^@", closed1002}
	}
	send := func(token string) string {
		return "SEND\ndestination:/topic/none\nAuthorization:" + token + "\n\n\x00"
	}
	for token, want := range map[string][]string{
		"eyJ.lee.1h":  told("Token is another user's"),
		"x":           told("Token is no JWT"),
		"eyJ.kim.-1h": told("Token has expired"),
		"eyJ.kim.1s":  nil, // sooner than it would have ended
		"eyJ.kim.":    nil,
		"":            nil,
	} {
		o := Options{Login: Tokens(names, "", everybody), Renew: names}
		bubble(t, o, func(w *world) {
			c := w.connect("1.2", "Authorization:eyJ.kim.1m")
			c.send(send(token))
			c.want(want...)
			if want != nil {
				if w.broker.Stats().Refused.Load() != 1 {
					t.Error("is not counted")
				}
				return
			}
			time.Sleep(59 * time.Second)
			c.want()
			time.Sleep(time.Second)
			if token == "eyJ.kim." {
				c.want()
			} else {
				c.want(errorFrame("Identity has expired"), closed1008)
			}
		})
	}
	// Whose identity does not end, or is none, sends what they like.
	for _, connect := range []string{"x:y", "Authorization:eyJ.kim."} {
		bubble(t, Options{Login: Tokens(names, "", everybody), Renew: names}, func(w *world) {
			c := w.connect("1.2", connect)
			c.send(send("x"), send("eyJ.lee.1h"))
			c.want()
		})
	}
}

// A front-end that sends its token with every frame does not have it verified each time.
func TestTokenIsVerifiedOnce(t *testing.T) {
	calls := 0
	renew := func(token string) (*session.Identity, error) { calls++; return names(token) }
	bubble(t, Options{Login: Tokens(names, "", nil), Renew: renew}, func(w *world) {
		c := w.connect("1.2", "Authorization:eyJ.kim.1m")
		for range 10 {
			c.send("SEND\ndestination:/topic/none\nAuthorization:eyJ.kim.1h\n\n\x00")
		}
		if calls != 1 {
			t.Errorf("%d times", calls)
		}
	})
}

// A token that comes with a SEND is not handed on, whoever reads its name how. Functions get
// what the client has sent.
func TestTokensAreNotForwarded(t *testing.T) {
	o := Options{Queues: someQueues}
	bubble(t, o, func(w *world) {
		var seen string
		w.broker.Handle("/f", func(_ context.Context, r *Request) (any, error) {
			seen = r.Headers.Value("Authorization")
			return nil, nil
		}, Reply{})
		c := w.connect("1.2")
		for id, destination := range map[string]string{"1": "/topic/a", "2": "/queue/a", "3": "/user/queue/a"} {
			c.send("SUBSCRIBE\nid:" + id + "\ndestination:" + destination + "\n\n\x00")
		}
		for destination, want := range map[string]string{
			"/topic/a":                             message("/topic/a", "1", "x", "foo:bar"),
			"/queue/a":                             message("/queue/a", "2", "x", "foo:bar"),
			"/user/" + c.session.ID() + "/queue/a": message("/user/queue/a", "3", "x", "foo:bar"),
		} {
			for _, name := range []string{"Authorization", "authorization", "AUTHORIZATION", " Authorization ", "Authorization\u00a0"} {
				c.send("SEND\ndestination:" + destination + "\n" + name + ":Bearer s3cret\nfoo:bar\n\nx\x00")
				c.want(want)
			}
		}
		c.send("SEND\ndestination:/app/f\nAuthorization:Bearer s3cret\n\nx\x00")
		c.want()
		if seen != "Bearer s3cret" {
			t.Errorf("the function got %q", seen)
		}
	})
}

// Nothing of a token is in the log, whatever becomes of it.
func TestNoTokenIsInTheLog(t *testing.T) {
	log := new(logBuffer)
	o := Options{
		Login: Tokens(names, "X-Token", nil), Renew: names, Strict: true,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, frames := range [][]string{
		{"CONNECT\naccept-version:1.2\nAuthorization:Bearer s3cret\n\n\x00"},
		{"CONNECT\naccept-version:1.2\nX-Token:s3cret\n\n\x00"},
		{"CONNECT\naccept-version:1.2\nlogin:kim\npasscode:eyJ.s3cret.-1h\n\n\x00"},
		{"CONNECT\naccept-version:1.2\nlogin:kim\npasscode:s3cret\n\n\x00"},
		{"CONNECT\naccept-version:1.2\nAuthorization:eyJ.kim.1m\n\n\x00", "SEND\ndestination:/topic/a\nAuthorization:s3cret\n\n\x00"},
		{"CONNECT\naccept-version:1.2\nAuthorization:eyJ.kim.1m\n\n\x00", "SEND\nAuthorization:eyJ.kim.1h\nx:s3cret\n\n\x00"},
		{"CONNECT\naccept-version:1.2\nAuthorization:eyJ.kim.1m\n\n\x00", "SEND\ndestination:/nowhere\nAuthorization:eyJ.kim.1h\nx:s3cret\n\n\x00"},
		{"CONNECT\naccept-version:1.2\nAuthorization:s3cret\\q\n\n\x00"},
		{"SEND\nAuthorization:s3cret\n\n\x00"},
		{"CONNECT\naccept-version:9\nAuthorization:s3cret\n\n\x00"},
	} {
		bubble(t, o, func(w *world) { w.open("raw-websocket").send(frames...) })
	}
	if text := log.String(); strings.Contains(text, "s3cret") || strings.Count(text, "client is refused") < 8 {
		t.Errorf("got %s", text)
	}
}

// Endpoints of one broker may let in clients in different ways.
func TestEndpointsMayLetInByDifferentFunctions(t *testing.T) {
	bubble(t, Options{Login: Passwords(map[string]string{"guest": "guest"})}, func(w *world) {
		for _, c := range []struct {
			opener session.Opener
			ok     bool
		}{
			{w.broker, false},
			{w.broker.WithLogin(nil), true},
			{w.broker.WithLogin(Tokens(names, "", nil)), false},
			{w.broker.WithLogin(Tokens(names, "", everybody)), true},
		} {
			if len(c.opener.(session.Subprotocoler).Subprotocols()) != 3 {
				t.Error("speaks no sub-protocols")
			}
			other := &world{T: w.T, broker: w.broker, registry: session.NewRegistry(c.opener, config)}
			x := other.open("raw-websocket")
			x.send("CONNECT\naccept-version:1.2\n\n\x00")
			if got := x.take(); len(got) == 0 || strings.HasPrefix(got[0], "CONNECTED") != c.ok {
				t.Errorf("got %q", got)
			}
			x.gone()
			other.registry.Shutdown(w.Context())
		}
	})
}
