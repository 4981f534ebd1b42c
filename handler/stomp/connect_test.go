package stomp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchback/handler/rules"
	"switchback/session"
)

func TestConnectAgreesOnAVersion(t *testing.T) {
	for _, c := range []struct{ connect, want string }{
		{"CONNECT\naccept-version:1.2,1.1,1.0\nheart-beat:10000,10000\n\n\x00", "CONNECTED\nversion:1.2\nheart-beat:0,0\nsession:*\n\n^@"},
		{"STOMP\naccept-version:1.0,1.2\nhost:example.com\n\n\x00", "CONNECTED\nversion:1.2\nheart-beat:0,0\nsession:*\n\n^@"},
		{"CONNECT\naccept-version:1.1,1.0\n\n\x00", "CONNECTED\nversion:1.1\nheart-beat:0,0\nsession:*\n\n^@"},
		{"CONNECT\naccept-version:1.0\n\n\x00", "CONNECTED\nversion:1.0\nheart-beat:0,0\nsession:*\n\n^@"},
		{"CONNECT\nlogin:guest\n\n\x00", "CONNECTED\nversion:1.0\nheart-beat:0,0\nsession:*\n\n^@"},
		{"CONNECT\naccept-version:3.0, 1.1 \n\n\x00\n", "CONNECTED\nversion:1.1\nheart-beat:0,0\nsession:*\n\n^@"},
		{"\n\nCONNECT\r\naccept-version:1.2\r\nreceipt:1\r\n\r\n\x00", "CONNECTED\nversion:1.2\nheart-beat:0,0\nsession:*\n\n^@"},
	} {
		bubble(t, Options{}, func(w *world) {
			x := w.open("raw-websocket")
			x.send(c.connect)
			x.want(c.want)
		})
	}
}

// Headers of 1.0 have blanks around them, as its specification writes them.
func TestFramesOfVersion10AreTakenAsSpecified(t *testing.T) {
	bubble(t, Options{Login: Passwords(map[string]string{"guest": "guest"})}, func(w *world) {
		c := w.open("raw-websocket")
		c.send("CONNECT\nlogin: guest\npasscode: guest\n\n\x00")
		c.want("CONNECTED\nversion:1.0\nheart-beat:0,0\nsession:*\nuser-name:guest\n\n^@")
		c.send("SUBSCRIBE\ndestination: /topic/a\nack: auto\nreceipt: 1\n\n\x00")
		c.want("RECEIPT\nreceipt-id:1\n\n^@")
		c.send("BEGIN\ntransaction: t\n\n\x00", "SEND\ndestination: /topic/a\ntransaction: t\ncontent-length: 3\nfoo: bar\n\na\x00b\x00", "COMMIT\ntransaction:t\n\n\x00")
		c.want("MESSAGE\ndestination:/topic/a\nfoo:bar\nmessage-id:*\ncontent-length:3\n\na^@b^@")
		c.send("UNSUBSCRIBE\ndestination: /topic/a\n\n\x00", "SEND\ndestination: /topic/a\n\nx\x00")
		c.want()
	})
	bubble(t, Options{}, func(w *world) { // 1.2 takes what is written
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid: 1\ndestination:/topic/a \n\n\x00SEND\ndestination:/topic/a \n\nx\x00SEND\ndestination:/topic/a\n\ny\x00")
		c.want(message("/topic/a ", " 1", "x"))
	})
}

// What version a CONNECT is of is decided once: where it is 1.2, its blanks count.
func TestBlanksOfAConnectAreOfItsVersion(t *testing.T) {
	for connect, want := range map[string]string{
		"accept-version :1.2\nlogin:guest\npasscode:guest":   "CONNECTED\nversion:1.2\n",
		" accept-version:1.1\nlogin:guest\npasscode:guest":   "CONNECTED\nversion:1.1\n",
		"accept-version :1.2\nlogin:guest\npasscode: guest":  "ERROR\n",
		" accept-version:1.1\nlogin:guest\npasscode: guest":  "ERROR\n",
		" accept-version :1.0\nlogin:guest\npasscode: guest": "CONNECTED\nversion:1.0\n",
	} {
		bubble(t, Options{Login: Passwords(map[string]string{"guest": "guest"})}, func(w *world) {
			c := w.open("raw-websocket")
			c.send("CONNECT\n" + connect + "\n\n\x00")
			if got := c.take(); len(got) == 0 || !strings.HasPrefix(got[0], want) {
				t.Errorf("%q: got %q, want %q", connect, got, want)
			}
		})
	}
}

