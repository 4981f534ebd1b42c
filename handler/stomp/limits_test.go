package stomp

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"switchback/session/memory"
)

// Each attack is refused with ERROR at its limit, is counted, and leaves the
// memory of the process as it was.
func TestLimitsHoldUnderAttack(t *testing.T) {
	many := func(n int, text func(i int) string) func(c *client) {
		return func(c *client) {
			for i := 0; i < n && !c.session.Closing(); i++ {
				c.send(text(i))
			}
		}
	}
	for _, a := range []struct {
		name   string
		attack func(c *client)
		want   string
		count  func(s *Stats) *atomic.Int64
	}{
		{"endless headers", many(100_000, func(i int) string {
			if i == 0 {
				return "SEND\n"
			}
			return fmt.Sprintf("header-%d:x\n", i)
		}), "The configured STOMP header limit of 100 headers has been exceeded", func(s *Stats) *atomic.Int64 { return &s.FrameLimit }},
		{"endless header", many(100_000, func(i int) string {
			if i == 0 {
				return "SEND\nheader:"
			}
			return strings.Repeat("x", 100)
		}), "The configured STOMP header size limit of 16384 bytes has been exceeded", func(s *Stats) *atomic.Int64 { return &s.FrameLimit }},
		{"content-length of 4 GiB", many(1, func(int) string { return "SEND\ncontent-length:4294967296\n\n" }),
			"STOMP 'content-length' header value 4294967296  exceeds configured buffer size limit 65536", func(s *Stats) *atomic.Int64 { return &s.FrameLimit }},
		{"body without end", many(100_000, func(i int) string {
			if i == 0 {
				return "SEND\ndestination:/topic/a\n\n"
			}
			return strings.Repeat("x", 1000)
		}), "The configured STOMP buffer size limit of 65536 bytes has been exceeded", func(s *Stats) *atomic.Int64 { return &s.FrameLimit }},
		{"100,000 subscriptions", many(100_000, func(i int) string { return fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/%d\n\n\x00", i, i) }),
			"The limit of 1000 subscriptions has been reached", func(s *Stats) *atomic.Int64 { return &s.SubscriptionLimit }},
		{"100,000 patterns", many(100_000, func(i int) string { return fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/%d*\n\n\x00", i, i) }),
			"The limit of 100 subscriptions to patterns has been reached", func(s *Stats) *atomic.Int64 { return &s.SubscriptionLimit }},
		{"destination of 16 KiB", many(1, func(int) string { return "SEND\ndestination:/topic/" + strings.Repeat("a", 16_000) + "\n\n\x00" }),
			"The limit of 1024 bytes of a destination has been exceeded", func(s *Stats) *atomic.Int64 { return &s.DestinationLimit }},
		{"queue that nobody acknowledges", func(c *client) {
			c.send("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\n\n\x00")
			many(100_000, func(i int) string { return "SEND\ndestination:/queue/a\n\n" + strings.Repeat("x", 10_000) + "\x00" })(c)
		}, `Queue is full\c /queue/a`, func(s *Stats) *atomic.Int64 { return &s.QueueLimit }},
		{"transactions that are never committed", many(100_000, func(i int) string { return fmt.Sprintf("BEGIN\ntransaction:%d\n\n\x00", i) }),
			"The limit of 10 transactions has been reached", func(s *Stats) *atomic.Int64 { return &s.TransactionLimit }},
		{"frames that are never committed", many(100_000, func(i int) string {
			if i == 0 {
				return "BEGIN\ntransaction:t\n\n\x00"
			}
			return "SEND\ndestination:/topic/a\ntransaction:t\n\n\x00"
		}), "The limit of 1000 frames in transactions has been reached", func(s *Stats) *atomic.Int64 { return &s.TransactionLimit }},
		{"bytes that are never committed", many(100_000, func(i int) string {
			if i == 0 {
				return "BEGIN\ntransaction:t\n\n\x00"
			}
			return "SEND\ndestination:/topic/a\ntransaction:t\n\n" + strings.Repeat("x", 60_000) + "\x00"
		}), "The limit of 1048576 bytes in transactions has been reached", func(s *Stats) *atomic.Int64 { return &s.TransactionLimit }},
	} {
		t.Run(a.name, func(t *testing.T) {
			bubble(t, Options{Queues: someQueues, QueueByteLimit: 4 << 20}, func(w *world) {
				c := w.connect("1.2")
				before := heapInUse()
				a.attack(c)
				synctest.Wait()
				var got []string
				for _, m := range c.take() {
					if !strings.HasPrefix(m, "MESSAGE") {
						got = append(got, m)
					}
				}
				if want := errorFrame(a.want); len(got) != 2 || got[0] != want || got[1] != closed1002 {
					t.Errorf("got %q, want %q", got, want)
				}
				s := w.broker.Stats()
				if a.count(s).Load() != 1 || s.Errors.Load() != 1 {
					t.Errorf("is not counted: %+v", s)
				}
				if grown := heapInUse() - before - s.Memory.Load(); grown > 1<<20 {
					t.Errorf("the heap has grown by %d bytes", grown)
				}
			})
		})
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestConnectIsSmall(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.open("raw-websocket")
		c.send("CONNECT\naccept-version:1.2\n\n" + strings.Repeat("x", 20_000))
		c.want(errorFrame("The configured STOMP buffer size limit of 16385 bytes has been exceeded"), closed1002)
		c = w.open("raw-websocket")
		c.send("CONNECT\naccept-version:1.2\ntoken:" + strings.Repeat("x", 16_000) + "\n\n\x00")
		if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], "CONNECTED") {
			t.Errorf("got %q", got)
		}
	})
}

// Incomplete frames of many sessions are held to one limit.
func TestIncompleteFramesAreLimitedTogether(t *testing.T) {
	limitMemory(t, 100_000)
	bubble(t, Options{}, func(w *world) {
		var refused int
		var clients []*client
		for range 20 {
			c := w.connect("1.2")
			c.send("SEND\ndestination:/topic/a\n\n" + strings.Repeat("x", 10_000))
			clients = append(clients, c)
			if n := w.broker.Stats().Memory.Load(); n > 100_000 {
				t.Errorf("%d bytes", n)
			}
		}
		for _, c := range clients {
			if got := c.take(); len(got) > 0 {
				refused++
				if got[0] != errorFrame("The server is out of memory") {
					t.Errorf("got %q", got)
				}
			}
		}
		if refused < 10 || refused > 12 || w.broker.Stats().MemoryLimit.Load() != int64(refused) {
			t.Errorf("%d of 20 are refused: %+v", refused, w.broker.Stats())
		}
		clients[0].send("\x00")
		c := w.connect("1.2")
		c.send("SEND\ndestination:/topic/a\nreceipt:1\n\n"+strings.Repeat("x", 5_000), "\x00")
		c.want("RECEIPT\nreceipt-id:1\n\n^@")
	})
}

func TestLimitsAreOptions(t *testing.T) {
	o := Options{
		FrameLimit: 2000, BodyLimit: 1000, HeaderLimit: 500, HeaderCountLimit: 5, SubscriptionLimit: 2, PatternLimit: 1, DestinationLimit: 20,
		TransactionLimit: 1, TransactionFrameLimit: 1, TransactionByteLimit: 1000,
	}
	for _, c := range []struct{ in, want string }{
		{"SEND\n\n" + strings.Repeat("x", 1001) + "\x00", "The configured STOMP body size limit of 1000 bytes has been exceeded"},
		{"SEND\na:" + strings.Repeat("x", 500) + "\n\n\x00", "The configured STOMP header size limit of 500 bytes has been exceeded"},
		{"SEND\n" + strings.Repeat("a:b\n", 6) + "\n\x00", "The configured STOMP header limit of 5 headers has been exceeded"},
		{"SUBSCRIBE\nid:1\ndestination:/topic/*\n\n\x00SUBSCRIBE\nid:2\ndestination:/topic/?\n\n\x00", "The limit of 1 subscriptions to patterns has been reached"},
		{"SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\x00SUBSCRIBE\nid:2\ndestination:/queue/a\n\n\x00SUBSCRIBE\nid:3\ndestination:/user/queue/a\n\n\x00", "The limit of 2 subscriptions has been reached"},
		{"SEND\ndestination:/topic/" + strings.Repeat("x", 14) + "\n\n\x00", "The limit of 20 bytes of a destination has been exceeded"},
		{"SUBSCRIBE\nid:1\ndestination:/queue/" + strings.Repeat("x", 14) + "\n\n\x00", "The limit of 20 bytes of a destination has been exceeded"},
		{"BEGIN\ntransaction:a\n\n\x00BEGIN\ntransaction:b\n\n\x00", "The limit of 1 transactions has been reached"},
		{"BEGIN\ntransaction:a\n\n\x00" + strings.Repeat("ACK\nid:1\ntransaction:a\n\n\x00", 2), "The limit of 1 frames in transactions has been reached"},
		{"BEGIN\ntransaction:a\n\n\x00SEND\ntransaction:a\n\n" + strings.Repeat("x", 900) + "\x00", "The limit of 1000 bytes in transactions has been reached"},
	} {
		bubble(t, o, func(w *world) {
			x := w.connect("1.2")
			x.send(c.in)
			x.want(errorFrame(c.want), closed1002)
		})
	}
}

// Long destinations are counted, so that few subscriptions can hold much.
func TestSubscriptionsAreLimitedTogether(t *testing.T) {
	limitMemory(t, 1<<20)
	bubble(t, Options{DestinationLimit: 16 << 10}, func(w *world) {
		c := w.connect("1.2")
		for i := 0; i < 1000 && !c.session.Closing(); i++ {
			c.send(fmt.Sprintf("SUBSCRIBE\nid:%d\ndestination:/topic/%s%d\n\n\x00", i, strings.Repeat("x", 15_000), i))
		}
		c.want(errorFrame("The server is out of memory"), closed1013)
	})
}

// Frames of one large message share its body: what a hundred clients who do not read hold
// is one body and their own headers. Nobody is closed at the QueueLimit for it, and all get
// it whole.
func TestLargeBodyIsHeldOnce(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		body := strings.Repeat("body\n", 10_000)
		var clients []*client
		for i := range 100 {
			c := w.open([]string{"raw-websocket", "websocket"}[i%2])
			c.connect("1.2")
			c.send(fmt.Sprintf("SUBSCRIBE\nid:s%d\ndestination:/topic/a\n\n\x00", i))
			c.stall()
			clients = append(clients, c)
		}
		x := w.connect("1.2")
		before := memory.Used()
		for _, contentType := range []string{"text/plain", "application/octet-stream"} {
			x.send("SEND\ndestination:/topic/a\ncontent-type:" + contentType + "\n\n" + body + "\x00")
		}
		if n := memory.Used() - before; n < 200_000 || n > 250_000 {
			t.Errorf("%d bytes are counted for two bodies of 50,000, each in two encodings", n)
		}
		for i, c := range clients {
			c.resume()
			got := c.take()
			if len(got) != 2 {
				t.Fatalf("%.200q", got)
			}
			for _, frame := range got {
				frame = strings.TrimPrefix(frame, "BINARY ")
				if !strings.Contains(frame, fmt.Sprintf("\nsubscription:s%d\n", i)) || !strings.HasSuffix(frame, "content-length:50000\n\n"+body+"^@") {
					t.Fatalf("%.200q", frame)
				}
			}
		}
	})
}

// At the limit a message that is published reaches who reads and who does not.
func TestPublishedMessagesReachAllAtTheLimit(t *testing.T) {
	limitMemory(t, 100_000)
	bubble(t, Options{}, func(w *world) {
		slow, quick, x := w.connect("1.2"), w.connect("1.2"), w.connect("1.2")
		slow.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		quick.send("SUBSCRIBE\nid:0\ndestination:/topic/b\n\n\x00")
		slow.stall()
		x.send("SEND\ndestination:/topic/a\n\n1\x00")
		memory.Add(500_000) // others hold that
		go x.send("SEND\ndestination:/topic/a\nreceipt:1\n\n2\x00", "SEND\ndestination:/topic/b\n\n3\x00")
		if got := quick.take(); len(got) > 0 {
			t.Errorf("the publisher did not wait: %q", got)
		}
		memory.Add(-500_000)
		slow.resume()
		slow.wantBodies("1", "2")
		quick.wantBodies("3")
		x.want("RECEIPT\nreceipt-id:1\n\n^@")
	})
}
