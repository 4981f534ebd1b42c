package stomp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

type greeting struct {
	Content string `json:"content"`
}

type hello struct {
	Name string `json:"name"`
}

const typedJSON = "content-type:application/json"

func TestFunctionAnswersOnATopic(t *testing.T) {
	bubble(t, Options{Login: byLogin}, func(w *world) {
		hi := Func(func(_ context.Context, r *Request, in hello) (greeting, error) {
			return greeting{"Hello, <" + in.Name + "> of " + r.Client.User()}, nil
		})
		w.broker.Handle("/hello", hi, Reply{To: []string{"/topic/greetings", "/topic/copies"}})
		w.broker.Handle("/default/{x}", hi, Reply{})
		c := w.user("ann", "/topic/greetings", "/topic/copies", "/topic/default/7")
		c.send("SEND\ndestination:/app/hello\nreceipt:1\nfoo:bar\n\n{\"name\":\"Bob\"}\x00")
		body := `{"content":"Hello, <Bob> of ann"}`
		c.want(message("/topic/greetings", "0", body, typedJSON), message("/topic/copies", "1", body, typedJSON), "RECEIPT\nreceipt-id:1\n\n^@")
		c.send("SEND\ndestination:/app/default/7\n\n{\"name\":\"Bob\"}\x00")
		c.want(message("/topic/default/7", "2", body, typedJSON))
	})
}

func TestVariablesStandInRepliesAndRequests(t *testing.T) {
	bubble(t, Options{Apps: []string{"/app", "/api/"}}, func(w *world) {
		w.broker.Handle("/rooms/{room}/{what}", func(_ context.Context, r *Request) (any, error) {
			if r.Variable("nothing") != "" || r.Path != "/rooms/{what}/x" || r.Headers.Value("foo") != "bar" {
				t.Errorf("request %+v", r)
			}
			return r.Destination + " " + r.Variable("room") + " " + r.Variable("what") + " " + string(r.Body), nil
		}, Reply{To: []string{"/topic/{room}/{what}"}})
		c := w.user("", "/topic/{what}/x")
		c.session.Send(nil) // something
		c.take()
		c.send("SUBSCRIBE\nid:all\ndestination:/topic/**\n\n\x00")
		c.send("SEND\ndestination:/api/rooms/{what}/x\nfoo:bar\n\nbody\x00")
		if got := strings.Join(c.take(), ""); !strings.Contains(got, "destination:/topic/{what}/x\n") || !strings.Contains(got, "/api/rooms/{what}/x {what} x body") {
			t.Errorf("got %q", got)
		}
	})
}

func TestMostSpecificFunctionIsTaken(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		for _, p := range []string{"/**", "/a/{x}", "/a/b", "/a/*/c"} {
			w.broker.Handle(p, func(context.Context, *Request) (any, error) { return p, nil }, Reply{To: []string{"/topic/r"}})
		}
		c := w.user("", "/topic/r")
		for _, path := range []string{"/a/b", "/a/c", "/a/b/c", "/z/z/z"} {
			c.send("SEND\ndestination:/app" + path + "\n\n\x00")
		}
		c.wantBodies("/a/b", "/a/{x}", "/a/*/c", "/**")
	})
}