// CONNECTED names the session as the process does, not as the client's URL does.
func TestConnectedNamesTheSession(t *testing.T) {
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		bubble(t, Options{}, func(w *world) {
			c := w.open("xhr-polling")
			c.send("CONNECT\naccept-version:" + version + "\n\n\x00")
			synctest.Wait()
			if want := "\nsession:" + c.session.ID() + "\n"; len(c.messages) != 1 || !strings.Contains(c.messages[0], want) {
				t.Errorf("%s: got %q", version, c.messages)
			}
		})
	}
}

func TestNoCommonVersionIsTold(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.open("xhr-streaming")
		c.send("CONNECT\naccept-version:2.0,3.0\n\n\x00")
		c.want("ERROR\nmessage:Supported protocol versions are 1.0,1.1,1.2\nversion:1.0,1.1,1.2\ncontent-type:text/plain\n"+
			"content-length:43\n\nSupported protocol versions are 1.0,1.1,1.2^@", closed1002)
	})
}

func TestFirstFrameIsConnect(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.open("raw-websocket")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\nreceipt:7\n\n\x00")
		c.want(errorFrame("Unknown session: "+c.session.ID(), "receipt-id:7"), closed1002)
	})
}

func TestSecondConnectIsRefused(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.2")
		c.send("CONNECT\naccept-version:1.2\n\n\x00")
		c.want(errorFrame("Session already exists"), closed1002)
	})
}

func TestHeartbeatsAreAnnouncedAsConfigured(t *testing.T) {
	o := Options{HeartbeatSend: 10 * time.Second, HeartbeatReceive: 20 * time.Second}
	for version, want := range map[string]string{"1.2": "10000,20000", "1.1": "10000,20000", "1.0": "0,0"} {
		bubble(t, o, func(w *world) {
			c := w.open("raw-websocket")
			c.send("CONNECT\naccept-version:" + version + "\nheart-beat:0,0\n\n\x00")
			c.want("CONNECTED\nversion:" + version + "\nheart-beat:" + want + "\nsession:*\n\n^@")
		})
	}
}

func TestHeartbeatIsSentInTime(t *testing.T) {
	o := Options{HeartbeatSend: 10 * time.Second, HeartbeatReceive: 10 * time.Second}
	bubble(t, o, func(w *world) {
		c := w.connect("1.2", "heart-beat: 0 , 4000 ")
		d := w.connect("1.2", "heart-beat:0,12000")
		silent := w.connect("1.2", "heart-beat:0,0")
		old := w.connect("1.0", "heart-beat:0,4000")
		time.Sleep(9999 * time.Millisecond)
		c.want()
		time.Sleep(2 * time.Millisecond)
		c.want("\n") // the slower of what each said
		d.want()
		time.Sleep(2 * time.Second)
		d.want("\n")
		c.send("SEND\ndestination:/topic/a\nreceipt:1\n\n\x00") // an answer puts it off
		c.want("RECEIPT\nreceipt-id:1\n\n^@")
		time.Sleep(9999 * time.Millisecond)
		c.want()
		time.Sleep(2 * time.Millisecond)
		c.want("\n")
		time.Sleep(time.Minute)
		silent.want()
		old.want()
		if n := len(c.take()); n != 6 {
			t.Errorf("%d heart-beats in a minute", n)
		}
	})
}

func TestHeartbeatDoesNotPileUp(t *testing.T) {
	bubble(t, Options{HeartbeatSend: time.Second}, func(w *world) {
		c := w.connect("1.2", "heart-beat:0,1000")
		c.stall()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := c.session.Queued(); n > 10 {
			t.Errorf("%d bytes wait", n)
		}
		c.resume()
		c.want("\n")
	})
}

func TestSilentClientIsClosed(t *testing.T) {
	o := Options{HeartbeatSend: 10 * time.Second, HeartbeatReceive: 10 * time.Second}
	bubble(t, o, func(w *world) {
		c := w.connect("1.2", "heart-beat:5000,0")
		quiet := w.connect("1.2", "heart-beat:0,0")
		for range 5 {
			time.Sleep(29 * time.Second)
			c.send("\n") // anything is a sign of life
		}
		c.want()
		time.Sleep(30*time.Second + time.Millisecond)
		c.want(errorFrame("Session closed."), closed1002)
		if w.broker.Stats().Silent.Load() != 1 {
			t.Error("is not counted")
		}
		quiet.want()
	})
}

func TestBusyFunctionIsNoSilence(t *testing.T) {
	bubble(t, Options{HeartbeatReceive: time.Second}, func(w *world) {
		w.broker.Handle("/slow", func(context.Context, *Request) (any, error) {
			time.Sleep(20 * time.Second)
			return nil, nil
		}, Reply{})
		c := w.connect("1.2", "heart-beat:1000,0")
		go c.send("SEND\ndestination:/app/slow\nreceipt:1\n\n\x00")
		time.Sleep(10 * time.Second)
		c.want()
		time.Sleep(12 * time.Second)
		c.want("RECEIPT\nreceipt-id:1\n\n^@")
		time.Sleep(2 * time.Second)
		c.want(errorFrame("Session closed."), closed1002)
	})
}

