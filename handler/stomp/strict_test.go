package stomp

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// What a frame needs by the specification of its version, and what becomes of one
// that lacks it: a strict broker says so, any other leaves it without effect.
func TestStrictBrokerRefusesWhatLacksSomething(t *testing.T) {
	for _, e := range []struct {
		versions, frame, refused string // refused: empty where the frame is right
	}{
		{"1.1 1.2", "UNSUBSCRIBE\nreceipt:1\n\n\x00", "Missing header 'id'"},
		{"1.1 1.2", "UNSUBSCRIBE\nid:\nreceipt:1\n\n\x00", "Missing header 'id'"},
		{"1.1 1.2", "UNSUBSCRIBE\ndestination:/queue/a\nreceipt:1\n\n\x00", "Missing header 'id'"},
		{"1.0", "UNSUBSCRIBE\nreceipt:1\n\n\x00", "Missing header 'id'"},
		{"1.0", "UNSUBSCRIBE\ndestination:/queue/other\nreceipt:1\n\n\x00", "Unknown subscription: /queue/other"},
		{"1.0 1.1 1.2", "UNSUBSCRIBE\nid:other\nreceipt:1\n\n\x00", "Unknown subscription: other"},
		{"1.0 1.1 1.2", "UNSUBSCRIBE\nid:s\nreceipt:1\n\n\x00", ""},

		{"1.2", "ACK\nreceipt:1\n\n\x00", "Missing header 'id'"},
		{"1.2", "ACK\nid:\nreceipt:1\n\n\x00", "Missing header 'id'"},
		{"1.2", "ACK\nmessage-id:ID\nreceipt:1\n\n\x00", "Missing header 'id'"},
		{"1.2", "NACK\nmessage-id:ID\nsubscription:s\nreceipt:1\n\n\x00", "Missing header 'id'"},
		{"1.2", "ACK\nid:nonsense\nreceipt:1\n\n\x00", "Unknown message: nonsense"},
		{"1.2", "NACK\nid:ID0\nreceipt:1\n\n\x00", "Unknown message: ID0"},
		{"1.2", "ACK\nid:OTHER-1-1\nreceipt:1\n\n\x00", "Unknown message: OTHER-1-1"}, // another session's
		{"1.2", "ACK\nid:ID\nreceipt:1\n\n\x00", ""},
		{"1.2", "NACK\nid:ID\nreceipt:1\n\n\x00", ""},
		{"1.1", "ACK\nid:ID\nsubscription:s\nreceipt:1\n\n\x00", "Missing header 'message-id'"},
		{"1.1", "ACK\nmessage-id:ID\nreceipt:1\n\n\x00", "Missing header 'subscription'"},
		{"1.1", "NACK\nmessage-id:ID\nsubscription:\nreceipt:1\n\n\x00", "Missing header 'subscription'"},
		{"1.1", "ACK\nmessage-id:ID\nsubscription:other\nreceipt:1\n\n\x00", "Unknown subscription: other"},
		{"1.1", "ACK\nmessage-id:ID\nsubscription:s\nreceipt:1\n\n\x00", ""},
		{"1.0", "ACK\nid:ID\nreceipt:1\n\n\x00", "Missing header 'message-id'"},
		{"1.0", "ACK\nmessage-id:ID\nreceipt:1\n\n\x00", ""},

		{"1.0 1.1 1.2", "BEGIN\nreceipt:1\n\n\x00", "Missing header 'transaction'"},
		{"1.0 1.1 1.2", "BEGIN\ntransaction:\nreceipt:1\n\n\x00", "Missing header 'transaction'"},
		{"1.0 1.1 1.2", "COMMIT\nreceipt:1\n\n\x00", "Missing header 'transaction'"},
		{"1.0 1.1 1.2", "COMMIT\ntransaction:\nreceipt:1\n\n\x00", "Missing header 'transaction'"},
		{"1.0 1.1 1.2", "ABORT\nreceipt:1\n\n\x00", "Missing header 'transaction'"},
		{"1.0 1.1 1.2", "ABORT\ntransaction:\nreceipt:1\n\n\x00", "Missing header 'transaction'"},
		{"1.0 1.1 1.2", "SEND\ndestination:/topic/a\ntransaction:\nreceipt:1\n\nx\x00", "Missing header 'transaction'"},
		{"1.0 1.1 1.2", "BEGIN\ntransaction:t\nreceipt:1\n\n\x00", ""},

		{"1.1 1.2", "SUBSCRIBE\ndestination:/topic/a\nreceipt:1\n\n\x00", "Missing header 'id'"},
		{"1.0", "SUBSCRIBE\ndestination:/topic/a\nreceipt:1\n\n\x00", ""},
		{"1.0 1.1 1.2", "SUBSCRIBE\nid:s\ndestination:/topic/a\nreceipt:1\n\n\x00", "Subscription exists already"},
		{"1.0 1.1 1.2", "SUBSCRIBE\nid:2\nreceipt:1\n\n\x00", "Missing header 'destination'"},
		{"1.0 1.1 1.2", "SEND\ndestination:\nreceipt:1\n\nx\x00", "Missing header 'destination'"},
	} {
		for _, strict := range []bool{true, false} {
			for _, version := range strings.Fields(e.versions) {
				bubble(t, Options{Queues: someQueues, Strict: strict}, func(w *world) {
					c := w.connect(version)
					c.send("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:client-individual\n\n\x00SEND\ndestination:/queue/a\n\nx\x00")
					text := strings.ReplaceAll(e.frame, "ID", c.deliveries()["x"])
					c.send(text)
					want := []string{receipt + "1\n\n^@"}
					if refused := strings.NewReplacer("ID", c.session.ID()+"-1-1").Replace(e.refused); strict && refused != "" {
						if version != "1.0" {
							refused = strings.ReplaceAll(refused, ":", "\\c")
						}
						want = []string{errorFrame(refused, "receipt-id:1"), closed1002}
					}
					redelivered := func(m string) bool { return strings.HasPrefix(m, "MESSAGE") }
					if got := slices.DeleteFunc(c.take(), redelivered); !slices.Equal(got, want) {
						t.Errorf("%s, strict %v, %q:\ngot  %q\nwant %q", version, strict, e.frame, got, want)
					}
				})
			}
		}
	}
}