func TestSubscribeIsAnsweredOnce(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.broker.HandleSubscribe("/list/{n}", func(_ context.Context, r *Request) (any, error) {
			return []string{r.Variable("n")}, nil
		}, Reply{})
		w.broker.HandleSubscribe("/broadcast", func(context.Context, *Request) (any, error) { return "x", nil }, Reply{To: []string{"/topic/b"}})
		w.broker.HandleSubscribe("/nothing", func(context.Context, *Request) (any, error) { return nil, nil }, Reply{})
		c := w.user("", "/topic/b")
		c.send("SUBSCRIBE\nid:s\ndestination:/app/list/7\nreceipt:1\n\n\x00")
		c.want(message("/app/list/7", "s", `["7"]`, typedJSON), "RECEIPT\nreceipt-id:1\n\n^@")
		c.send("SUBSCRIBE\nid:s\ndestination:/app/broadcast\n\n\x00")
		c.wantBodies("x")
		c.send("SUBSCRIBE\nid:s\ndestination:/app/nothing\n\n\x00UNSUBSCRIBE\nid:s\nreceipt:2\n\n\x00")
		c.want("RECEIPT\nreceipt-id:2\n\n^@")
		if n := w.broker.Stats().Subscriptions.Load(); n != 1 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

func TestErrorsAreAnswered(t *testing.T) {
	var log logBuffer
	errKnown := errors.New("known")
	bubble(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(w *world) {
		w.broker.Handle("/json", Func(func(_ context.Context, _ *Request, in hello) (any, error) { return in.Name, nil }), Reply{To: []string{"/topic/r"}})
		w.broker.Handle("/known", func(context.Context, *Request) (any, error) { return nil, fmt.Errorf("wrapped: %w", errKnown) }, Reply{})
		w.broker.Handle("/panic", func(context.Context, *Request) (any, error) { panic("oops") }, Reply{})
		w.broker.HandleError(func(_ context.Context, r *Request, err error) (any, error) {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				return "bad JSON for " + r.Path, nil
			}
			return nil, err
		}, Reply{})
		w.broker.HandleError(func(_ context.Context, _ *Request, err error) (any, error) {
			if errors.Is(err, errKnown) {
				return err.Error(), nil
			}
			return nil, err
		}, Reply{To: []string{"/topic/errors"}})
		c := w.user("", "/user/queue/errors", "/topic/errors", "/topic/r")
		c.send("SEND\ndestination:/app/json\n\n{\x00")
		c.want(message("/user/queue/errors", "0", "bad JSON for /json", "content-type:text/plain;charset=UTF-8"))
		c.send("SEND\ndestination:/app/known\n\n\x00")
		c.want(message("/topic/errors", "1", "wrapped: known", "content-type:text/plain;charset=UTF-8"))
		c.send("SEND\ndestination:/app/panic\nreceipt:1\n\n\x00") // is logged only
		c.want("RECEIPT\nreceipt-id:1\n\n^@")
		c.send("SEND\ndestination:/app/json\n\n{\"name\":\"x\"}\x00")
		c.wantBodies("x")
		if n := w.broker.Stats().HandlerErrors.Load(); n != 3 {
			t.Errorf("%d errors", n)
		}
	})
	if s := log.String(); !strings.Contains(s, "oops") || !strings.Contains(s, "route_test.go") || strings.Contains(s, "known") {
		t.Errorf("log: %s", s)
	}
}

func TestNextFrameWaitsForTheFunction(t *testing.T) {
	bubble(t, Options{HeartbeatSend: 3 * time.Second}, func(w *world) {
		w.broker.Handle("/slow", func(ctx context.Context, r *Request) (any, error) {
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return string(r.Body), nil
		}, Reply{To: []string{"/topic/r"}})
		c := w.connect("1.2", "heart-beat:0,3000")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/r\n\n\x00")
		go c.send("SEND\ndestination:/app/slow\n\n1\x00SEND\ndestination:/topic/r\n\n2\x00")
		time.Sleep(9999 * time.Millisecond)
		c.want("\n", "\n", "\n")
		time.Sleep(2 * time.Millisecond)
		c.wantBodies("1", "2")
		go c.send("SEND\ndestination:/app/slow\n\n1\x00")
		time.Sleep(time.Second)
		c.gone() // ends ctx
	})
}