func TestHeartbeatsThatAreNone(t *testing.T) {
	for _, value := range []string{"", "x", "-1,-1", "10,", ",", "1,2,3", "99999999999999999999,99999999999999999999"} {
		bubble(t, Options{HeartbeatSend: time.Second, HeartbeatReceive: time.Second}, func(w *world) {
			w.connect("1.2", "heart-beat:"+value)
		})
	}
}

func TestTimeForConnectIsLimited(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c, slow := w.open("raw-websocket"), w.open("xhr-polling")
		in := w.connect("1.2")
		for range 11 {
			time.Sleep(5 * time.Second)
			slow.send("\n") // no CONNECT
			slow.send("CONN")
			slow.send("")
		}
		c.want()
		time.Sleep(5*time.Second + time.Millisecond)
		c.want("CLOSE 4500 ")
		slow.want(errorFrame(`No enum constant org.springframework.messaging.simp.stomp.StompCommand.CONN`), closed1002)
		in.want()
		if w.broker.Stats().Late.Load() != 1 {
			t.Errorf("%d are late", w.broker.Stats().Late.Load())
		}
	})
}

func TestPasswordTable(t *testing.T) {
	o := Options{Login: Passwords(map[string]string{"guest": "guest", "x": ""})}
	const refused = "ERROR\nmessage:Bad CONNECT\ncontent-type:text/plain\ncontent-length:14\n\nAccess refused^@"
	for _, c := range []struct{ headers, want string }{
		{"login:guest\npasscode:guest\n", "CONNECTED\nversion:1.2\nheart-beat:0,0\nsession:*\nuser-name:guest\n\n^@"},
		{"login:guest\npasscode:wrong\n", refused},
		{"login:guest\n", refused},
		{"login:nobody\npasscode:guest\n", refused},
		{"login:nobody\n", refused},
		{"", refused},
	} {
		bubble(t, o, func(w *world) {
			x := w.open("raw-websocket")
			x.send("CONNECT\naccept-version:1.2\n" + c.headers + "\n\x00")
			if c.want == refused {
				x.want(refused, closed1002)
			} else {
				x.want(c.want)
			}
		})
	}
}

func TestLoginHookDecides(t *testing.T) {
	login := func(ctx context.Context, c *Client, h Headers) error {
		if c.Peer.Address != "192.0.2.1" || ctx.Err() != nil {
			t.Errorf("got %+v, %v", c, ctx.Err())
		}
		c.Value = h.Value("token")
		switch h.Value("token") {
		case "own words":
			return &Error{Message: "Token has expired"}
		case "secret":
			return errors.New("database is down")
		}
		c.Identity = &session.Identity{User: strings.ToUpper(c.User())}
		return nil
	}
	handshake := func(*http.Request) (*session.Identity, any, error) {
		return &session.Identity{User: "bob"}, "handshake", nil
	}
	var log logBuffer
	o := Options{Login: login, Handshake: handshake, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	bubble(t, o, func(w *world) {
		c := w.open("websocket")
		c.send("CONNECT\naccept-version:1.1\ntoken:own words\nreceipt:r\npasscode:hunter2\n\n\x00")
		c.want(errorFrame("Token has expired", "receipt-id:r"), closed1002)
		c = w.open("websocket")
		c.send("CONNECT\naccept-version:1.1\ntoken:secret\npasscode:hunter2\n\n\x00")
		c.want(errorFrame("Failed to send message to ExecutorSubscribableChannel[clientInboundChannel]"), closed1002)
		c = w.open("websocket")
		c.send("CONNECT\naccept-version:1.1\ntoken:ok\npasscode:hunter2\n\n\x00")
		c.want("CONNECTED\nversion:1.1\nheart-beat:0,0\nsession:*\nuser-name:BOB\n\n^@")
		if got := w.broker.Client(c.session.ID()); got.User() != "BOB" || got.Value != "ok" {
			t.Errorf("client is %+v", got)
		}
		if w.broker.Stats().Refused.Load() != 2 {
			t.Errorf("%d refused", w.broker.Stats().Refused.Load())
		}
	})
	if !strings.Contains(log.String(), "database is down") || strings.Contains(log.String(), "hunter2") {
		t.Errorf("log: %s", log.String())
	}
}

func TestHandshakeRefuses(t *testing.T) {
	want := &session.RefusedError{Status: 401, Reason: "Who are you?"}
	o := Options{Handshake: func(*http.Request) (*session.Identity, any, error) { return nil, nil, want }}
	bubble(t, o, func(w *world) {
		_, err := w.registry.Open("", nil, session.Peer{}, wires[true], &client{world: w})
		if err != want {
			t.Errorf("got %v", err)
		}
	})
}

func TestDisconnectWithReceiptLeavesTheCloseToTheClient(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c, other := w.connect("1.2"), w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		c.send("DISCONNECT\nreceipt:bye\n\n\x00SEND\ndestination:/topic/a\n\nlate\x00")
		other.send("SEND\ndestination:/topic/a\n\nx\x00")
		c.send("SEND\ndestination:/topic/a\n\nlate\x00")
		c.want("RECEIPT\nreceipt-id:bye\n\n^@")
		time.Sleep(4999 * time.Millisecond)
		c.want()
		time.Sleep(2 * time.Millisecond)
		c.want("CLOSE 1000 ")
	})
}

