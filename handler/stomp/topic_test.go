package stomp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"switchback/handler"
	"switchback/handler/stomp/frame"
	"switchback/session"
)

func TestSubscribersGetWhatIsSent(t *testing.T) {
	bubble(t, Options{Topics: []string{"/topic", "/alarm"}}, func(w *world) {
		a, b := w.connect("1.2"), w.connect("1.1")
		a.send("SUBSCRIBE\nid:sub-0\ndestination:/topic/a\nreceipt:1\n\n\x00")
		a.want("RECEIPT\nreceipt-id:1\n\n^@")
		b.send("SUBSCRIBE\nid:x:y\ndestination:/topic/a\n\n\x00")
		b.send("SEND\ndestination:/topic/a\ncontent-type:text/plain\nfoo:bar\nreceipt:r\npasscode:p\nsubscription:forged\n\nhello\x00")
		a.want(message("/topic/a", "sub-0", "hello", "content-type:text/plain", "foo:bar"))
		b.want(message("/topic/a", `x\cy`, "hello", "content-type:text/plain", "foo:bar"), "RECEIPT\nreceipt-id:r\n\n^@")
		b.send("SEND\ndestination:/alarm/7\n\nx\x00SEND\ndestination:/topic/b\n\nx\x00")
		a.want()
		a.send("UNSUBSCRIBE\nid:sub-0\nreceipt:2\n\n\x00")
		b.send("SEND\ndestination:/topic/a\n\nagain\x00")
		a.want("RECEIPT\nreceipt-id:2\n\n^@")
		b.wantBodies("again")
	})
}

// A sender of a version where blanks count does not get by them what it could not
// have otherwise, with a subscriber of one where they do not.
func TestBlanksForgeNoMessage(t *testing.T) {
	for _, versions := range [][2]string{{"1.2", "1.0"}, {"1.1", "1.0"}, {"1.2", "1.1"}, {"1.2", "1.2"}} {
		bubble(t, Options{Queues: someQueues}, func(w *world) {
			sender, a := w.connect(versions[0]), w.connect(versions[1])
			a.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\x00")
			const forged = "content-length :1\n\\nsubscription:9\nmessage-id\t:9\n destination:/topic/b\npasscode :p\n\nx\x00"
			sender.send("SEND\ndestination:/topic/a\n" + forged + "SEND\ndestination:/queue/a\n" + forged)
			a.want(message("/topic/a", "0", "x"), message("/queue/a", "1", "x"))
		})
	}
}

func TestEachSubscriptionGetsItsOwnMessage(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		c.send("SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\x00")
		c.send("SEND\ndestination:/topic/a\n\nx\x00")
		got := strings.Join(c.take(), "")
		if strings.Count(got, "MESSAGE") != 2 || !strings.Contains(got, "subscription:0\n") || !strings.Contains(got, "subscription:1\n") {
			t.Errorf("got %q", got)
		}
	})
}

func TestFirstSubscriptionOfAnIDStays(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/b\nreceipt:1\n\n\x00")
		c.send("SEND\ndestination:/topic/a\n\na\x00SEND\ndestination:/topic/b\n\nb\x00")
		c.want("RECEIPT\nreceipt-id:1\n\n^@", message("/topic/a", "0", "a"))
	})
}

func TestSubscriptionsOf10NeedNoID(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.0")
		c.send("SUBSCRIBE\ndestination:/topic/a\n\n\x00SUBSCRIBE\ndestination:/topic/b\n\n\x00SUBSCRIBE\nid:7\ndestination:/topic/c\n\n\x00")
		c.send("SEND\ndestination:/topic/a\na:b\\c\n\nx\x00")
		c.want("MESSAGE\ndestination:/topic/a\na:b\\c\nmessage-id:*\ncontent-length:1\n\nx^@")
		c.send("UNSUBSCRIBE\ndestination:/topic/a\n\n\x00")
		c.send("SEND\ndestination:/topic/a\n\nx\x00SEND\ndestination:/topic/b\n\ny\x00SEND\ndestination:/topic/c\n\nz\x00")
		c.want("MESSAGE\ndestination:/topic/b\nmessage-id:*\ncontent-length:1\n\ny^@", message("/topic/c", "7", "z"))
	})
}