func TestPayloadsBecomeBodies(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		sockjs := w.open("xhr-streaming")
		sockjs.connect("1.2")
		sockjs.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		for _, c := range []struct {
			payload any
			body    string
			headers []string
		}{
			{5, "5", []string{typedJSON}},
			{"text", "text", []string{"content-type:text/plain;charset=UTF-8"}},
			{[]byte("octets"), "octets", []string{"content-type:application/octet-stream"}},
			{json.RawMessage(`{ }`), "{ }", []string{typedJSON}},
			{hello{"<Bob>"}, `{"name":"<Bob>"}`, []string{typedJSON}},
			{nil, "", nil},
			{[]string(nil), "[]", []string{typedJSON}},
			{map[string]int(nil), "{}", []string{typedJSON}},
			{nilList(nil), `"none"`, []string{typedJSON}},  // has JSON of its own
			{nilNames(nil), `"none"`, []string{typedJSON}}, // has a text of its own
			{json.RawMessage(nil), "", []string{typedJSON}},
			{blob(nil), "null", []string{typedJSON}}, // a text in JSON, and no list
			{Message{Payload: []int(nil)}, "[]", []string{typedJSON}},
			{[]byte(nil), "", []string{"content-type:application/octet-stream"}},
			{struct{ A []int }{}, `{"A":null}`, []string{typedJSON}},
			{Message{Headers: Headers{{Name: "foo", Value: "bar"}, {Name: "destination", Value: "forged"}}, Payload: "x"}, "x",
				[]string{"content-type:text/plain;charset=UTF-8", "foo:bar"}},
			{&Message{Headers: Headers{{Name: "content-type", Value: "text/html"}}, Payload: "x"}, "x", []string{"content-type:text/html"}},
		} {
			if err := w.broker.Send(t.Context(), "/topic/a", c.payload); err != nil {
				t.Error(err)
			}
			sockjs.want(message("/topic/a", "0", c.body, c.headers...))
		}
		if err := w.broker.Send(t.Context(), "/topic/a", func() {}); err == nil {
			t.Error("a function is sent")
		}
		for _, destination := range []string{"/nowhere", "", "/app/x", "/user/", "/user/bob", "/user/bob/"} {
			if err := w.broker.Send(t.Context(), destination, "x"); err != ErrDestination {
				t.Errorf("%s: got %v", destination, err)
			}
		}
	})
}

// A nilList has JSON of its own.
type nilList []int

func (nilList) MarshalJSON() ([]byte, error) { return []byte(`"none"`), nil }

// nilNames have a text of their own.
type nilNames []string

func (nilNames) MarshalText() ([]byte, error) { return []byte("none"), nil }

// A blob is bytes by another name.
type blob []byte

func TestNilSliceIsAnEmptyReply(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.broker.HandleSubscribe("/members", Func(func(context.Context, *Request, []byte) ([]string, error) { return nil, nil }), Reply{})
		w.user("", "/app/members").wantBodies("[]")
	})
}

func TestNilPointerIsNoReply(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.broker.Handle("/nil", Func(func(context.Context, *Request, []byte) (*greeting, error) { return nil, nil }), Reply{To: []string{"/topic/r"}})
		w.broker.Handle("/empty", Func(func(context.Context, *Request, []byte) ([]int, error) { return []int{}, nil }), Reply{To: []string{"/topic/r"}})
		c := w.user("", "/topic/r")
		c.send("SEND\ndestination:/app/nil\n\nx\x00SEND\ndestination:/app/empty\n\nx\x00")
		c.wantBodies("[]")
	})
}

// A broken reply panics, or fails, when it is encoded.
type brokenReply struct{ panics bool }

func (r brokenReply) MarshalJSON() ([]byte, error) {
	if r.panics {
		panic("oops")
	}
	return nil, errors.New("no JSON")
}

