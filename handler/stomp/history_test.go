package stomp

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	memorystore "switchback/handler/history/memory"
	"switchback/handler/rules"
	"switchback/session"
	"switchback/session/memory"
)

// A tap is a store in memory that fails when it is told to.
type tap struct {
	history.Store
	mu   sync.Mutex // guards fail
	fail bool
}

func (s *tap) fails(fail bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *tap) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return fmt.Errorf("%w: connection refused", history.ErrUnavailable)
	}
	return nil
}

func (s *tap) Append(ctx context.Context, batch []*history.Append) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Append(ctx, batch)
}

func (s *tap) Topic(ctx context.Context, topic string) (history.Topic, error) {
	if err := s.err(); err != nil {
		return history.Topic{}, err
	}
	return s.Store.Topic(ctx, topic)
}

func (s *tap) Unread(ctx context.Context, user string, topics []string, limit int) ([]history.Unread, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Unread(ctx, user, topics, limit)
}

var kept = history.Options{
	Policies: []history.Policy{
		{Topics: "/topic/plain/**"},
		{Topics: "/topic/fast/**", Fast: true},
		{Topics: "/topic/alarm/**", Unread: true},
		{Topics: "/user/*/queue/kept", Unread: true},
	},
	ResumeLimit: 5,
	Logger:      slog.New(slog.DiscardHandler),
}

// keeping is bubble with a history.
func keeping(t *testing.T, h history.Options, o Options, f func(w *world, store *tap)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hub, err := handler.NewHub(handler.NewMemory())
		if err != nil {
			t.Fatal(err)
		}
		store := &tap{Store: memorystore.New(memorystore.Options{})}
		if o.History, err = history.New(store, hub, h); err != nil {
			t.Fatal(err)
		}
		b, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, broker: b, registry: session.NewRegistry(b, config)}
		defer func() {
			w.end()
			if err := o.History.Close(); err != nil {
				t.Error(err)
			}
			if n := memory.Used(); n != 0 {
				t.Errorf("%d bytes are still counted in all", n)
			}
		}()
		f(w, store)
	})
}

var epochs = regexp.MustCompile(`(?m)^offset:[0-9a-z]+/`)

// takeKept is take with E for epochs.
func (c *client) takeKept() []string {
	got := c.take()
	for i := range got {
		got[i] = epochs.ReplaceAllString(got[i], "offset:E/")
	}
	return got
}

func (c *client) wantKept(messages ...string) {
	c.Helper()
	if got := c.takeKept(); strings.Join(got, "\n--\n") != strings.Join(messages, "\n--\n") {
		c.Errorf("messages:\ngot  %q\nwant %q", got, messages)
	}
}

// keptMessage is a MESSAGE as takeKept returns it; also follows the offset.
func keptMessage(destination, subscription, body string, offset int, also ...string) string {
	return strings.Replace(message(destination, subscription, body), "message-id:*\n", fmt.Sprintf("message-id:*\noffset:E/%d\n%s", offset, lines(also)), 1)
}

func receiptWith(id string, also ...string) string {
	return "RECEIPT\nreceipt-id:" + id + "\n" + lines(also) + "\n^@"
}

// epoch is that of a topic.
func (w *world) epoch(topic string) string {
	w.Helper()
	t, err := w.broker.options.History.Store().Topic(context.Background(), topic)
	if err != nil {
		w.Fatal(err)
	}
	text, _, _ := strings.Cut(history.Position{Epoch: t.Epoch}.String(), "/")
	return text
}

func (w *world) sendAll(destination string, bodies ...string) {
	w.Helper()
	for _, body := range bodies {
		if err := w.broker.Send(context.Background(), destination, []byte(body)); err != nil {
			w.Fatal(err)
		}
	}
}

