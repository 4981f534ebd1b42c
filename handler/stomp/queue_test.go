package stomp

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchback/handler/stomp/frame"
)

// consumeAs subscribes to /queue/a.
func (c *client) consumeAs(id, ack string) {
	c.send("SUBSCRIBE\nid:" + id + "\ndestination:/queue/a\nack:" + ack + "\n\n\x00")
}

// fill puts messages 1 to n into /queue/a.
func (c *client) fill(n int) {
	for i := range n {
		c.send(fmt.Sprintf("SEND\ndestination:/queue/a\n\n%d\x00", i+1))
	}
}

// wait gives queues the time to look again.
func wait() { time.Sleep(time.Second); synctest.Wait() }

func TestEachMessageOfAQueueGoesToOne(t *testing.T) {
	bubble(t, Options{Queues: someQueues}, func(w *world) {
		x, a, b := w.connect("1.2"), w.connect("1.2"), w.connect("1.1")
		a.consumeAs("0", "auto")
		b.consumeAs("0", "auto")
		x.fill(6)
		a.wantBodies("1", "3", "5")
		b.wantBodies("2", "4", "6")
		a.gone()
		b.gone()
		wait()
		if s := w.broker.Stats(); s.Queued.Load() != 0 || s.Queues.Load() != 0 || s.Memory.Load() != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestQueueKeepsMessagesForItsFirstConsumer(t *testing.T) {
	bubble(t, Options{Queues: someQueues}, func(w *world) {
		x := w.connect("1.2")
		x.send("SEND\ndestination:/queue/a\ncontent-type:text/plain\nfoo:b\\nar\ntransaction-not:1\nreceipt:1\n\nhi\x00")
		x.want("RECEIPT\nreceipt-id:1\n\n^@")
		x.gone()
		a := w.connect("1.2")
		a.consumeAs("s", "client")
		a.want("MESSAGE\ndestination:/queue/a\ncontent-type:text/plain\nfoo:b\\nar\ntransaction-not:1\n" +
			"subscription:s\nmessage-id:*\nack:*\ncontent-length:2\n\nhi^@")
		a.gone()
		b := w.connect("1.1")
		b.consumeAs("s", "auto")
		b.want("MESSAGE\ndestination:/queue/a\ncontent-type:text/plain\nfoo:b\\nar\ntransaction-not:1\n" +
			"subscription:s\nmessage-id:*\nredelivered:true\ncontent-length:2\n\nhi^@")
	})
}

// ackOf acknowledges what has an id, as a version does it.
func ackOf(command, version, id string) string {
	switch version {
	case "1.2":
		return command + "\nid:" + id + "\n\n\x00"
	case "1.1":
		return command + "\nmessage-id:" + id + "\nsubscription:0\n\n\x00"
	}
	return command + "\nmessage-id:" + id + "\n\n\x00"
}

// deliveries returns the ids of what has come, by the body.
func (c *client) deliveries() map[string]string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	found := make(map[string]string)
	for _, m := range c.messages {
		var f frame.Frame
		d := frame.Decoder{Limits: &noLimits, Version: frame.V12}
		d.Feed([]byte(m))
		d.Next(&f)
		found[string(f.Body)] = f.Headers.Value("message-id")
	}
	c.messages = nil
	return found
}

func TestAcknowledgement(t *testing.T) {
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		for _, e := range []struct {
			mode, command, of string
			left              string // when the consumer has gone
		}{
			{"client", "ACK", "3", "4 5"},
			{"client", "ACK", "5", ""},
			{"client-individual", "ACK", "3", "1 2 4 5"},
			{"client", "", "", "1 2 3 4 5"},
			{"auto", "", "", ""},
			{"auto", "ACK", "3", ""},
		} {
			bubble(t, Options{Queues: someQueues}, func(w *world) {
				x, a := w.connect("1.2"), w.connect(version)
				a.consumeAs("0", e.mode)
				x.fill(5)
				ids := a.deliveries()
				if len(ids) != 5 {
					t.Fatalf("got %v", ids)
				}
				if e.command != "" {
					a.send(ackOf(e.command, version, ids[e.of]), ackOf(e.command, version, ids[e.of])) // twice is once
				}
				left := strings.Fields(e.left)
				if n := w.broker.Stats().Queued.Load(); n != int64(len(left)) {
					t.Errorf("%s %s of %s: %d messages are left", e.mode, e.command, e.of, n)
				}
				a.gone()
				b := w.connect("1.2")
				b.consumeAs("0", "auto")
				b.wantBodies(left...)
			})
		}
	}
}

func TestNackGivesTheMessageToAnother(t *testing.T) {
	bubble(t, Options{Queues: someQueues}, func(w *world) {
		x, a, b := w.connect("1.2"), w.connect("1.2"), w.connect("1.2")
		a.consumeAs("0", "client")
		b.consumeAs("0", "client")
		x.fill(1)
		first, second := a, b
		for range 4 {
			ids := first.deliveries()
			if len(ids) != 1 {
				t.Fatalf("got %v", ids)
			}
			second.want()
			first.send(ackOf("NACK", "1.2", ids["1"]))
			first, second = second, first
		}
		first.send(ackOf("ACK", "1.2", first.deliveries()["1"]))
		if n := w.broker.Stats().Queued.Load(); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}

func TestNackOfAllUpToOne(t *testing.T) {
	bubble(t, Options{Queues: someQueues, UnackedLimit: 3}, func(w *world) {
		x, a := w.connect("1.2"), w.connect("1.2")
		a.consumeAs("0", "client")
		x.fill(5)
		ids := a.deliveries()
		a.send(ackOf("NACK", "1.2", ids["2"]))
		a.wantBodies("1", "2") // 3 is still unacknowledged
	})
}

func TestRedeliveryIsInOrder(t *testing.T) {
	bubble(t, Options{Queues: someQueues, UnackedLimit: 4}, func(w *world) {
		x, a := w.connect("1.2"), w.connect("1.2")
		a.consumeAs("0", "client-individual")
		x.fill(8)
		ids := a.deliveries() // 1 to 4
		a.send(ackOf("ACK", "1.2", ids["2"]))
		a.wantBodies("5")
		a.send(ackOf("NACK", "1.2", ids["3"]))
		a.wantBodies("3")
		a.send("UNSUBSCRIBE\nid:0\n\n\x00")
		b := w.connect("1.2")
		b.send("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\x00")
		b.wantBodies("1", "3", "4", "5", "6", "7", "8")
	})
}

func TestUnacknowledgedMessagesAreLimited(t *testing.T) {
	bubble(t, Options{Queues: someQueues, UnackedLimit: 2}, func(w *world) {
		x, a := w.connect("1.2"), w.connect("1.2")
		a.consumeAs("0", "client")
		x.fill(5)
		ids := a.deliveries()
		if len(ids) != 2 {
			t.Fatalf("got %v", ids)
		}
		a.send(ackOf("ACK", "1.2", ids["1"]))
		a.wantBodies("3")
	})
}

// A consumer that does not read gets no more than it can hold, and what it did
// not get goes to others.
func TestQueueWaitsForASlowConsumer(t *testing.T) {
	bubble(t, Options{Queues: someQueues}, func(w *world) {
		x, slow := w.connect("1.2"), w.connect("1.2")
		slow.consumeAs("0", "auto")
		slow.stall()
		body := strings.Repeat("x", 10<<10)
		for range 200 {
			x.send("SEND\ndestination:/queue/a\n\n" + body + "\x00")
		}
		wait()
		if n := slow.session.Queued(); n > 100<<10 || n < 50<<10 {
			t.Errorf("%d bytes wait for the client", n)
		}
		got := 0
		for range 100 {
			slow.resume()
			got += len(slow.take())
			slow.stall()
			wait()
		}
		slow.resume()
		if got += len(slow.take()); got != 200 {
			t.Errorf("got %d of 200", got)
		}
	})
}

func TestBrokenConsumerLosesNothingUnacknowledged(t *testing.T) {
	bubble(t, Options{Queues: someQueues}, func(w *world) {
		x := w.connect("1.2")
		var consumers []*client
		for range 5 {
			c := w.connect("1.2")
			c.consumeAs("0", "client")
			consumers = append(consumers, c)
		}
		x.fill(100)
		for _, c := range consumers {
			c.gone()
		}
		c := w.connect("1.2")
		c.consumeAs("0", "auto")
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i+1))
		}
		c.wantBodies(want...)
	})
}