func TestHeadersAreEscapedForEachVersion(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		v12, v11, v10 := w.connect("1.2"), w.connect("1.1"), w.connect("1.0")
		for _, c := range []*client{v12, v11, v10} {
			c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		}
		v12.send("SEND\ndestination:/topic/a\n" + `f:a\cb\nc\\d\re` + "\n\n\x00")
		v12.want(message("/topic/a", "0", "", `f:a\cb\nc\\d\re`))
		v11.want(message("/topic/a", "0", "", `f:a\cb\nc\\d`+"\re"))
		v10.want(message("/topic/a", "0", "", `f:a:b c\d e`))
	})
}

func TestAckHeaderIsThereWhereItIsAsked(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		a, b := w.connect("1.2"), w.connect("1.1")
		a.send("SUBSCRIBE\nid:0\ndestination:/topic/a\nack:client\n\n\x00SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\x00")
		b.send("SUBSCRIBE\nid:0\ndestination:/topic/a\nack:client-individual\n\n\x00")
		b.send("SEND\ndestination:/topic/a\n\nx\x00")
		b.want(message("/topic/a", "0", "x"))
		got := strings.Join(a.take(), "")
		if strings.Count(got, "\nack:") != 1 || !strings.Contains(got, "subscription:0\nmessage-id:*\nack:*\n") {
			t.Errorf("got %q", got)
		}
		a.send("ACK\nid:what-1-1\nreceipt:1\n\n\x00NACK\nid:unknown\nreceipt:2\n\n\x00") // no effect
		a.want("RECEIPT\nreceipt-id:1\n\n^@", "RECEIPT\nreceipt-id:2\n\n^@")
	})
}

func TestAckHeaderIsNotForOthers(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		var clients []*client
		for i := range 20 {
			c := w.connect("1.2")
			c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\nack:" + []string{"auto", "client"}[i%2] + "\n\n\x00")
			clients = append(clients, c)
		}
		w.broker.Send(t.Context(), "/topic/a", "x")
		for i, c := range clients {
			if got := strings.Count(c.take()[0], "\nack:"); got != i%2 {
				t.Errorf("client %d has %d ack headers", i, got)
			}
		}
	})
}

func TestOctetsGoAsBinaryAndTextAsText(t *testing.T) {
	const high = "\xed\xa0\xbd" // a lone surrogate
	for _, c := range []struct{ name, contentType, body, native, sockjs string }{
		{"text", "", "héllo", "héllo", "héllo"},
		{"octets", "application/octet-stream", "héllo", "BINARY héllo", "héllo"},
		{"octets with a parameter", "Application/Octet-Stream; x=y", "x", "BINARY x", "x"},
		{"empty octets", "application/octet-stream", "", "", ""},
		{"no text", "", "a\xffb", "BINARY a\xffb", "a\uFFFDb"},
		{"no text by its type", "text/plain", "\xff\xfe", "BINARY \xff\xfe", "\uFFFD\uFFFD"},
		{"lone surrogate", "", "a" + high, "a" + high, "a" + high},
		{"NUL", "", "a\x00b", "a\x00b", "a\x00b"},
	} {
		bubble(t, Options{}, func(w *world) {
			native, native2, sockjs := w.connect("1.2"), w.connect("1.2"), w.open("websocket")
			sockjs.connect("1.2")
			for _, x := range []*client{native, native2, sockjs} {
				x.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
			}
			var header []string
			if c.contentType != "" {
				header = []string{"content-type:" + c.contentType}
			}
			native.sendBinary(fmt.Sprintf("SEND\ndestination:/topic/a\n%scontent-length:%d\n\n%s\x00", lines(header), len(c.body), c.body))
			want := message("/topic/a", "0", strings.ReplaceAll(strings.TrimPrefix(c.native, "BINARY "), "\x00", "^@"), header...)
			if strings.HasPrefix(c.native, "BINARY ") {
				want = "BINARY " + want
			}
			native.want(want)
			native2.want(want)
			sockjs.want(message("/topic/a", "0", strings.ReplaceAll(c.sockjs, "\x00", "^@"), header...))
		})
	}
}