func TestMessagesThatAreKeptHaveAnOffset(t *testing.T) {
	for _, destination := range []string{"/topic/plain/a", "/topic/fast/a"} {
		keeping(t, kept, Options{}, func(w *world, _ *tap) {
			a, b := w.connect("1.2"), w.connect("1.1")
			a.send("SUBSCRIBE\nid:0\ndestination:" + destination + "\nreceipt:1\n\n\x00")
			a.wantKept(receiptWith("1"))
			a.send("SUBSCRIBE\nid:1\ndestination:/topic/*/a\n\n\x00SUBSCRIBE\nid:2\ndestination:/topic/other\n\n\x00")
			b.send("SEND\ndestination:" + destination + "\noffset:9/9\ngap:true\n unread :9\nreceipt:2\n\nx\x00")
			b.wantKept(receiptWith("2"))
			a.wantKept(keptMessage(destination, "0", "x", 1), keptMessage(destination, "1", "x", 1))
			b.send("SEND\ndestination:/topic/other\noffset:mine\n\nx\x00")
			a.wantKept(message("/topic/other", "2", "x", "offset:mine"))
		})
	}
}

func TestSubscribersComeBack(t *testing.T) {
	for _, destination := range []string{"/topic/plain/a", "/topic/fast/a"} {
		keeping(t, kept, Options{}, func(w *world, _ *tap) {
			w.sendAll(destination, "1", "2", "3", "4", "5", "6")
			time.Sleep(2 * time.Second)
			m := func(body string, offset int, also ...string) string {
				return keptMessage(destination, "0", body, offset, also...)
			}
			e := w.epoch(destination)
			for _, c := range []struct {
				header  string
				receipt []string
				want    []string
			}{
				{"since:" + e + "/6", []string{"offset:E/6"}, nil},
				{"since:" + e + "/4", []string{"offset:E/6"}, []string{m("5", 5), m("6", 6)}},
				{"since:" + e + "/0", []string{"offset:E/6", "gap:true"}, []string{m("2", 2, "gap:true"), m("3", 3), m("4", 4), m("5", 5), m("6", 6)}},
				{"since:0", []string{"offset:E/6", "gap:true"}, []string{m("2", 2, "gap:true"), m("3", 3), m("4", 4), m("5", 5), m("6", 6)}},
				{"since:zz/3", []string{"offset:E/6", "gap:true"}, nil},
				{"since:" + e + "/99", []string{"offset:E/6", "gap:true"}, nil},
				{"history:2", []string{"offset:E/6"}, []string{m("5", 5), m("6", 6)}},
				{"history:0", []string{"offset:E/6"}, nil},
				{"history:2000000", []string{"offset:E/6"}, []string{m("2", 2), m("3", 3), m("4", 4), m("5", 5), m("6", 6)}},
			} {
				a := w.connect("1.2")
				a.send("SUBSCRIBE\nid:0\ndestination:" + destination + "\n" + c.header + "\nreceipt:1\n\n\x00")
				time.Sleep(time.Second)
				got := a.takeKept()
				for i := range got { // what the server sends is octets
					got[i] = strings.TrimPrefix(strings.Replace(got[i], "content-type:application/octet-stream\n", "", 1), "BINARY ")
				}
				want := append(c.want, receiptWith("1", c.receipt...))
				if strings.Join(got, "\n--\n") != strings.Join(want, "\n--\n") {
					t.Errorf("%s %s:\ngot  %q\nwant %q", destination, c.header, got, want)
				}
				a.gone()
			}
		})
	}
}

// Who has come before the first message has a position to come back from, too.
func TestSubscribersComeBackFromBeforeTheFirstMessage(t *testing.T) {
	for _, destination := range []string{"/topic/plain/a", "/topic/fast/a"} {
		keeping(t, kept, Options{}, func(w *world, _ *tap) {
			a := w.connect("1.2")
			a.send("SUBSCRIBE\nid:0\ndestination:" + destination + "\nhistory:0\nreceipt:1\n\n\x00")
			a.wantKept(receiptWith("1", "offset:0"))
			a.gone()
			w.sendAll(destination, "1", "2")
			time.Sleep(2 * time.Second)
			a = w.connect("1.2")
			a.send("SUBSCRIBE\nid:0\ndestination:" + destination + "\nsince:0\nreceipt:1\n\n\x00")
			if got := strings.Join(a.takeKept(), "\n"); strings.Count(got, "MESSAGE") != 2 || strings.Contains(got, "gap") || !strings.Contains(got, "offset:E/2") {
				t.Errorf("%s: got %s", destination, got)
			}
			a.gone()
		})
	}
}

