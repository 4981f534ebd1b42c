package stomp

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchback/session"
)

// byLogin names users by their login header.
func byLogin(_ context.Context, c *Client, h Headers) error {
	c.Identity = &session.Identity{User: strings.Clone(h.Value("login"))}
	return nil
}

func (w *world) user(name string, destinations ...string) *client {
	w.Helper()
	c := w.connect("1.2", "login:"+name)
	for i, d := range destinations {
		c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:%s\n\n\x00", i, d))
	}
	return c
}

func TestUserGetsWhatIsSentToHim(t *testing.T) {
	bubble(t, Options{Login: byLogin}, func(w *world) {
		a, a2, b := w.user("a/b", "/user/queue/x"), w.user("a/b", "/user/queue/x", "/user/queue/y"), w.user("bob", "/user/queue/x")
		b.send("SEND\ndestination:/user/a%2Fb/queue/x\n\nhi\x00")
		a.want(message("/user/queue/x", "0", "hi"))
		a2.want(message("/user/queue/x", "0", "hi"))
		b.want()
		w.broker.SendToUser(t.Context(), "a/b", "queue/y", "only one")
		a.want()
		a2.wantBodies("only one")
		w.broker.SendToSession(t.Context(), a.session.ID(), "/queue/x", map[string]int{"n": 1})
		a.want(message("/user/queue/x", "0", `{"n":1}`, "content-type:application/json"))
		a2.want()
		if err := w.broker.SendToUser(t.Context(), "nobody", "/queue/x", "x"); err != nil {
			t.Error(err)
		}
		b.wantBodies()
	})
}

func TestAnonymousSessionIsAUserOfItsOwn(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		a, b := w.user("", "/user/queue/x"), w.user("", "/user/queue/x")
		a.send("SEND\ndestination:/user/" + a.session.ID() + "/queue/x\n\nmine\x00")
		a.want(message("/user/queue/x", "0", "mine"))
		b.send("SEND\ndestination:/user/" + a.session.ID() + "/queue/x\n\nforeign\x00")
		a.want()
		b.want()
	})
}

func TestResolvedDestinationOfAnotherIsRefused(t *testing.T) {
	for _, queues := range [][]string{nil, someQueues} {
		bubble(t, Options{Queues: queues}, func(w *world) {
			a := w.user("")
			own, other := "/queue/x-user"+a.session.ID(), "/queue/x-user"+w.user("").session.ID()
			a.send("SUBSCRIBE\nid:0\ndestination:" + own + "\n\n\x00")
			a.send("SEND\ndestination:" + own + "\n\n1\x00")
			w.broker.SendToSession(t.Context(), a.session.ID(), "/queue/x", "2")
			a.want(message("/user/queue/x", "0", "1"), message("/user/queue/x", "0", "2", "content-type:text/plain;charset=UTF-8"))
			for _, text := range []string{"SUBSCRIBE\nid:0\ndestination:" + other + "\n\n\x00", "SEND\ndestination:" + other + "\n\nx\x00"} {
				x := w.user("")
				x.send(text)
				x.want(errorFrame(`Access to `+other+` is denied\c it is another session's`), closed1002)
			}
			x := w.user("", "/topic/my-users", "/topic/-user")
			x.send("SEND\ndestination:/topic/my-users\n\nx\x00SEND\ndestination:/topic/-user\n\ny\x00")
			x.wantBodies("x", "y")
		})
	}
}

func TestPatternsDoNotReachOtherUsers(t *testing.T) {
	bubble(t, Options{Login: byLogin, Topics: []string{"/topic", "/user"}, Queues: []string{}}, func(w *world) {
		bob, eve := w.user("bob", "/user/queue/*"), w.user("eve", "/user/**", "/user/queue/x", "/topic/**")
		w.broker.SendToUser(t.Context(), "bob", "/queue/x", "secret")
		bob.wantBodies("secret")
		if got := eve.take(); len(got) != 1 { // as a topic, which the configuration says it is
			t.Errorf("got %q", got)
		}
	})
	bubble(t, Options{Login: byLogin}, func(w *world) {
		bob, eve := w.user("bob", "/user/queue/*"), w.user("eve", "/user/**", "/topic/**", "/user/bob/queue/x", "/user/{a}/queue/x")
		w.broker.SendToUser(t.Context(), "bob", "/queue/x", "secret")
		w.broker.SendToSession(t.Context(), bob.session.ID(), "/queue/x", "secret, too")
		bob.want(message("/user/queue/x", "0", "secret", "content-type:text/plain;charset=UTF-8"),
			message("/user/queue/x", "0", "secret, too", "content-type:text/plain;charset=UTF-8"))
		eve.want()
	})
}

// The kinds of keys cannot be mixed up, whatever users are called.
func TestKeysAreUnambiguous(t *testing.T) {
	names := []string{"a", "a/queue", "1:a", "", "a/queue/x", "2:aa"}
	seen := make(map[string]string)
	for _, name := range names {
		for _, destination := range []string{"/queue/x", "/x", "/queue/queue/x"} {
			for _, d := range []destinationOf{userDestination(name, destination), sessionDestination(name, destination), topicDestination(destination)} {
				what := fmt.Sprintf("%s %q %s", d.kind[:1], name, destination)
				if d.kind == "d:" {
					what = destination
				}
				if before, ok := seen[d.key()]; ok && before != what {
					t.Errorf("%s: %s and %s", d.key(), before, what)
				}
				seen[d.key()] = what
			}
		}
	}
}

