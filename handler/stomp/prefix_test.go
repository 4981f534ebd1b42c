package stomp

import (
	"context"
	"errors"
	"testing"
)

// What becomes of a message for a destination, where two clients have subscribed
// to it and a third sends it.
const (
	both     = "both get it"                  // as every topic in Spring
	one      = "one gets it"                  // a queue
	function = "a function gets it"           // of the application
	user     = "it is a user's"               // whose sessions get it
	nobody   = "it belongs to no destination" // is dropped, and said to be
)

// What a destination is, by the prefixes that are configured. Where Spring's
// simple broker delivers to both, so does this one.
var prefixTests = []struct {
	options     Options
	destination string
	want        string
}{
	// The defaults are Spring's simple broker: no queues.
	{Options{}, "/topic/a", both},
	{Options{}, "/queue/a", both},
	{Options{}, "/app/a", function},
	{Options{}, "/user/bob/queue/a", user},
	{Options{}, "/nowhere/a", nobody},
	{Options{}, "/app", nobody},
	{Options{}, "/user", nobody},

	// An empty list is none.
	{Options{Topics: []string{}}, "/topic/a", nobody},
	{Options{Apps: []string{}}, "/app/a", nobody},
	{Options{Topics: []string{"/topic", "/queue"}, Queues: []string{}}, "/queue/a", both},

	// A prefix that is given takes the place of a default.
	{Options{Topics: []string{"/topic", "/queue"}}, "/queue/a", both},
	{Options{Topics: []string{"/topic", "/queue"}, Queues: []string{"/q"}}, "/queue/a", both},
	{Options{Topics: []string{"/topic", "/queue"}, Queues: []string{"/q"}}, "/q/a", one},
	{Options{Topics: []string{"/topic", "/queue"}, Queues: []string{"/work"}}, "/queue/a", both},
	{Options{Queues: []string{"/queue"}}, "/queue/a", one},
	{Options{Queues: []string{"/queue/"}}, "/queue/a", one},
	{Options{Queues: []string{"/queue"}}, "/topic/a", both},
	{Options{Queues: []string{"/topic"}}, "/topic/a", one},
	{Options{Queues: []string{"/topic"}}, "/queue/a", both},
	{Options{Topics: []string{"/app"}}, "/app/a", both},
	{Options{Queues: []string{"/app"}}, "/app/a", one},
	{Options{Apps: []string{"/queue"}}, "/queue/a", function},
	{Options{Apps: []string{"/queue"}}, "/topic/a", both},
	{Options{UserPrefix: "/app"}, "/app/bob/a", user},
	{Options{Topics: []string{"/sub"}, Apps: []string{"/pub"}}, "/sub/room/3", both},
	{Options{Topics: []string{"/sub"}, Apps: []string{"/pub"}}, "/pub/room/3", function},
	{Options{Topics: []string{"/sub"}, Apps: []string{"/pub"}}, "/topic/a", nobody},
	{Options{Apps: []string{"/app", "/pub"}}, "/pub/a", function},

	// The longest prefix decides.
	{Options{Topics: []string{"/topic", "/queue/notice"}}, "/queue/notice/1", both},
	{Options{Topics: []string{"/topic", "/queue/notice"}, Queues: []string{"/queue"}}, "/queue/notice/1", both},
	{Options{Topics: []string{"/topic", "/queue/notice"}, Queues: []string{"/queue"}}, "/queue/work/1", one},
	{Options{Topics: []string{"/topic", "/queue"}, Queues: []string{"/queue/work"}}, "/queue/work/1", one},
	{Options{Topics: []string{"/topic", "/queue"}, Queues: []string{"/queue/work"}}, "/queue/a", both},
	{Options{Queues: []string{"/queue/work"}}, "/queue/a", both},
	{Options{Topics: []string{"/topic", "/app/public"}}, "/app/public/1", both},
	{Options{Topics: []string{"/topic", "/app/public"}}, "/app/a", function},
	{Options{Topics: []string{"/"}}, "/anything/a", both},
	{Options{Topics: []string{"/"}}, "/queue/a", both},
	{Options{Topics: []string{"/"}}, "/app/a", both},
	{Options{Topics: []string{"/"}, Queues: []string{"/queue"}}, "/queue/a", one},
	{Options{Topics: []string{"/"}, Apps: []string{"/app"}}, "/app/a", function},
	{Options{Topics: []string{"/"}, Apps: []string{"/app"}}, "/app", both},
	{Options{Topics: []string{"/"}, Apps: []string{"/app"}}, "/apple/a", both},
	{Options{Topics: []string{"/"}, Apps: []string{"/app"}}, "/topic/a", both},
	{Options{Topics: []string{"/"}, Apps: []string{"/app"}}, "/user/bob/a", both},
	{Options{Topics: []string{"/topic"}, Queues: []string{"/"}, Apps: []string{"/app"}}, "/app/a", function},
	{Options{Topics: []string{"/topic"}, Queues: []string{"/"}, Apps: []string{"/app"}}, "/anything/a", one},
	{Options{Topics: []string{"/topic"}, Queues: []string{"/"}}, "/topic/a", both},
	{Options{Topics: []string{"/topic"}, Queues: []string{"/"}}, "/anything/a", one},
	{Options{Apps: []string{"/"}}, "/hello", function},
	{Options{Apps: []string{"/"}}, "/topic/a", both},
	{Options{Apps: []string{"/"}}, "/user/bob/queue/a", user},

	// A prefix ends with a segment. Where none does, letters count, as in Spring.
	{Options{Topics: []string{"/topic", "/queues"}}, "/queues/1", both},
	{Options{Topics: []string{"/topic", "/queues"}, Queues: []string{"/queue"}}, "/queues/1", both},
	{Options{Topics: []string{"/topic"}, Queues: []string{"/topic/work"}}, "/topic/worker/1", both},
	{Options{Topics: []string{"/topic"}, Queues: []string{"/topic/work"}}, "/topic/work", one},
	{Options{Topics: []string{"/topic", "/apple"}}, "/apple/1", both},
	{Options{Apps: []string{"/app", "/topical"}}, "/topical/1", function},
	{Options{Topics: []string{"/to"}, Queues: []string{"/topic"}}, "/topics/a", one},
	{Options{Topics: []string{"/topic"}, Queues: []string{"/to"}}, "/topics/a", both},
	{Options{}, "/topics/a", both},
	{Options{}, "/topic.a", both},
	{Options{}, "/apple", nobody},
	{Options{}, "/users/bob/a", nobody},
	{Options{Topics: []string{"/topic/", "/alarm/"}}, "/alarm/7", both},
	{Options{Topics: []string{"/topic/"}}, "/topics/a", nobody},
	{Options{Apps: []string{"/app/"}}, "/app/a", function},
	{Options{Separator: ".", Queues: []string{"/topic.work"}}, "/topic.work.1", one},
	{Options{Separator: ".", Queues: []string{"/topic.work"}}, "/topic.worker.1", both},
	{Options{Separator: ".", Topics: []string{"/topic"}, Queues: []string{"/topic/wor"}}, "/topic/work", both},
	{Options{Separator: ".", Topics: []string{"/topic."}, Queues: []string{"/topic.wor"}}, "/topic.work", both},
	{Options{Separator: ".", Apps: []string{"/"}}, "/hello", function},

	// A user's destination may be a topic, too.
	{Options{Topics: []string{"/user"}}, "/user/kim/alarm", both},
	{Options{Topics: []string{"/user/kim"}}, "/user/kim/alarm", both},
	{Options{Topics: []string{"/"}}, "/user/kim/alarm", both},
	{Options{Topics: []string{"/topic"}, Queues: []string{"/"}}, "/user/bob/queue/a", user},
	{Options{UserPrefix: "/topic/user"}, "/topic/user/bob/a", both},
	{Options{UserPrefix: "/topic/user"}, "/topic/user/bob", both},
	{Options{Topics: []string{"/user"}}, "/user/bob", both},
	{Options{Topics: []string{"/"}}, "/user/bob/", both},
	{Options{UserPrefix: "/queue/user", Queues: []string{"/queue"}}, "/queue/user/bob/a", user},
	{Options{UserPrefix: "/app/user"}, "/app/user/bob/a", user},
	{Options{UserPrefix: "/secret/"}, "/secret/bob/a", user},
}