// A gap with nothing to send is told with the next message, once.
func TestGapIsToldWithTheNextMessage(t *testing.T) {
	keeping(t, kept, Options{}, func(w *world, _ *tap) {
		a := w.connect("1.2")
		a.send("SUBSCRIBE\nid:0\ndestination:/topic/plain/a\nsince:1/1\nreceipt:1\n\n\x00")
		a.wantKept(receiptWith("1", "offset:0", "gap:true"))
		a.send("SEND\ndestination:/topic/plain/a\n\nx\x00SEND\ndestination:/topic/plain/a\n\ny\x00")
		a.wantKept(keptMessage("/topic/plain/a", "0", "x", 1, "gap:true"), keptMessage("/topic/plain/a", "0", "y", 2))
	})
}

func TestHistoryThatCannotBeGiven(t *testing.T) {
	body := func(text string) []string {
		return []string{"content-type:text/plain", fmt.Sprintf("content-length:%d\n\n%s^@", len(text), text)}
	}
	none := []string{"content-length:0\n\n^@"}
	position, number := body("it is the offset of the last MESSAGE, as it came"), body("it is how many messages before the present are asked for, from 0")
	for _, c := range []struct {
		headers, message string
		rest             []string
	}{
		{"destination:/topic/plain/*\nsince:a/1", "A pattern has no history: /topic/plain/*", body("since and history are for one destination")},
		{"destination:/topic/plain/*\nhistory:1", "A pattern has no history: /topic/plain/*", body("since and history are for one destination")},
		{"destination:/queue/a\nhistory:1", "No history is kept of /queue/a", none},
		{"destination:/topic/other\nsince:a/1", "No history is kept of /topic/other", none},
		{"destination:/user/queue/other\nsince:a/1", "No history is kept of /user/queue/other", none},
		{"destination:/topic/plain/a\nsince:a/1\nhistory:1", "A SUBSCRIBE has one of since and history", none},
		{"destination:/topic/plain/a\nsince:", "Illegal header 'since'", position},
		{"destination:/topic/plain/a\nsince:1", "Illegal header 'since'", position},
		{"destination:/topic/plain/a\nsince:0/1", "Illegal header 'since'", position},
		{"destination:/topic/plain/a\nsince:a/-1", "Illegal header 'since'", position},
		{"destination:/topic/plain/a\nsince:a/1'; DROP TABLE entries; --", "Illegal header 'since'", position},
		{"destination:/topic/plain/a\nhistory:-1", "Illegal header 'history'", number},
		{"destination:/topic/plain/a\nhistory:", "Illegal header 'history'", number},
		{"destination:/topic/plain/a\nhistory:1e3", "Illegal header 'history'", number},
		{"destination:/topic/plain/a\nhistory:99999999999", "Illegal header 'history'", number},
	} {
		keeping(t, kept, Options{Queues: someQueues}, func(w *world, _ *tap) {
			a := w.connect("1.2")
			a.send("SUBSCRIBE\nid:0\n" + c.headers + "\nreceipt:1\n\n\x00")
			a.want("ERROR\nmessage:"+strings.ReplaceAll(c.message, ":", `\c`)+"\nreceipt-id:1\n"+strings.Join(c.rest, "\n"), closed1002)
		})
	}
}

// Without a history the headers mean nothing.
func TestNoHistory(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		a := w.connect("1.2")
		a.send("SUBSCRIBE\nid:0\ndestination:/topic/a\nsince:x\nhistory:y\nreceipt:1\n\n\x00SEND\ndestination:/app/read\nreceipt:2\n\n\x00")
		a.want(receiptWith("1"), receiptWith("2"))
	})
}

