package stomp

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"switchback/handler"
	"switchback/handler/history"
	memorystore "switchback/handler/history/memory"
	"switchback/session"
)

// A network joins the engines of a test's nodes.
type network struct {
	nodes []*node

	mu      sync.Mutex // guards the rest
	packets []packet
}

type packet struct {
	topic string
	data  []byte
}

type node struct {
	handler.Memory
	network *network
	deliver func(topic string, data []byte) error
	topics  map[string]bool // guarded by network.mu
}

func (n *node) Start(deliver func(topic string, data []byte) error) error {
	n.deliver = deliver
	n.network.nodes = append(n.network.nodes, n)
	return nil
}

func (n *node) subscribe(topic string, on bool) error {
	n.network.mu.Lock()
	defer n.network.mu.Unlock()
	n.topics[topic] = on
	return nil
}

func (n *node) Subscribe(_ context.Context, topic string) error   { return n.subscribe(topic, true) }
func (n *node) Unsubscribe(_ context.Context, topic string) error { return n.subscribe(topic, false) }

func (n *node) Publish(_ context.Context, topic string, data []byte) error {
	n.network.mu.Lock()
	defer n.network.mu.Unlock()
	n.network.packets = append(n.network.packets, packet{topic, bytes.Clone(data)})
	return nil
}

// carry delivers what has been published, to the node that has published it, too, and
// spoils it afterwards.
func (n *network) carry() {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.packets {
		for _, node := range n.nodes {
			if node.topics[p.topic] {
				data := bytes.Clone(p.data)
				node.deliver(p.topic, data)
				clear(data)
			}
		}
	}
	n.packets = nil
}

// cluster runs a test with three brokers: two are on nodes of their own, and the third is on
// the first one's.
func cluster(t *testing.T, o Options, f func(n *network, first, other, neighbour *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := new(network)
		var worlds []*world
		var hubs []*handler.Hub
		for i := range 3 {
			if i < 2 {
				hub, err := handler.NewHub(&node{network: n, topics: make(map[string]bool)})
				if err != nil {
					t.Fatal(err)
				}
				hubs = append(hubs, hub)
			}
			o.Hub = hubs[i%2]
			b, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			w := &world{T: t, broker: b, registry: session.NewRegistry(b, config)}
			defer w.end()
			worlds = append(worlds, w)
		}
		f(n, worlds[0], worlds[1], worlds[2])
	})
}

// What is sent on one node reaches each subscription on any node once: those of its own at
// once, the others by the engine.
func TestMessagesReachOtherNodes(t *testing.T) {
	for _, e := range []struct{ subscription, send, destination string }{
		{"/topic/a", "/topic/a", "/topic/a"},
		{"/topic/*", "/topic/a", "/topic/a"},
		{"/user/queue/a", "/user/bob/queue/a", "/user/queue/a"},
		{"/user/queue/*", "/user/bob/queue/a", "/user/queue/a"},
	} {
		cluster(t, Options{Login: byLogin}, func(n *network, first, other, neighbour *world) {
			var clients []*client
			for _, w := range []*world{first, neighbour, other} {
				clients = append(clients, w.user("bob", e.subscription))
			}
			sender := first.connect("1.2")
			for _, body := range []string{"1", "2"} {
				sender.send("SEND\ndestination:" + e.send + "\ncontent-type:text/plain\nf:a\\cb\\nc\n\n" + body + "\x00")
			}
			var want []string
			for _, body := range []string{"1", "2"} {
				want = append(want, message(e.destination, "0", body, "content-type:text/plain", `f:a\cb\nc`))
			}
			clients[0].want(want...)
			clients[1].want(want...)
			clients[2].want()
			n.carry()
			clients[0].want()
			clients[1].want()
			clients[2].want(want...)
		})
	}
}

// A message is one on all nodes, and by all ways that it takes.
func TestMessageHasOneID(t *testing.T) {
	cluster(t, Options{}, func(n *network, first, other, neighbour *world) {
		var clients []*client
		for _, w := range []*world{first, other, neighbour} {
			clients = append(clients, w.user("", "/topic/a", "/topic/*"))
		}
		first.broker.Send(t.Context(), "/topic/a", "x")
		n.carry()
		var ids []string
		for _, c := range clients {
			c.mu.Lock()
			for _, m := range c.messages {
				_, id, _ := strings.Cut(m, "\nmessage-id:")
				id, _, _ = strings.Cut(id, "\n")
				ids = append(ids, id)
			}
			c.mu.Unlock()
		}
		if got := slices.Compact(slices.Clone(ids)); len(ids) != 6 || len(got) != 1 || got[0] == "" {
			t.Errorf("got %q", ids)
		}
	})
}

// The resolved destination of a session is its own, wherever that lives.
func TestResolvedDestinationOnOtherNodeIsRefused(t *testing.T) {
	cluster(t, Options{}, func(n *network, first, other, _ *world) {
		own := first.user("", "/user/queue/x").session.ID()
		for _, text := range []string{"SUBSCRIBE\nid:0", "SEND"} {
			x := other.user("")
			x.send(text + "\ndestination:/queue/x-user" + own + "\n\n\x00")
			x.want(errorFrame(`Access to /queue/x-user`+own+` is denied\c it is another session's`), closed1002)
		}
	})
}