// What a client does by the book is never refused, though the broker keeps no
// name of it: messages of topics, and what the application answers.
func TestStrictBrokerRefusesNothingElse(t *testing.T) {
	for version, acks := range map[string][]string{
		"1.2": {"ACK\nid:ID\n\n\x00", "NACK\nid:ID\n\n\x00"},
		"1.1": {"ACK\nmessage-id:ID\nsubscription:s\n\n\x00", "NACK\nmessage-id:ID\nsubscription:s\n\n\x00"},
		"1.0": {"ACK\nmessage-id:ID\n\n\x00"},
	} {
		for _, ack := range acks {
			bubble(t, Options{Strict: true}, func(w *world) {
				w.broker.HandleSubscribe("/members", func(_ context.Context, _ *Request) (any, error) { return "x", nil }, Reply{})
				topic, app := w.connect(version), w.connect(version)
				topic.send("SUBSCRIBE\nid:s\ndestination:/topic/a\nack:client\n\n\x00SEND\ndestination:/topic/a\n\nx\x00")
				app.send("SUBSCRIBE\nid:s\ndestination:/app/members\nack:client\n\n\x00")
				for _, c := range []*client{topic, app} {
					c.send(strings.ReplaceAll(ack, "ID", c.deliveries()["x"]), "UNSUBSCRIBE\nid:s\nreceipt:1\n\n\x00")
					c.want(receipt + "1\n\n^@")
				}

				// One that does its work meanwhile acknowledges late; one that
				// has a single function for all messages, in mode auto, too.
				late, auto := w.connect(version), w.connect(version)
				auto.send("SUBSCRIBE\nid:s\ndestination:/topic/a\n\n\x00")
				late.send("SUBSCRIBE\nid:s\ndestination:/topic/a\nack:client\n\n\x00SEND\ndestination:/topic/a\n\nx\x00")
				for _, c := range []*client{late, auto} {
					id := c.deliveries()["x"]
					c.send("UNSUBSCRIBE\nid:s\n\n\x00", strings.ReplaceAll(strings.Replace(ack, "\n\n", "\nreceipt:1\n\n", 1), "ID", id))
					c.want(receipt + "1\n\n^@")
				}
			})
		}
	}
}