func TestEncodingIsPartOfTheFunction(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		for path, panics := range map[string]bool{"/panic": true, "/fail": false} {
			h := func(context.Context, *Request) (any, error) { return brokenReply{panics}, nil }
			w.broker.Handle(path, h, Reply{})
			w.broker.HandleSubscribe(path, h, Reply{})
		}
		w.broker.HandleError(func(_ context.Context, r *Request, err error) (any, error) {
			return brokenReply{true}, nil
		}, Reply{})
		w.broker.HandleError(func(_ context.Context, r *Request, err error) (any, error) { return r.Path, nil }, Reply{})
		c := w.user("", "/user/queue/errors")
		for _, path := range []string{"/panic", "/fail"} {
			c.send("SEND\ndestination:/app" + path + "\n\n\x00")
			c.wantBodies(path)
			c.send("SUBSCRIBE\nid:s\ndestination:/app" + path + "\n\n\x00")
			c.wantBodies(path)
		}
		if n := w.broker.Stats().HandlerErrors.Load(); n != 4 {
			t.Errorf("%d errors", n)
		}
	})
}

func TestNilMessageIsNoReply(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		w.broker.Handle("/nil", func(context.Context, *Request) (any, error) { return (*Message)(nil), nil }, Reply{To: []string{"/topic/r"}})
		c := w.user("", "/topic/r")
		c.send("SEND\ndestination:/app/nil\nreceipt:1\n\n\x00")
		c.want("RECEIPT\nreceipt-id:1\n\n^@")
		if err := w.broker.Send(t.Context(), "/topic/r", (*Message)(nil)); err != nil {
			t.Error(err)
		}
		c.wantBodies("")
	})
}

func TestPathsWithDots(t *testing.T) {
	bubble(t, Options{Separator: "."}, func(w *world) {
		w.broker.Handle("red.{x}", func(_ context.Context, r *Request) (any, error) { return r.Path + " " + r.Variable("x"), nil }, Reply{})
		c := w.user("", "/topic/red.blue")
		c.send("SEND\ndestination:/app/red.blue\n\n\x00")
		c.wantBodies("red.blue blue")
	})
}

// As @MessageMapping("hello") is @MessageMapping("/hello").
func TestPatternGetsItsLeadingSlash(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		hi := func(_ context.Context, r *Request) (any, error) { return r.Path + r.Variable("x"), nil }
		w.broker.Handle("hello", hi, Reply{})
		w.broker.Handle("{x}/b", hi, Reply{})
		w.broker.HandleSubscribe("members", hi, Reply{})
		c := w.user("", "/topic/hello", "/topic/a/b", "/app/members")
		c.send("SEND\ndestination:/app/hello\n\n\x00SEND\ndestination:/app/a/b\n\n\x00")
		c.wantBodies("/members", "/hello", "/a/ba")
	})
}

func TestWrongPatternsPanic(t *testing.T) {
	for _, e := range []struct {
		options Options
		pattern string
	}{
		{Options{}, "/a"}, // handled already
		{Options{}, "a"},
		{Options{}, "/{x"},
		{Options{Separator: "."}, "/a"},
		{Options{Separator: "."}, ".a"},
		{Options{Topics: []string{"/topic", "/app/public"}}, "/public/{x}"}, // a topic, and no path
		{Options{Topics: []string{"/topic", "/app/public"}}, "/public"},
		{Options{UserPrefix: "/app/user"}, "/user/{x}/y"},
	} {
		b, err := New(e.options)
		if err != nil {
			t.Fatal(err)
		}
		b.Handle("a", nil, Reply{})
		mustPanic(t, e.pattern, func() { b.Handle(e.pattern, nil, Reply{}) })
		b.Close()
	}
	for _, o := range []Options{{Apps: []string{}}, {Topics: []string{"/"}}, {Topics: []string{"/app"}}} {
		b, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		mustPanic(t, "no prefix of the application", func() { b.Handle("/a", nil, Reply{}) })
		mustPanic(t, "no prefix of the application", func() { b.HandleSubscribe("/a", nil, Reply{}) })
		b.Close()
	}
}

// Patterns of which some paths are the application's are none of those.
func TestPatternsThatMeetATopicAreTaken(t *testing.T) {
	b, err := New(Options{Topics: []string{"/topic", "/app/public"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, pattern := range []string{"/**", "/{x}/y", "/pub?ic/x", "/publicity/{x}", "/public{x}", "/x", "/"} {
		b.Handle(pattern, nil, Reply{})
	}
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}