func TestHalvesOfACharacterArriveWhole(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.open("websocket")
		c.connect("1.1")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		c.send("SEND\ndestination:/topic/a\ncontent-length:5\n\na\xed\xa0\xbd", "\xed\xb8\x80\x00")
		c.want(message("/topic/a", "0", "a\U0001F600"))
	})
}

func TestPatternsGetWhatMatches(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.2")
		for id, destination := range []string{"/topic/*", "/topic/**", "/topic/{a}/x", "/topic/price.stock.*", "/topic/a?", "/topic/1{n}", "/topic/exact"} {
			c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:%s\n\n\x00", id, destination))
		}
		for _, e := range []struct{ destination, want string }{
			{"/topic/a", "01"}, {"/topic/ab", "014"}, {"/topic", "1"}, {"/topic/a/x", "12"}, {"/topic/price.stock.x", "013"},
			{"/topic/17", "015"}, {"/topic/exact", "016"}, {"/topic/a/b/c", "1"}, {"/topical/x", ""},
		} {
			c.send("SEND\ndestination:" + e.destination + "\n\nx\x00")
			got := make([]string, 7)
			for _, m := range c.take() {
				_, id, _ := strings.Cut(m, "subscription:")
				got[id[0]-'0'] = id[:1]
				if !strings.Contains(m, "destination:"+e.destination+"\n") {
					t.Errorf("%s: %q", e.destination, m)
				}
			}
			if s := strings.Join(got, ""); s != e.want {
				t.Errorf("%s: got %s, want %s", e.destination, s, e.want)
			}
		}
		for id := range 6 {
			c.send(fmt.Sprintf("UNSUBSCRIBE\nid:%d\n\n\x00", id))
		}
		c.send("SEND\ndestination:/topic/exact\n\nx\x00")
		c.want(message("/topic/exact", "6", "x"))
	})
}

func TestSegmentsMayEndWithADot(t *testing.T) {
	bubble(t, Options{Separator: "."}, func(w *world) {
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/price.*\n\n\x00")
		c.send("SEND\ndestination:/topic/price.a\n\n1\x00SEND\ndestination:/topic/price.a.b\n\n2\x00SEND\ndestination:/topic/price.a/b\n\n3\x00")
		c.wantBodies("1", "3")
	})
}

func TestPatternOfAClientIsSmall(t *testing.T) {
	for _, destination := range []string{`/topic/{x\c\\p{L}+}`, `/topic/{x\ca{1000}}`, `/topic/{x\c[}`, `/topic/{x\c7}`, `/topic/*{`, "/topic/" + strings.Repeat("*", 194)} {
		bubble(t, Options{}, func(w *world) {
			c := w.connect("1.2")
			c.send("SUBSCRIBE\nid:0\ndestination:" + destination + "\n\n\x00")
			if got := c.take(); len(got) != 2 || !strings.HasPrefix(got[0], "ERROR\nmessage:Illegal pattern\\c ") {
				t.Errorf("%s: got %q", destination, got)
			}
		})
	}
}