func TestPrefixDecidesWhatADestinationIs(t *testing.T) {
	for _, e := range prefixTests {
		bubble(t, e.options, func(w *world) {
			if got := w.fate(e.destination); got != e.want {
				t.Errorf("Topics %q, Queues %q, Apps %q, UserPrefix %q, %s: %s; want %s",
					e.options.Topics, e.options.Queues, e.options.Apps, e.options.UserPrefix, e.destination, got, e.want)
			}
		})
	}
}

// fate is what becomes of a message for a destination.
func (w *world) fate(destination string) string {
	functions := 0
	if len(w.broker.options.Apps) > 0 {
		w.broker.Handle("**", func(context.Context, *Request) (any, error) { functions++; return nil, nil }, Reply{})
		w.broker.HandleSubscribe("**", func(context.Context, *Request) (any, error) { return nil, nil }, Reply{})
	}
	subscribe := "SUBSCRIBE\nid:0\ndestination:" + destination + "\n\n\x00"
	a, b, sender := w.connect("1.2"), w.connect("1.2"), w.connect("1.2")
	a.send(subscribe)
	b.send(subscribe)
	subscribed := w.broker.Stats().Dropped.Load() == 0
	sender.send("SEND\ndestination:" + destination + "\nreceipt:1\n\nx\x00")
	sender.want(receipt + "1\n\n^@")
	got := len(a.bodies()) + len(b.bodies())
	s := w.broker.Stats()
	sent := w.broker.Send(context.Background(), destination, "x")
	switch {
	case got == 2 && s.Dropped.Load() == 0 && sent == nil:
		return both
	case got == 1 && s.Dropped.Load() == 0 && sent == nil:
		return one
	case functions == 1 && s.Dropped.Load() == 0 && s.Subscriptions.Load() == 0 && sent != nil:
		return function
	case s.Dropped.Load() == 3 && !subscribed && errors.Is(sent, ErrDestination):
		return nobody
	case s.Dropped.Load() == 0 && s.Queued.Load() == 0 && sent == nil && w.broker.isUser(destination):
		return user
	}
	return "it is taken, and nobody gets it"
}