func TestForeignPublicationsAreLoggedOnce(t *testing.T) {
	var log logBuffer
	cluster(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(n *network, first, other, _ *world) {
		c := other.user("", "/topic/a")
		for _, spoil := range []func(data []byte) []byte{
			func(data []byte) []byte { return data[:len(data)-1] }, // without the NUL
			func(data []byte) []byte { return bytes.Replace(data, []byte("MESSAGE"), []byte("SEND"), 1) },
			func(data []byte) []byte { return bytes.Replace(data, []byte("MESSAGE"), []byte("MESS"), 1) },
		} {
			first.broker.Send(t.Context(), "/topic/a", "x")
			synctest.Wait()
			for i, p := range n.packets {
				n.packets[i].data = spoil(p.data)
			}
			n.carry()
			c.want()
		}
		if got := other.broker.Stats().Foreign.Load(); got != 3 {
			t.Errorf("%d are counted", got)
		}
	})
	if s := log.String(); strings.Count(s, "a publication of another node is left out") != 1 || !strings.Contains(s, "it is no MESSAGE, or cut short") {
		t.Errorf("log: %s", s)
	}
}

// What has come from another node is decoded for the first who gets it.
func TestPublicationIsDecodedOnce(t *testing.T) {
	b, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sent := publication{key: "d:/topic/a", headers: Headers{{Name: "destination", Value: "/topic/a"}}, body: []byte("x")}
	p := handler.Publication{Text: sent.Append(nil)}
	m := b.open(&p)
	if m == nil || m.key != sent.key || m.headers.Value("destination") != "/topic/a" || string(m.body) != "x" || b.open(&p) != m {
		t.Errorf("got %+v", m)
	}
}

// A message with an ID of its own is had once by each subscription, however often and wherever
// it is sent; the same ID on another topic is another message.
func TestMessageThatIsRepeatedIsHadOnce(t *testing.T) {
	cluster(t, Options{}, func(n *network, first, other, _ *world) {
		a, b := first.user("", "/topic/*", "/topic/a"), other.user("", "/topic/*", "/topic/a")
		for _, w := range []*world{first, first, other} {
			w.broker.Send(t.Context(), "/topic/a", Message{ID: "1", Payload: "x"})
			n.carry()
		}
		other.broker.Send(t.Context(), "/topic/b", Message{ID: "1", Payload: "y"})
		n.carry()
		a.wantBodies("x", "x", "y")
		b.wantBodies("x", "x", "y")
	})
}

// open is a store that the test closes, and not those who have it.
type open struct{ history.Store }

func (open) Close() error { return nil }

// What is kept has one order on every node, though it comes in another; and what a user reads on
// one is read on all.
func TestHistoryOverNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := new(network), memorystore.New(memorystore.Options{})
		defer store.Close()
		var worlds []*world
		for range 2 {
			hub, err := handler.NewHub(&node{network: n, topics: make(map[string]bool)})
			if err != nil {
				t.Fatal(err)
			}
			log, err := history.New(open{store}, hub, kept)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			b, err := New(Options{Hub: hub, History: log, Login: byHeaders})
			if err != nil {
				t.Fatal(err)
			}
			w := &world{T: t, broker: b, registry: session.NewRegistry(b, config)}
			defer w.end()
			worlds = append(worlds, w)
		}
		var kims, senders []*client
		for _, w := range worlds {
			kim := w.connect("1.2", "login:kim")
			kim.send("SUBSCRIBE\nid:0\ndestination:/topic/alarm/7\nreceipt:1\n\n\x00")
			kim.wantKept(receiptWith("1", "unread:0"))
			kims, senders = append(kims, kim), append(senders, w.connect("1.2", "login:sender"))
		}
		send := func(i int, body string) { senders[i].send("SEND\ndestination:/topic/alarm/7\n\n" + body + "\x00") }
		m := func(body string, offset int, unread string) string {
			return keptMessage("/topic/alarm/7", "0", body, offset, "unread:"+unread)
		}
		send(0, "1") // which the other node does not hear of in time
		send(1, "2")
		kims[0].wantKept(m("1", 1, "1"))
		kims[1].wantKept(m("1", 1, "1"), m("2", 2, "2"))
		n.carry()
		synctest.Wait()
		kims[0].wantKept(m("2", 2, "2"))
		kims[1].wantKept()

		kims[0].send("SEND\ndestination:/app/read\nreceipt:r\n\n" + `{"destination":"/topic/alarm/7","offset":"` + worlds[0].epoch("/topic/alarm/7") + `/1"}` + "\x00")
		kims[0].wantKept(receiptWith("r", "unread:1"))
		send(1, "3") // before the other node has heard of that
		kims[1].wantKept(m("3", 3, "3"))
		n.carry()
		synctest.Wait()
		send(1, "4")
		n.carry()
		synctest.Wait()
		kims[0].wantKept(m("3", 3, "2"), m("4", 4, "3"))
		kims[1].wantKept(m("4", 4, "3"))
	})
}