func TestUnroutedFramesAreDropped(t *testing.T) {
	frames := []string{
		"SEND\ndestination:/nowhere\nreceipt:1\n\nx\x00",
		"SEND\nreceipt:1\n\nx\x00",
		"SEND\ndestination:/app/nobody\nreceipt:1\n\nx\x00",
		"SEND\ndestination:/user/bob\nreceipt:1\n\nx\x00",
		"SUBSCRIBE\nid:0\ndestination:/nowhere\nreceipt:1\n\n\x00",
		"SUBSCRIBE\nid:0\ndestination:/app/nobody\nreceipt:1\n\n\x00",
		"SUBSCRIBE\nid:0\nreceipt:1\n\n\x00",
		"SUBSCRIBE\ndestination:/topic/a\nreceipt:1\n\n\x00",
		"ACK\nreceipt:1\n\n\x00",
		"BEGIN\nreceipt:1\n\n\x00",
	}
	for _, text := range frames {
		bubble(t, Options{}, func(w *world) {
			c := w.connect("1.2")
			c.send(text)
			c.want("RECEIPT\nreceipt-id:1\n\n^@")
			if n := w.broker.Stats().Dropped.Load(); n != 1 {
				t.Errorf("%q: %d dropped", text, n)
			}
		})
		bubble(t, Options{Strict: true}, func(w *world) {
			c := w.connect("1.2")
			c.send(text)
			if got := c.take(); len(got) != 2 || !strings.HasPrefix(got[0], "ERROR\n") || !strings.Contains(got[0], "receipt-id:1\n") || got[1] != closed1002 {
				t.Errorf("%q: got %q", text, got)
			}
		})
	}
}

func TestUnknownAckModeIsAuto(t *testing.T) {
	const subscribe = "SUBSCRIBE\nid:0\ndestination:/topic/a\nack:true\n\n\x00SEND\ndestination:/topic/a\n\nx\x00"
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.2")
		c.send(subscribe)
		c.want(message("/topic/a", "0", "x"))
	})
	bubble(t, Options{Strict: true}, func(w *world) {
		c := w.connect("1.2")
		c.send(subscribe)
		c.want(errorFrame("Unknown ack mode"), closed1002)
	})
}

func TestBrokenFrameIsTold(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"FOO\n\n\x00", "No enum constant org.springframework.messaging.simp.stomp.StompCommand.FOO"},
		{"SEND\nfoo\n\n\x00", `Illegal header\c 'foo'. A header must be of the form <name>\c[<value>].`},
		{"ACK\nid:1\n\nbody\x00", `ACK shouldn't have a payload\c length=4`},
		{"MESSAGE\n\n\x00", `Frames of a server are not expected\c MESSAGE`},
	} {
		bubble(t, Options{}, func(w *world) {
			x := w.connect("1.2")
			x.send(c.in)
			x.want(errorFrame(c.want), closed1002)
		})
	}
}

func TestAuthorizeDecides(t *testing.T) {
	o := Options{Authorize: func(c *Client, command frame.Command, destination string) error {
		if command == frame.Send && destination == "/topic/secret" {
			return errors.New("no")
		}
		return nil
	}}
	bubble(t, o, func(w *world) {
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/secret\nreceipt:1\n\n\x00")
		c.want("RECEIPT\nreceipt-id:1\n\n^@")
		c.send("SEND\ndestination:/topic/secret\n\nx\x00")
		c.want(errorFrame("Failed to send message to ExecutorSubscribableChannel[clientInboundChannel]"), closed1002)
	})
}

// An engine that is not there.
type lostEngine struct{ *handler.Memory }

var errLost = errors.New("no network")

func (lostEngine) Subscribe(context.Context, string) error       { return errLost }
func (lostEngine) Publish(context.Context, string, []byte) error { return errLost }