// Some applications have no users but make up destinations of them.
func TestUserPrefixMayBeATopic(t *testing.T) {
	bubble(t, Options{Topics: []string{"/topic", "/user"}}, func(w *world) {
		a := w.user("", "/user/bob/queue/messages")
		w.broker.SendToUser(t.Context(), "bob", "/queue/messages", "hi")
		a.want(message("/user/bob/queue/messages", "0", "hi", "content-type:text/plain;charset=UTF-8"))
		a.send("SEND\ndestination:/user/bob/queue/messages\n\nx\x00")
		a.wantBodies("x")
	})
}

func TestRegistryAndEvents(t *testing.T) {
	var mu sync.Mutex
	var events []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf(format, args...))
	}
	o := Options{Login: byLogin, Events: Events{
		Connect:     func(c *Client) { note("connect %s", c.User()) },
		Connected:   func(c *Client) { note("connected %s %s", c.User(), c.Version) },
		Subscribe:   func(s Subscription) { note("subscribe %s %s %s", s.Client.User(), s.ID, s.Destination) },
		Unsubscribe: func(s Subscription) { note("unsubscribe %s %s %s", s.Client.User(), s.ID, s.Destination) },
		Disconnect:  func(c *Client, err error) { note("disconnect %s %v", c.User(), err) },
	}}
	bubble(t, o, func(w *world) {
		never := w.open("websocket") // is no client
		a := w.user("ann", "/topic/a", "/topic/b", "/user/queue/c")
		w.user("bob", "/topic/a")
		a.send("UNSUBSCRIBE\nid:1\n\n\x00")
		if got := strings.Join(w.broker.Users(), " "); got != "ann bob" {
			t.Errorf("users: %s", got)
		}
		if got := w.broker.Clients("ann"); len(got) != 1 || got[0].ID != a.session.ID() || w.broker.Client(got[0].ID) != got[0] {
			t.Errorf("clients: %v", got)
		}
		if w.broker.Client("x") != nil || w.broker.Clients("x") != nil {
			t.Error("clients that are not there")
		}
		found := w.broker.Subscriptions(func(s Subscription) bool { return s.Destination == "/topic/a" })
		if len(found) != 2 {
			t.Errorf("subscriptions: %v", found)
		}
		a.gone()
		never.gone()
		a.take()
		if got := strings.Join(w.broker.Users(), " "); got != "bob" {
			t.Errorf("users: %s", got)
		}
		mu.Lock()
		defer mu.Unlock()
		want := []string{
			"connect ann", "connected ann 1.2", "subscribe ann 0 /topic/a", "subscribe ann 1 /topic/b", "subscribe ann 2 /user/queue/c",
			"connect bob", "connected bob 1.2", "subscribe bob 0 /topic/a", "unsubscribe ann 1 /topic/b",
			"unsubscribe ann 0 /topic/a", "unsubscribe ann 2 /user/queue/c",
			"disconnect ann session: closed: 1002 Connection interrupted: reset by peer",
		}
		if !reflect.DeepEqual(events, want) {
			t.Errorf("events:\n%s", strings.Join(events, "\n"))
		}
	})
	if !slices.Contains(events, "disconnect bob session: closed: 1001 Server is going away") {
		t.Errorf("events:\n%s", strings.Join(events, "\n"))
	}
}

// All is released before Events are told; world.end looks.
func TestPanicsOfEventsLeaveNothing(t *testing.T) {
	for _, end := range []func(c *client){
		func(c *client) { c.gone() },
		func(c *client) { c.send("DISCONNECT\n\n\x00") },
	} {
		var log logBuffer
		var left []string
		told := 0
		o := Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Events: Events{
			Unsubscribe: func(s Subscription) {
				left = append(left, s.Destination)
				panic("oops")
			},
			Disconnect: func(*Client, error) {
				told++
				panic("again")
			},
		}}
		bubble(t, o, func(w *world) {
			c := w.connect("1.2")
			c.send("SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\x00SUBSCRIBE\nid:2\ndestination:/topic/b\n\n\x00")
			synctest.Wait()
			end(c)
			time.Sleep(config.DisconnectDelay + time.Second)
			if s := w.broker.Stats(); s.Clients.Load() != 0 || s.Subscriptions.Load() != 0 {
				t.Errorf("%d clients, %d subscriptions are left", s.Clients.Load(), s.Subscriptions.Load())
			}
		})
		if !slices.Equal(left, []string{"/topic/a", "/topic/b"}) || told != 1 {
			t.Errorf("Unsubscribe was told of %q, Disconnect %d times", left, told)
		}
		if s := log.String(); strings.Count(s, "oops") != 2 || !strings.Contains(s, "again") {
			t.Errorf("log: %s", s)
		}
	}
}
