package stomp

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestReplyToTheCaller(t *testing.T) {
	bubble(t, Options{Login: byLogin}, func(w *world) {
		echo := Func(func(_ context.Context, _ *Request, in string) (string, error) { return in, nil })
		w.broker.Handle("/all", echo, Reply{ToUser: []string{"/queue/a"}})
		w.broker.Handle("/one", echo, Reply{ToUser: []string{"/queue/a"}, Session: true})
		a, a2, nobody := w.user("ann", "/user/queue/a"), w.user("ann", "/user/queue/a"), w.user("", "/user/queue/a")
		other := w.user("", "/user/queue/a")
		a.send("SEND\ndestination:/app/all\n\n1\x00SEND\ndestination:/app/one\n\n2\x00")
		a.wantBodies("1", "2")
		a2.wantBodies("1")
		nobody.send("SEND\ndestination:/app/all\n\n3\x00")
		nobody.want(message("/user/queue/a", "0", "3", "content-type:text/plain;charset=UTF-8"))
		other.want()
	})
}

// A private answer is nobody else's, whether or not its destination is named: as
// @SendToUser(broadcast = false) without a value.
func TestReplyToTheSessionNeedsNoDestination(t *testing.T) {
	bubble(t, Options{Login: byLogin}, func(w *world) {
		secret := func(_ context.Context, r *Request) (any, error) { return r.Path, nil }
		w.broker.Handle("/secret/{x}", secret, Reply{Session: true})
		w.broker.HandleSubscribe("/secret", secret, Reply{Session: true})
		asker := w.user("ann", "/user/queue/secret/{x}", "/user/queue/secret", "/app/secret")
		same := w.user("ann", "/user/queue/secret/**", "/user/queue/secret", "/topic/**", "/queue/**")
		other := w.user("bob", "/user/queue/secret/**", "/user/queue/secret", "/topic/**", "/queue/**")
		asker.want(message("/user/queue/secret", "1", "/secret", "content-type:text/plain;charset=UTF-8"))
		asker.send("SEND\ndestination:/app/secret/{x}\n\n\x00")
		asker.want(message("/user/queue/secret/{x}", "0", "/secret/{x}", "content-type:text/plain;charset=UTF-8"))
		same.want()
		other.want()
	})
}