func TestUsersHistory(t *testing.T) {
	keeping(t, kept, Options{Login: byHeaders}, func(w *world, _ *tap) {
		kim, bob := w.connect("1.2", "login:k/m"), w.connect("1.2", "login:bob")
		if err := w.broker.SendToUser(context.Background(), "k/m", "/queue/kept", "1"); err != nil {
			t.Fatal(err)
		}
		bob.send("SEND\ndestination:/user/k%2Fm/queue/kept\n\n2\x00")
		if got := w.epoch("/user/k%2Fm/queue/kept"); got == "" {
			t.Error("it has another name")
		}
		kim.send("SUBSCRIBE\nid:0\ndestination:/user/queue/kept\nhistory:9\nreceipt:1\n\n\x00")
		one := strings.Replace(keptMessage("/user/queue/kept", "0", "1", 1, "unread:2"), "subscription", "content-type:text/plain;charset=UTF-8\nsubscription", 1)
		two := keptMessage("/user/queue/kept", "0", "2", 2, "unread:2")
		kim.wantKept(one, two, receiptWith("1", "offset:E/2", "unread:2"))
		bob.send("SUBSCRIBE\nid:0\ndestination:/user/queue/kept\nhistory:9\nreceipt:1\n\n\x00")
		bob.wantKept(receiptWith("1", "offset:0", "unread:0"))
		kim.send("SEND\ndestination:/user/queue/kept\n\nmine\x00") // names no user: it goes nowhere
		bob.send("SEND\ndestination:/user/k%2Fm/queue/kept\n\n3\x00")
		kim.wantKept(keptMessage("/user/queue/kept", "0", "3", 3, "unread:3"))
		if err := w.broker.SendToSession(context.Background(), kim.session.ID(), "/queue/kept", "x"); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(kim.takeKept(), ""); !strings.Contains(got, "\n\nx^@") || strings.Contains(got, "offset") {
			t.Errorf("got %q", got)
		}
	})
}

func TestUnread(t *testing.T) {
	keeping(t, kept, Options{Login: byHeaders}, func(w *world, store *tap) {
		sender := w.connect("1.2", "login:sender")
		send := func(body string) { sender.send("SEND\ndestination:/topic/alarm/7\n\n" + body + "\x00") }
		send("1")
		send("2")
		kim, other := w.connect("1.2", "login:kim"), w.connect("1.2", "login:kim")
		kim.send("SUBSCRIBE\nid:0\ndestination:/topic/alarm/7\nreceipt:1\n\n\x00")
		kim.wantKept(receiptWith("1", "offset:E/2", "unread:2"))
		other.send("SUBSCRIBE\nid:0\ndestination:/topic/alarm/7\nhistory:1\nreceipt:1\n\n\x00")
		m := func(body string, offset int, unread string) string {
			return keptMessage("/topic/alarm/7", "0", body, offset, "unread:"+unread)
		}
		other.wantKept(m("2", 2, "2"), receiptWith("1", "offset:E/2", "unread:2"))
		send("3")
		kim.wantKept(m("3", 3, "3"))
		kim.send("SEND\ndestination:/topic/alarm/7\n\nmine\x00")
		kim.wantKept(m("mine", 4, "3"))
		other.wantKept(m("3", 3, "3"), m("mine", 4, "3"))

		mark := func(offset string) string {
			return "SEND\ndestination:/app/read\nreceipt:r\n\n" + `{"destination":"/topic/alarm/7","offset":"` + offset + `"}` + "\x00"
		}
		e := w.epoch("/topic/alarm/7")
		kim.send(mark(e + "/2"))
		kim.wantKept(receiptWith("r", "unread:1"))
		send("5")
		kim.wantKept(m("5", 5, "2"))
		other.wantKept(m("5", 5, "2")) // it has heard of it
		kim.send(mark(e + "/1"))       // does not go back
		kim.wantKept(receiptWith("r", "unread:2"))
		kim.send(mark("0"))
		kim.wantKept(receiptWith("r", "unread:2"))
		kim.send(mark(e + "/999"))
		kim.wantKept(receiptWith("r", "unread:0"))

		kim.send(strings.Replace(mark("0"), "/alarm/7", "/alarm/none", 1))
		kim.wantKept(receiptWith("r", "unread:0"))

		nobody := w.connect("1.2")
		nobody.send("SUBSCRIBE\nid:0\ndestination:/topic/alarm/7\nreceipt:1\n\n\x00")
		nobody.wantKept(receiptWith("1"))
		send("6")
		kim.wantKept(m("6", 6, "1"))
		nobody.wantKept(keptMessage("/topic/alarm/7", "0", "6", 6))

		store.fails(true) // who has not asked for anything that is kept is served all the same
		late := w.connect("1.2", "login:kim")
		late.send("SUBSCRIBE\nid:0\ndestination:/topic/alarm/7\nreceipt:1\n\n\x00")
		late.wantKept(receiptWith("1"))
	})
}

