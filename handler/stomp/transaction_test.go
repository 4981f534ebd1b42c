package stomp

import (
	"strings"
	"testing"
)

const receipt = "RECEIPT\nreceipt-id:"

func TestCommitDoesAllInOrder(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		x, a := w.connect("1.2"), w.connect("1.2")
		a.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		before := w.broker.Stats().Memory.Load()
		x.send("BEGIN\ntransaction:t\nreceipt:1\n\n\x00")
		x.send("SEND\ndestination:/topic/a\ntransaction:t\nreceipt:2\n\nfirst\x00")
		x.send("SEND\ndestination:/topic/a\n\noutside\x00")
		x.send("SEND\ndestination:/topic/a\ntransaction:t\n\nsecond\x00")
		x.want(receipt + "1\n\n^@")
		a.want(message("/topic/a", "0", "outside"))
		x.send("COMMIT\ntransaction:t\nreceipt:3\n\n\x00")
		x.want(receipt+"2\n\n^@", receipt+"3\n\n^@")
		a.want(message("/topic/a", "0", "first"), message("/topic/a", "0", "second"))
		if s := w.broker.Stats(); s.Memory.Load() != before {
			t.Errorf("%d bytes", s.Memory.Load())
		}
	})
}

func TestAbortForgets(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		x, a := w.connect("1.2"), w.connect("1.2")
		a.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		before := w.broker.Stats().Memory.Load()
		x.send("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/topic/a\ntransaction:t\nreceipt:1\n\nx\x00ABORT\ntransaction:t\nreceipt:2\n\n\x00")
		x.want(receipt + "2\n\n^@")
		a.want()
		if s := w.broker.Stats(); s.Memory.Load() != before {
			t.Errorf("%d bytes", s.Memory.Load())
		}
		x.send("BEGIN\ntransaction:t\nreceipt:3\n\n\x00") // the name is free again
		x.want(receipt + "3\n\n^@")
	})
}

func TestEndOfTheSessionAborts(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		a := w.connect("1.2")
		a.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
		before := w.broker.Stats().Memory.Load()
		for _, end := range []func(*client){
			(*client).gone,
			func(c *client) { c.send("DISCONNECT\n\n\x00") },
			func(c *client) { c.send("FOO\n\n\x00") },
		} {
			x := w.connect("1.2")
			x.send("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:/topic/a\ntransaction:t\n\nx\x00")
			if w.broker.Stats().Memory.Load() == before {
				t.Error("the frame is not counted")
			}
			end(x)
			a.want()
			if s := w.broker.Stats(); s.Memory.Load() != before {
				t.Errorf("%d bytes", s.Memory.Load())
			}
		}
	})
}

func TestAcknowledgementsMayWaitForCommit(t *testing.T) {
	bubble(t, Options{Queues: someQueues}, func(w *world) {
		x, a := w.connect("1.2"), w.connect("1.2")
		a.consumeAs("0", "client-individual")
		x.fill(3)
		ids := a.deliveries()
		inside := func(ack string) string { return strings.Replace(ack, "\n\n", "\ntransaction:t\n\n", 1) }
		a.send("BEGIN\ntransaction:t\n\n\x00", inside(ackOf("ACK", "1.2", ids["1"])), inside(ackOf("NACK", "1.2", ids["2"])))
		if n := w.broker.Stats().Queued.Load(); n != 3 {
			t.Errorf("%d messages are left before COMMIT", n)
		}
		a.want()
		a.send("COMMIT\ntransaction:t\n\n\x00")
		a.wantBodies("2")
		if n := w.broker.Stats().Queued.Load(); n != 2 {
			t.Errorf("%d messages are left after COMMIT", n)
		}
	})
}

func TestTransactionsThatAreNone(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"COMMIT\ntransaction:t\n\n\x00", `Unknown transaction\c t`},
		{"ABORT\ntransaction:t\n\n\x00", `Unknown transaction\c t`},
		{"SEND\ndestination:/topic/a\ntransaction:t\n\n\x00", `Unknown transaction\c t`},
		{"BEGIN\ntransaction:u\n\n\x00ACK\nid:1\ntransaction:t\n\n\x00", `Unknown transaction\c t`},
		{"BEGIN\ntransaction:t\n\n\x00BEGIN\ntransaction:t\n\n\x00", `Transaction exists already\c t`},
	} {
		bubble(t, Options{}, func(w *world) {
			x := w.connect("1.2")
			x.send(c.in)
			x.want(errorFrame(c.want), closed1002)
		})
	}
}

func TestRefusalEndsACommit(t *testing.T) {
	bubble(t, Options{Queues: someQueues, QueueLimit: 1}, func(w *world) {
		x := w.connect("1.2")
		x.send("BEGIN\ntransaction:t\n\n\x00")
		for range 3 {
			x.send("SEND\ndestination:/queue/a\ntransaction:t\n\n\x00")
		}
		x.send("COMMIT\ntransaction:t\nreceipt:1\n\n\x00")
		x.want(errorFrame(`Queue is full\c /queue/a`, "receipt-id:1"), closed1002)
	})
}

func TestNamesOfTransactionsAreCounted(t *testing.T) {
	for _, end := range []func(*client, string){
		func(c *client, name string) { c.send("COMMIT\ntransaction:" + name + "\n\n\x00") },
		func(c *client, name string) { c.send("ABORT\ntransaction:" + name + "\n\n\x00") },
		func(c *client, _ string) { c.gone() },
	} {
		limitMemory(t, 40_000)
		bubble(t, Options{}, func(w *world) {
			x, y := w.connect("1.2"), w.connect("1.2")
			name := strings.Repeat("n", 16_000)
			before := w.broker.Stats().Memory.Load()
			x.send("BEGIN\ntransaction:" + name + "\n\n\x00")
			if n := w.broker.Stats().Memory.Load() - before; n < 16_000 {
				t.Errorf("%d bytes are counted", n)
			}
			y.send("BEGIN\ntransaction:a" + name + "\n\n\x00BEGIN\ntransaction:b" + name + "\n\n\x00")
			y.want(errorFrame("The server is out of memory"), closed1013)
			end(x, name)
			x.take()
			if n := w.broker.Stats().Memory.Load(); n != before {
				t.Errorf("%d bytes are still counted", n-before)
			}
		})
	}
}