func TestLostEngineIsTold(t *testing.T) {
	for _, text := range []string{
		"SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00", "SUBSCRIBE\nid:0\ndestination:/topic/*\n\n\x00", "SEND\ndestination:/topic/a\n\nx\x00",
		"SUBSCRIBE\nid:0\ndestination:/user/queue/a\n\n\x00",
	} {
		hub, err := handler.NewHub(lostEngine{handler.NewMemory()})
		if err != nil {
			t.Fatal(err)
		}
		bubble(t, Options{Hub: hub}, func(w *world) {
			c := w.connect("1.2")
			c.send(text)
			c.want(errorFrame("Broker not available."), closed1002)
			if err := w.broker.Send(t.Context(), "/topic/a", "x"); !errors.Is(err, errLost) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A gatedEngine's calls of Subscribe wait for an answer.
type gatedEngine struct {
	*handler.Memory
	answers chan error
}

func (e gatedEngine) Subscribe(ctx context.Context, topic string) error {
	select {
	case err := <-e.answers:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return e.Memory.Subscribe(ctx, topic)
}

// gated runs a test with two clients that subscribe to the same, the second
// while the engine has not answered the first.
func gated(t *testing.T, destination string, f func(w *world, first, second *client, answers chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := gatedEngine{handler.NewMemory(), make(chan error)}
		hub, err := handler.NewHub(e)
		if err != nil {
			t.Fatal(err)
		}
		defer hub.Close()
		b, err := New(Options{Hub: hub})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, broker: b, registry: session.NewRegistry(b, config)}
		defer w.end()
		first, second := w.connect("1.2"), w.connect("1.2")
		for _, c := range []*client{first, second} {
			go c.send("SUBSCRIBE\nid:1\nreceipt:ok\ndestination:" + destination + "\n\n\x00")
			synctest.Wait()
		}
		f(w, first, second, e.answers)
	})
}

// wantSubscribed has the engine answer, and demands that c then hears of what is
// sent.
func (c *client) wantSubscribed(answers chan error) {
	c.T.Helper()
	answers <- nil
	c.want("RECEIPT\nreceipt-id:ok\n\n^@")
	if err := c.broker.Send(c.T.Context(), "/topic/a", "hello"); err != nil {
		c.T.Error(err)
	}
	c.wantBodies("hello")
}

func TestFailedSubscribeDeafensNobodyElse(t *testing.T) {
	for _, destination := range []string{"/topic/a", "/topic/*"} {
		gated(t, destination, func(w *world, first, second *client, answers chan error) {
			answers <- errLost
			first.want(errorFrame("Broker not available.", "receipt-id:ok"), closed1002)
			second.want()
			second.wantSubscribed(answers)
		})
	}
}

func TestSubscribeOfAClientThatGoesDeafensNobodyElse(t *testing.T) {
	gated(t, "/topic/a", func(w *world, first, second *client, answers chan error) {
		first.session.Close(3000, "")
		second.want()
		second.wantSubscribed(answers)
	})
}

func TestWaitForTheEngineEndsWithTheClient(t *testing.T) {
	gated(t, "/topic/a", func(w *world, first, second *client, answers chan error) {
		second.session.Close(3000, "")
		synctest.Wait()
		if n := w.broker.Stats().Clients.Load(); n != 1 {
			t.Errorf("%d clients", n)
		}
		answers <- nil
		first.want("RECEIPT\nreceipt-id:ok\n\n^@")
	})
}

// Clients of all versions and of many subscription ids, on one topic.
func TestManyFormsOfOneMessage(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		var clients []*client
		for i := range 100 {
			c := w.connect([]string{"1.0", "1.1", "1.2"}[i%3])
			c.send(fmt.Sprintf("SUBSCRIBE\nid:s%d\ndestination:/topic/a\n\n\x00", i/2))
			clients = append(clients, c)
		}
		if err := w.broker.Send(t.Context(), "/topic/a", "x"); err != nil {
			t.Error(err)
		}
		for i, c := range clients {
			c.want(message("/topic/a", fmt.Sprintf("s%d", i/2), "x", "content-type:"+TypeText))
		}
		if n := w.broker.Stats().Messages.Load(); n != 100 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestOrderIsKeptForEachSender(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		var all sync.WaitGroup
		for sender := range 4 {
			x := w.connect("1.2")
			all.Go(func() {
				for i := range 100 {
					x.send(fmt.Sprintf("SEND\ndestination:/topic/a\n\n%d %d\x00", sender, i))
				}
			})
		}
		all.Wait()
		next := make([]int, 4)
		for _, body := range c.bodies() {
			var sender, i int
			fmt.Sscan(body, &sender, &i)
			if i != next[sender] {
				t.Fatalf("%d of sender %d comes after %d", i, sender, next[sender]-1)
			}
			next[sender]++
		}
		for sender, n := range next {
			if n != 100 {
				t.Errorf("%d messages of sender %d", n, sender)
			}
		}
	})
}