func TestQueueIsNoPattern(t *testing.T) {
	bubble(t, Options{Queues: someQueues}, func(w *world) {
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/queue/*\n\n\x00")
		c.want(errorFrame(`A queue cannot be subscribed to by a pattern\c /queue/*`), closed1002)
	})
}

func TestFullQueueIsTold(t *testing.T) {
	for _, o := range []Options{{QueueLimit: 3}, {QueueByteLimit: 700}, {}} {
		o.Queues = someQueues
		limited := o.QueueLimit+o.QueueByteLimit == 0
		if limited {
			limitMemory(t, 700)
		}
		bubble(t, o, func(w *world) {
			x := w.connect("1.2")
			x.fill(3)
			x.want()
			x.send("SEND\ndestination:/queue/a\nreceipt:4\n\n4\x00")
			text, closed := `Queue is full\c /queue/a`, closed1002
			if limited {
				text, closed = "The server is out of memory", closed1013
			}
			x.want(errorFrame(text, "receipt-id:4"), closed)
			s := w.broker.Stats()
			if s.Queued.Load() != 3 || s.QueueLimit.Load()+s.MemoryLimit.Load() != 1 || s.Memory.Load() > 700 {
				t.Errorf("%+v", s)
			}
			if err := w.broker.Send(t.Context(), "/queue/a", 5); err != ErrQueueFull && err != ErrMemory {
				t.Errorf("got %v", err)
			}
			if limited {
				return // there is none for a subscription
			}
			c := w.connect("1.2")
			c.consumeAs("0", "auto")
			c.wantBodies("1", "2", "3")
		})
	}
}

func TestUnacknowledgedMessagesCount(t *testing.T) {
	bubble(t, Options{Queues: someQueues, QueueLimit: 3}, func(w *world) {
		x, c := w.connect("1.2"), w.connect("1.2")
		c.consumeAs("0", "client")
		x.fill(4)
		x.want(errorFrame(`Queue is full\c /queue/a`), closed1002)
		c.wantBodies("1", "2", "3")
	})
}

func TestQueuesAreLimited(t *testing.T) {
	bubble(t, Options{Queues: someQueues, QueueCountLimit: 2}, func(w *world) {
		x, y, z := w.connect("1.2"), w.connect("1.2"), w.connect("1.2")
		x.send("SEND\ndestination:/queue/1\n\n\x00SUBSCRIBE\nid:0\ndestination:/queue/2\n\n\x00")
		y.send("SEND\ndestination:/queue/3\n\n\x00")
		y.want(errorFrame(`Queue is full\c /queue/3`), closed1002)
		z.send("SUBSCRIBE\nid:0\ndestination:/queue/3\n\n\x00")
		z.want(errorFrame(`Too many queues`), closed1002)
		x.send("UNSUBSCRIBE\nid:0\n\n\x00") // leaves room
		x.send("SEND\ndestination:/queue/4\nreceipt:1\n\n\x00")
		x.want("RECEIPT\nreceipt-id:1\n\n^@")
	})
}

func TestLetterOverTheLimitLeavesNoQueue(t *testing.T) {
	bubble(t, Options{Queues: someQueues, QueueByteLimit: 10}, func(w *world) {
		x := w.connect("1.2")
		x.fill(1)
		if s := w.broker.Stats(); s.Queues.Load() != 0 || s.Memory.Load() != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Many senders and consumers that come and go: each message is acknowledged
// once.
func TestCompetingConsumersUnderLoad(t *testing.T) {
	const senders, each = 4, 200
	bubble(t, Options{Queues: someQueues, UnackedLimit: 10}, func(w *world) {
		var mu sync.Mutex
		acked := make(map[string]int)
		var all sync.WaitGroup
		for n := range senders {
			x := w.connect("1.2")
			all.Go(func() {
				for i := range each {
					x.send(fmt.Sprintf("SEND\ndestination:/queue/a\n\n%d-%d\x00", n, i))
				}
			})
		}
		done := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acked) == senders*each
		}
		for n := range 5 {
			all.Go(func() {
				for round := 0; !done(); round++ {
					c := w.open("raw-websocket")
					c.send("CONNECT\naccept-version:1.2\n\n\x00")
					c.consumeAs("0", "client-individual")
					for range 20 {
						for body, id := range c.deliveriesNow() {
							if (len(body)+n+round)%3 == 0 {
								c.send(ackOf("NACK", "1.2", id))
								continue
							}
							c.send(ackOf("ACK", "1.2", id))
							mu.Lock()
							acked[body]++
							mu.Unlock()
						}
						time.Sleep(time.Millisecond)
					}
					c.gone()
				}
			})
		}
		all.Wait()
		if s := w.broker.Stats(); s.Queued.Load() != 0 {
			t.Errorf("%d are left", s.Queued.Load())
		}
		for body, n := range acked {
			if n != 1 {
				t.Errorf("%s: acknowledged %d times", body, n)
			}
		}
	})
}

// deliveriesNow is deliveries on a goroutine that is not the test's.
func (c *client) deliveriesNow() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := make(map[string]string)
	for _, m := range c.messages {
		if !strings.HasPrefix(m, "MESSAGE") {
			continue
		}
		_, id, _ := strings.Cut(m, "\nmessage-id:")
		id, _, _ = strings.Cut(id, "\n")
		_, body, _ := strings.Cut(m, "\n\n")
		found[strings.TrimSuffix(body, "\x00")] = id
	}
	c.messages = nil
	return found
}

func TestLettersGoBackToTheirPlaces(t *testing.T) {
	letters := func(numbers ...uint64) (l []*letter) {
		for _, n := range numbers {
			l = append(l, &letter{number: n})
		}
		return l
	}
	numbers := func(q *queue) (n []uint64) {
		for _, l := range q.waiting {
			n = append(n, l.number)
		}
		return n
	}
	for _, c := range []struct{ waiting, back []uint64 }{
		{nil, []uint64{1}}, {[]uint64{5, 6}, []uint64{1}}, {[]uint64{1, 3}, []uint64{2}}, {[]uint64{1, 2}, []uint64{3}},
		{[]uint64{5, 6}, []uint64{4, 1, 3}}, {[]uint64{2, 9}, []uint64{7, 1, 10}}, {[]uint64{1}, nil},
	} {
		q := &queue{broker: &Broker{clock: newClock()}, waiting: letters(c.waiting...)}
		q.back(letters(c.back...)...)
		want := slices.Sorted(slices.Values(slices.Concat(c.waiting, c.back)))
		if got := numbers(q); !reflect.DeepEqual(got, want) {
			t.Errorf("%v back into %v: got %v", c.back, c.waiting, got)
		}
	}
}

func TestLongQueueIsEmptied(t *testing.T) {
	bubble(t, Options{Queues: someQueues}, func(w *world) {
		x := w.connect("1.2")
		x.fill(1000)
		c := w.connect("1.2")
		c.consumeAs("0", "auto")
		if got := c.bodies(); len(got) != 1000 || got[0] != "1" || got[999] != "1000" {
			t.Errorf("got %d of 1000", len(got))
		}
	})
}

// A message for a session that closes just now goes to another.
func TestClosingSessionLosesNoMessage(t *testing.T) {
	for range 50 {
		for _, mode := range []string{"auto", "client"} {
			bubble(t, Options{Queues: someQueues}, func(w *world) {
				x, c := w.connect("1.2"), w.connect("1.2")
				c.consumeAs("0", mode)
				c.session.Close(3000, "")
				x.fill(2)
				d := w.connect("1.2")
				d.consumeAs("0", "auto")
				d.wantBodies("1", "2")
			})
		}
	}
}

func TestSessionThatLeavesGetsNothingBack(t *testing.T) {
	for end, want := range map[string]string{
		"DISCONNECT\nreceipt:r\n\n\x00": "RECEIPT\nreceipt-id:r\n\n^@",
		"CONNECT\n\n\x00":               errorFrame("Session already exists"),
	} {
		bubble(t, Options{Queues: someQueues}, func(w *world) {
			c := w.connect("1.2")
			c.send("SUBSCRIBE\nid:1\nack:client\ndestination:/queue/a\n\n\x00")
			if err := w.broker.Send(t.Context(), "/queue/a", "m"); err != nil {
				t.Error(err)
			}
			c.send("SUBSCRIBE\nid:2\ndestination:/queue/a\n\n\x00")
			c.wantBodies("m")
			c.send(end)
			if got := c.take(); len(got) == 0 || got[0] != want || strings.Contains(strings.Join(got, ""), "MESSAGE") {
				t.Errorf("got %q", got)
			}
			d := w.connect("1.2")
			d.send("SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\x00")
			d.wantBodies("m")
		})
	}
}