// What can reach nobody, or the wrong ones, is said where it is written.
func TestRepliesThatCanGoNowherePanic(t *testing.T) {
	for _, e := range []struct {
		options Options
		pattern string
		reply   Reply
		want    string // empty: it is taken
	}{
		{Options{}, "/chat/{room}", Reply{To: []string{"/topic/{rom}"}}, `stomp: reply to "/topic/{rom}": the pattern has no variable {rom}`},
		{Options{}, "/chat/{room}", Reply{To: []string{"/topic/{room"}}, `stomp: reply to "/topic/{room": the pattern has no variable {room}`},
		{Options{}, "/chat/{room:[a-z]+}", Reply{To: []string{"/topic/{room:[a-z]+}"}}, `stomp: reply to "/topic/{room:[a-z]+}": the pattern has no variable {room:[a-z]+}`},
		{Options{}, "/chat/*", Reply{To: []string{"/topic/{}"}}, `stomp: reply to "/topic/{}": the pattern has no variable {}`},
		{Options{}, "/chat/{room}", Reply{ToUser: []string{"/queue/{rom}"}}, `stomp: reply to "/queue/{rom}": the pattern has no variable {rom}`},
		{Options{}, "/chat/{room}", Reply{To: []string{"/topic/{room}", "/topic/{room}/{room}"}, ToUser: []string{"queue/{room}"}}, ""},
		{Options{}, "/chat/{room:[a-z]+}", Reply{To: []string{"/topic/{room}"}}, ""},
		{Options{}, "/{kind}/x", Reply{To: []string{"/{kind}/x"}}, ""},
		{Options{}, "/{kind}/x", Reply{To: []string{"/t{kind}/x"}}, ""},
		{Options{}, "/{kind}/x", Reply{To: []string{"/x{kind}/x"}}, `stomp: reply to "/x{kind}/x": the destination must begin with a prefix of Topics, Queues or UserPrefix`},
		{Options{}, "/{kind}/x", Reply{To: []string{"/app/{kind}"}}, `stomp: reply to "/app/{kind}": the destination must begin with a prefix of Topics, Queues or UserPrefix`},
		{Options{}, "/a", Reply{To: []string{"topic/x"}}, `stomp: reply to "topic/x": the destination must begin with a prefix of Topics, Queues or UserPrefix`},
		{Options{}, "/a", Reply{To: []string{""}}, `stomp: reply to "": the destination must begin with a prefix of Topics, Queues or UserPrefix`},
		{Options{}, "/a", Reply{To: []string{"/app/b"}}, `stomp: reply to "/app/b": the destination must begin with a prefix of Topics, Queues or UserPrefix`},
		{Options{}, "/a", Reply{To: []string{"/user/bob"}}, `stomp: reply to "/user/bob": the destination must begin with a prefix of Topics, Queues or UserPrefix`},
		{Options{Topics: []string{"/alarm"}}, "/a", Reply{To: []string{"/topic/a"}}, `stomp: reply to "/topic/a": the destination must begin with a prefix of Topics, Queues or UserPrefix`},
		{Options{Topics: []string{"/alarm"}}, "/a", Reply{To: []string{"/alarm/a", "/user/bob/queue/a"}}, ""},
		{Options{Topics: []string{"/alarm"}}, "/a", Reply{}, ""}, // it may have no replies
		{Options{Queues: []string{"/work"}}, "/a", Reply{To: []string{"/work/a"}}, ""},
		{Options{}, "/a", Reply{ToUser: []string{""}}, `stomp: reply to a user: a destination must not be empty`},
		{Options{}, "/a", Reply{ToUser: []string{"/"}}, `stomp: reply to a user: a destination must not be empty`},
		{Options{}, "/a", Reply{ToUser: []string{"queue/a"}}, ""},
		{Options{}, "/a", Reply{ToUser: []string{"/users/a"}}, ""},
		{Options{}, "/a", Reply{ToUser: []string{"/user/queue/a"}}, `stomp: reply to a user: a destination is without "/user", which clients put before it`},
		{Options{}, "/a", Reply{To: []string{"/user/queue/a"}}, `stomp: reply to "/user/queue/a": it names no user; for the client's own put "/queue/a" into ToUser`},
		{Options{Queues: []string{"/work"}}, "/a", Reply{To: []string{"/user/work/a"}}, `stomp: reply to "/user/work/a": it names no user; for the client's own put "/work/a" into ToUser`},
		{Options{}, "/a", Reply{To: []string{"/user/queues/a"}}, ""},
		{Options{}, "/{name}", Reply{To: []string{"/user/{name}/queue/a"}}, ""},
		{Options{Topics: []string{"/"}}, "/a", Reply{To: []string{"/user/bob/queue/a"}}, "stomp: pattern \"/a\": no destination is the application's: name its prefixes, such as /app, in Options.Apps"},
		{Options{Topics: []string{"/"}, Apps: []string{"/app"}}, "/a", Reply{To: []string{"/user/bob/queue/a"}}, ""},
		{Options{UserPrefix: "/queue"}, "/a", Reply{To: []string{"/queue/bob/a"}}, ""},
		{Options{}, "/a", Reply{To: []string{"/topic/a"}, Session: true}, `stomp: reply to "/topic/a": goes to all, though Session is set: name the destination in ToUser`},
		{Options{}, "/a", Reply{To: []string{"/topic/a"}, ToUser: []string{"/queue/a"}, Session: true}, ""},
	} {
		got := ""
		func() {
			defer func() {
				if err, ok := recover().(error); ok {
					got = err.Error()
				}
			}()
			b, err := New(e.options)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			b.HandleSubscribe(e.pattern, nil, e.reply)
			b.Handle(e.pattern, nil, e.reply)
		}()
		if got != e.want {
			t.Errorf("%s, %+v:\ngot  %s\nwant %s", e.pattern, e.reply, got, e.want)
		}
	}
}