// A message of a queue is acknowledged once, while its subscription is there.
func TestStrictBrokerRefusesLateAcknowledgements(t *testing.T) {
	for name, e := range map[string]struct{ mode, frames string }{
		"twice":                   {"client-individual", "ACK\nid:1\n\n\x00ACK\nid:1\nreceipt:1\n\n\x00"},
		"with the one after it":   {"client", "ACK\nid:2\n\n\x00ACK\nid:1\nreceipt:1\n\n\x00"},
		"after UNSUBSCRIBE":       {"client", "UNSUBSCRIBE\nid:s\n\n\x00ACK\nid:1\nreceipt:1\n\n\x00"},
		"in mode auto":            {"auto", "ACK\nid:1\nreceipt:1\n\n\x00"},
		"though there is a topic": {"auto", "SUBSCRIBE\nid:t\ndestination:/topic/a\n\n\x00ACK\nid:1\nreceipt:1\n\n\x00"},
		"though it asked":         {"auto", "SUBSCRIBE\nid:t\ndestination:/app/a\n\n\x00ACK\nid:1\nreceipt:1\n\n\x00"},
	} {
		bubble(t, Options{Queues: someQueues, Strict: true}, func(w *world) {
			w.broker.HandleSubscribe("/a", func(context.Context, *Request) (any, error) { return nil, nil }, Reply{})
			c := w.connect("1.2")
			c.send("SUBSCRIBE\nid:s\ndestination:/queue/a\nack:" + e.mode + "\n\n\x00SEND\ndestination:/queue/a\n\n1\x00SEND\ndestination:/queue/a\n\n2\x00")
			ids := c.deliveries()
			c.send(strings.NewReplacer("id:1", "id:"+ids["1"], "id:2", "id:"+ids["2"]).Replace(e.frames))
			if got := c.take(); len(got) != 2 || got[0] != errorFrame("Unknown message\\c "+ids["1"], "receipt-id:1") {
				t.Errorf("%s: got %q", name, got)
			}
		})
	}
}

// An empty transaction is none: what is sent in it has its effect at once.
func TestEmptyTransactionIsNone(t *testing.T) {
	bubble(t, Options{}, func(w *world) {
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00BEGIN\ntransaction:\n\n\x00SEND\ndestination:/topic/a\ntransaction:\n\nx\x00")
		c.want(message("/topic/a", "0", "x"))
		if n := w.broker.Stats().Dropped.Load(); n != 1 {
			t.Errorf("%d frames are dropped", n)
		}
	})
}

// What says who a client is goes to nobody else, however a front-end writes it.
func TestSecretsAreNotForwarded(t *testing.T) {
	bubble(t, Options{TokenHeader: "X-Auth-Token"}, func(w *world) {
		x := w.connect("1.2")
		x.send("SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00" +
			"SEND\ndestination:/topic/a\nAuthorization:a\nx-auth-token:b\nX-AUTH-TOKEN:c\nLogin:d\nPasscode:e\npasscode:f\nkept:g\n\n\x00")
		x.want("MESSAGE\ndestination:/topic/a\nkept:g\nsubscription:0\nmessage-id:*\ncontent-length:0\n\n^@")
	})
}