func TestMarksThatAreRefused(t *testing.T) {
	list := mustRules(t, []rules.Rule{
		{On: []rules.Action{rules.Subscribe}, To: []string{"/topic/alarm/secret"}},
		{Allow: true},
	}, rules.Options{})
	text := func(message, body string) string {
		return "ERROR\nmessage:" + strings.ReplaceAll(message, ":", `\c`) + "\nreceipt-id:1\ncontent-type:text/plain\ncontent-length:" + fmt.Sprint(len(body)) + "\n\n" + body + "^@"
	}
	bare := func(message string) string {
		return "ERROR\nmessage:" + strings.ReplaceAll(message, ":", `\c`) + "\nreceipt-id:1\ncontent-length:0\n\n^@"
	}
	illegal := text("Illegal body for /app/read", `it is {"destination":"/topic/x","offset":"EPOCH/OFFSET"}`)
	for _, c := range []struct{ login, body, want string }{
		{"kim", "", illegal},
		{"kim", "[]", illegal},
		{"kim", `{"offset":"a/1"}`, illegal},
		{"kim", `{"destination":7,"offset":"a/1"}`, illegal},
		{"kim", `{"destination":"/topic/alarm/7"}`, text("Illegal offset for /topic/alarm/7", "it is the offset of a MESSAGE, as it came")},
		{"kim", `{"destination":"/topic/alarm/7","offset":"a/-1"}`, text("Illegal offset for /topic/alarm/7", "it is the offset of a MESSAGE, as it came")},
		{"kim", `{"destination":"/topic/alarm/7","offset":"a/1"}`, text("The offset is not of /topic/alarm/7", "its history has begun anew: it is to be read again")},
		{"kim", `{"destination":"/topic/alarm/none","offset":"a/1"}`, text("The offset is not of /topic/alarm/none", "its history has begun anew: it is to be read again")},
		{"kim", `{"destination":"/topic/alarm/secret","offset":"a/1"}`, denied},
		{"kim", `{"destination":"/topic/alarm/*","offset":"a/1"}`, denied}, // which might be the secret one
		{"kim", `{"destination":"/topic/plain/a","offset":"a/1"}`, bare("Nothing unread is counted of /topic/plain/a")},
		{"kim", `{"destination":"/topic/fast/*","offset":"a/1"}`, bare("A pattern is not read: /topic/fast/*")},
		{"kim", `{"destination":"/app/read","offset":"a/1"}`, bare("Nothing unread is counted of /app/read")},
		{"kim", `{"destination":"/topic/` + strings.Repeat("x", 1024) + `","offset":"a/1"}`, bare("The limit of 1024 bytes of a destination has been exceeded")},
		{"", `{"destination":"/topic/alarm/7","offset":"a/1"}`, bare("Nothing unread is counted for a client without user")},
	} {
		keeping(t, kept, Options{Login: byHeaders, Rules: list}, func(w *world, _ *tap) {
			w.sendAll("/topic/alarm/7", "1")
			a := w.connect("1.2", "login:"+c.login)
			a.send("SEND\ndestination:/app/read\nreceipt:1\n\n" + c.body + "\x00")
			a.want(c.want, closed1002)
		})
	}
}