func TestDisconnectWithoutReceiptCloses(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.2")
		c.send("DISCONNECT\n\n\x00")
		time.Sleep(time.Millisecond)
		c.want("CLOSE 1000 ")
	})
}

// An incomplete frame behind DISCONNECT is no beginning of more.
func TestNothingIsKeptAfterDisconnect(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.2")
		before := w.broker.Stats().Memory.Load()
		c.send("DISC", "ONNECT\nreceipt:1\n\n\x00x")
		h := w.broker.users.session(c.session.ID())
		for range 10 {
			c.send(strings.Repeat("y", 1000))
			c.sendBinary(strings.Repeat("y", 1000))
		}
		c.want("RECEIPT\nreceipt-id:1\n\n^@")
		if decoder, counted := h.decoder, w.broker.Stats().Memory.Load(); decoder != nil || counted != before {
			t.Errorf("%v is left, %d bytes are counted", decoder, counted-before)
		}
	})
}

func TestNothingFollowsError(t *testing.T) {
	bubble(t, Options{Queues: someQueues}, func(w *world) {
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00SUBSCRIBE\nid:1\nack:client\ndestination:/queue/a\n\n\x00")
		synctest.Wait()
		h := w.broker.users.session(c.session.ID())
		h.enter(ended) // as refuse does it before it sends ERROR
		for _, destination := range []string{"/topic/a", "/queue/a"} {
			if err := w.broker.Send(t.Context(), destination, "x"); err != nil {
				t.Error(err)
			}
		}
		c.want()
		if err := h.refuse(errors.New("second"), nil); err != nil {
			t.Errorf("refused twice: %v", err)
		}
		c.want()
		c.gone()
		d := w.connect("1.2")
		time.Sleep(config.DisconnectDelay + time.Second)
		d.send("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\x00")
		d.wantBodies("x")
	})
}

// logFunc is called for each write of a log.
type logFunc func()

func (f logFunc) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

// The refusal is logged before ERROR is sent.
func TestRefusalEndsMessagesBeforeItIsTold(t *testing.T) {
	var publish logFunc
	log := slog.New(slog.NewTextHandler(logFunc(func() { publish() }), nil))
	bubble(t, Options{Logger: log}, func(w *world) {
		publish = func() {
			if err := w.broker.Send(t.Context(), "/topic/a", "x"); err != nil {
				t.Error(err)
			}
		}
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00CONNECT\n\n\x00")
		c.want(errorFrame("Session already exists"), closed1002)
	})
}

func TestSubprotocols(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		if got := strings.Join(w.broker.Subprotocols(), " "); got != "v12.stomp v11.stomp v10.stomp" {
			t.Errorf("got %s", got)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	dotted := mustRules(t, []rules.Rule{{}}, rules.Options{Separator: "."})
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{FrameLimit: -1}, `stomp: FrameLimit is "-1"; it must not be negative`},
		{Options{PatternLimit: -2}, `stomp: PatternLimit is "-2"; it must be -1 or more`},
		{Options{PublishBurst: 3}, `stomp: PublishBurst is "3"; it must have a PublishRate with it`},
		{Options{Rules: dotted}, `stomp: Rules is "."; it must have the Separator of these options, "/"`},
		{Options{UserPrefix: "user"}, `stomp: UserPrefix is "user"; it must begin with /, be more than that, and no pattern: /user, say`},
		{Options{UserPrefix: "/"}, `stomp: UserPrefix is "/"; it must begin with /, be more than that, and no pattern: /user, say`},
	} {
		if _, err := New(c.o); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	b, err := New(Options{UserPrefix: "/user/", Topics: []string{"/topic", "/user"}})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}