// A function for errors answers requests of many patterns: what one has not got is
// seen when it is answered.
func TestErrorsGoToNoDestinationWithoutItsVariable(t *testing.T) {
	var log logBuffer
	bubble(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(w *world) {
		fail := func(context.Context, *Request) (any, error) { return nil, errors.New("no") }
		w.broker.Handle("/chat/{room}", fail, Reply{})
		w.broker.Handle("/other", fail, Reply{})
		w.broker.HandleError(func(context.Context, *Request, error) (any, error) { return "failed", nil }, Reply{To: []string{"/topic/errors/{room}"}})
		mustPanic(t, "topic/x", func() { w.broker.HandleError(nil, Reply{To: []string{"topic/x"}}) })
		c := w.user("", "/topic/errors/**")
		c.send("SEND\ndestination:/app/chat/7\n\n\x00SEND\ndestination:/app/other\n\n\x00")
		c.want(message("/topic/errors/7", "0", "failed", "content-type:text/plain;charset=UTF-8"))
	})
	if s := log.String(); !strings.Contains(s, "no variable {room}") || strings.Count(s, "error=no\n") != 1 || strings.Count(s, "\n") != 2 {
		t.Errorf("log: %s", s)
	}
}

// What went wrong first is in the log, too, where the function for it panics; once,
// where it gives it back.
func TestFirstCauseIsLogged(t *testing.T) {
	for name, e := range map[string]struct {
		cause   func()
		handler ErrorFunc
		want    []string
	}{
		"an error, then a panic":       {func() {}, func(context.Context, *Request, error) (any, error) { panic("second") }, []string{"first", "second"}},
		"a panic, then a panic":        {func() { panic("first") }, func(context.Context, *Request, error) (any, error) { panic("second") }, []string{"first", "second"}},
		"a panic that is given back":   {func() { panic("first") }, func(_ context.Context, _ *Request, err error) (any, error) { return nil, err }, []string{"first"}},
		"an error that is given back":  {func() {}, func(_ context.Context, _ *Request, err error) (any, error) { return nil, err }, []string{"first"}},
		"an error, and another for it": {func() {}, func(context.Context, *Request, error) (any, error) { return nil, errors.New("second") }, []string{"second"}},
		"an error that is answered":    {func() {}, func(context.Context, *Request, error) (any, error) { return nil, nil }, nil},
	} {
		log, l := textLog()
		bubble(t, Options{Logger: log}, func(w *world) {
			w.broker.Handle("/a", func(context.Context, *Request) (any, error) { e.cause(); return nil, errors.New("first") }, Reply{})
			w.broker.HandleError(e.handler, Reply{})
			w.connect("1.2").send("SEND\ndestination:/app/a\n\n\x00")
		})
		for _, want := range e.want {
			if strings.Count(l.String(), want) != 1 {
				t.Errorf("%s: not %q once in %s", name, want, l)
			}
		}
		if n := strings.Count(l.String(), "\n"); n != len(e.want) {
			t.Errorf("%s: %d lines: %s", name, n, l)
		}
	}
}

// A reply without a destination of its own is not checked before: the log says where
// it would have gone.
func TestLostReplyIsLoggedWithItsDestination(t *testing.T) {
	log, l := textLog()
	bubble(t, Options{Topics: []string{"/sub"}, Apps: []string{"/pub"}, Logger: log}, func(w *world) {
		w.broker.Handle("/a", func(context.Context, *Request) (any, error) { return "x", nil }, Reply{})
		w.connect("1.2").send("SEND\ndestination:/pub/a\n\n\x00")
	})
	if s := l.String(); !strings.Contains(s, `error="stomp: destination belongs to no topic, queue or user: /topic/a"`) {
		t.Errorf("log: %s", s)
	}
}

// The default of HandleError is there whatever the users' prefix is.
func TestErrorsGoToTheSessionWithAnyUserPrefix(t *testing.T) {
	bubble(t, Options{UserPrefix: "/queue"}, func(w *world) {
		w.broker.Handle("/a", func(context.Context, *Request) (any, error) { return nil, errors.New("no") }, Reply{})
		w.broker.HandleError(func(context.Context, *Request, error) (any, error) { return "failed", nil }, Reply{})
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/queue/queue/errors\n\n\x00SEND\ndestination:/app/a\n\n\x00")
		c.wantBodies("failed")
	})
}