func TestStoreThatFails(t *testing.T) {
	keeping(t, kept, Options{Login: byHeaders}, func(w *world, store *tap) {
		watcher := w.connect("1.2")
		watcher.send("SUBSCRIBE\nid:0\ndestination:/topic/plain/a\n\n\x00SUBSCRIBE\nid:1\ndestination:/topic/other\n\n\x00")
		w.sendAll("/topic/alarm/7", "1")
		e := w.epoch("/topic/alarm/7")
		store.fails(true)
		const unavailable = "the store is not available"
		for sent, want := range map[string]string{
			"SEND\ndestination:/topic/plain/a\nreceipt:1\n\nx\x00":                                                          "ERROR\nmessage:Not stored\\c /topic/plain/a\nreceipt-id:1\ncontent-type:text/plain\ncontent-length:61\n\n" + unavailable + "; this message may have been stored^@",
			"SUBSCRIBE\nid:0\ndestination:/topic/plain/a\nhistory:1\nreceipt:1\n\n\x00":                                     "ERROR\nmessage:The history of /topic/plain/a is not available\nreceipt-id:1\ncontent-type:text/plain\ncontent-length:26\n\n" + unavailable + "^@",
			"SUBSCRIBE\nid:0\ndestination:/topic/alarm/7\nhistory:1\nreceipt:1\n\n\x00":                                     "ERROR\nmessage:The history of /topic/alarm/7 is not available\nreceipt-id:1\ncontent-type:text/plain\ncontent-length:26\n\n" + unavailable + "^@",
			"SEND\ndestination:/app/read\nreceipt:1\n\n{\"destination\":\"/topic/alarm/7\",\"offset\":\"" + e + "/1\"}\x00": "ERROR\nmessage:The history of /topic/alarm/7 is not available\nreceipt-id:1\ncontent-type:text/plain\ncontent-length:26\n\n" + unavailable + "^@",
		} {
			a := w.connect("1.2", "login:kim")
			a.send(sent)
			a.want(want, closed1013)
		}
		if n := w.broker.Stats().Unavailable.Load(); n != 4 {
			t.Errorf("%d are counted", n)
		}
		a := w.connect("1.2")
		a.send("SEND\ndestination:/topic/other\n\ny\x00")
		watcher.wantBodies("y")
		store.fails(false)
		time.Sleep(time.Minute)
		a.send("SEND\ndestination:/topic/plain/a\n\nz\x00")
		watcher.wantBodies("z")
	})
}

// What is kept is more than a client may leave unread: it gets it as it reads.
func TestCatchUpWaitsForTheClient(t *testing.T) {
	o := kept
	o.ResumeLimit, o.ResumeBytes = 1000, 4<<20
	keeping(t, o, Options{}, func(w *world, _ *tap) {
		const n = 300
		for i := range n {
			w.sendAll("/topic/plain/a", strings.Repeat("x", 10_000)+fmt.Sprint(i))
		}
		a := w.connect("1.2")
		a.stall()
		go a.send("SUBSCRIBE\nid:0\ndestination:/topic/plain/a\nhistory:1000\nreceipt:1\n\n\x00")
		synctest.Wait()
		if q := a.session.Queued(); q > window+20_000 || q == 0 {
			t.Errorf("%d bytes are queued", q)
		}
		w.sendAll("/topic/plain/a", "live")
		got := 0
		for range 10 * n {
			a.resume()
			time.Sleep(retryDelay)
			a.stall()
			got += len(a.take())
		}
		a.resume()
		if got += len(a.take()); got != n+2 {
			t.Errorf("%d messages, want %d", got, n+2)
		}
	})
}

// A client that goes in the middle of it leaves nothing.
func TestCatchUpOfAClientThatGoes(t *testing.T) {
	o := kept
	o.ResumeLimit, o.ResumeBytes = 1000, 4<<20
	keeping(t, o, Options{}, func(w *world, _ *tap) {
		for range 300 {
			w.sendAll("/topic/plain/a", strings.Repeat("x", 10_000))
		}
		a := w.connect("1.2")
		a.stall()
		go a.send("SUBSCRIBE\nid:0\ndestination:/topic/plain/a\nhistory:1000\nreceipt:1\n\n\x00")
		synctest.Wait()
		a.gone()
		time.Sleep(config.DisconnectDelay + time.Second)
	})
}

func TestHistoryOfOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, _ := handler.NewHub(handler.NewMemory())
		other, _ := handler.NewHub(handler.NewMemory())
		l, err := history.New(memorystore.New(memorystore.Options{}), hub, history.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for want, o := range map[string]Options{
			"Separator":       {History: l, Separator: "."},
			"Hub":             {History: l, Hub: other},
			"ReadDestination": {History: l, ReadDestination: "read"},
		} {
			if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})
}