// A broker of Spring's takes /queue as any other topic: with patterns, to all who
// subscribe, to nobody where nobody has.
func TestQueueIsATopicUnlessConfigured(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		a, b, sender := w.connect("1.2"), w.connect("1.2"), w.connect("1.2")
		sender.send("SEND\ndestination:/queue/price.a\n\nearly\x00")
		a.send("SUBSCRIBE\nid:0\ndestination:/queue/price.*\n\n\x00")
		b.send("SUBSCRIBE\nid:0\ndestination:/queue/price.a\nack:client\n\n\x00")
		sender.send("SEND\ndestination:/queue/price.a\n\nx\x00")
		a.wantBodies("x")
		b.wantBodies("x")
	})
}

// What cannot be decided is refused, in words that say what to do.
func TestPrefixesThatAreUnclearAreRefused(t *testing.T) {
	for _, e := range []struct {
		options Options
		want    string
	}{
		{Options{Topics: []string{"topic"}}, `stomp: Topics[0] is "topic"; it must begin with /, such as /topic`},
		{Options{Topics: []string{"/topic", ""}}, `stomp: Topics[1] is ""; it must begin with /, such as /topic`},
		{Options{Queues: []string{"queue"}}, `stomp: Queues[0] is "queue"; it must begin with /, such as /topic`},
		{Options{Apps: []string{"app"}}, `stomp: Apps[0] is "app"; it must begin with /, such as /topic`},
		{Options{Topics: []string{"/topic/**"}}, `stomp: Topics[0] is "/topic/**"; it must be how destinations begin, such as /topic, and no pattern`},
		{Options{Apps: []string{"/app/{x}"}}, `stomp: Apps[0] is "/app/{x}"; it must be how destinations begin, such as /topic, and no pattern`},
		{Options{UserPrefix: "/user/*"}, `stomp: UserPrefix is "/user/*"; it must begin with /, be more than that, and no pattern: /user, say`},
		{Options{Topics: []string{"/a", "/a"}}, `stomp: Topics[1] is "/a"; it must not be given twice`},
		{Options{Topics: []string{"/a", "/a/"}}, `stomp: Topics[1] is "/a/"; it must not be given twice`},
		{Options{Topics: []string{"/topic", "/queue"}, Queues: []string{"/queue"}},
			`stomp: Queues[0] is "/queue"; it must not be a prefix of topics, too: leave it out of one of the two`},
		{Options{Topics: []string{"/"}, Queues: []string{"/"}},
			`stomp: Queues[0] is "/"; it must not be a prefix of topics, too: leave it out of one of the two`},
		{Options{Topics: []string{"/topic"}, Apps: []string{"/app", "/topic"}},
			`stomp: Apps[1] is "/topic"; it must not be a prefix of topics, too: leave it out of one of the two`},
		{Options{Queues: []string{"/q"}, Apps: []string{"/q/"}},
			`stomp: Apps[0] is "/q/"; it must not be a prefix of queues, too: leave it out of one of the two`},
		{Options{Topics: []string{"/topic"}, Apps: []string{"/topic/app"}},
			`stomp: Apps[0] is "/topic/app"; it must not be within "/topic", a prefix of topics: a frame goes to functions or to subscribers, not to both; choose another`},
		{Options{Topics: []string{"/"}, Apps: []string{"/"}},
			`stomp: Apps[0] is "/"; it must not be a prefix of topics, too: leave it out of one of the two`},
		{Options{Apps: []string{"/queue/app"}},
			`stomp: Apps[0] is "/queue/app"; it must not be within "/queue", a prefix of topics: a frame goes to functions or to subscribers, not to both; choose another`},
		{Options{Queues: []string{"/queue"}, Apps: []string{"/queue/app"}},
			`stomp: Apps[0] is "/queue/app"; it must not be within "/queue", a prefix of queues: a frame goes to functions or to subscribers, not to both; choose another`},
		{Options{Apps: []string{"/user"}}, `stomp: Apps[0] is "/user"; it must not be a prefix of users, too: leave it out of one of the two`},
		{Options{Queues: []string{"/user"}}, `stomp: Queues[0] is "/user"; it must not be within "/user", the prefix of users: choose another`},
		{Options{Queues: []string{"/user/queue"}}, `stomp: Queues[0] is "/user/queue"; it must not be within "/user", the prefix of users: choose another`},
	} {
		_, err := New(e.options)
		var option *OptionError
		if err == nil || err.Error() != e.want || !errors.As(err, &option) {
			t.Errorf("Topics %q, Queues %q, Apps %q: %v\nwant %s", e.options.Topics, e.options.Queues, e.options.Apps, err, e.want)
		}
	}
}
