package stomp

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"switchback/handler"
	"switchback/session"
	"switchback/session/memory"
)

// A sink is a receiver that takes all there is.
type sink struct {
	session *session.Local
	buffer  memory.Pieces
}

func (k *sink) Wake() {
	for k.session != nil {
		f := k.session.Next(k, &k.buffer)
		k.buffer.Reset()
		if f.Kind == session.NoFrame || f.Kind == session.CloseFrame {
			return
		}
	}
}

func openSinks(b testing.TB, opener session.Opener, n int, frames ...string) []*session.Local {
	c := config
	g := session.NewRegistry(opener, c)
	b.Cleanup(func() { g.Shutdown(context.Background()) })
	all := make([]*session.Local, n)
	for i := range all {
		k := &sink{}
		s, err := g.Open("", nil, session.Peer{Transport: "websocket"}, session.SockJS, k)
		if err != nil {
			b.Fatal(err)
		}
		k.session = s
		k.Wake()
		for _, f := range frames {
			s.Receive(context.Background(), []byte(f))
		}
		b.Cleanup(func() { s.Detach(k, fmt.Errorf("gone")) })
		all[i] = s
	}
	return all
}

const subscribers = 1000

// What one delivery costs beside a transport: as a topic of STOMP, and as the
// plain broadcast that it is compared with.
func BenchmarkDelivery(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		body := strings.Repeat("x", size)
		perDelivery := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscribers, "ns/delivery")
		}
		b.Run(fmt.Sprintf("broadcast/%d", size), func(b *testing.B) {
			hub, _ := handler.NewHub(handler.NewMemory())
			all := openSinks(b, session.Shared(handler.Broadcast{Hub: hub, Topic: "t"}), subscribers)
			for b.Loop() {
				all[0].Receive(context.Background(), []byte(body))
			}
			perDelivery(b)
		})
		for _, ids := range []string{"same", "different"} {
			b.Run(fmt.Sprintf("topic/%s ids/%d", ids, size), func(b *testing.B) {
				broker, _ := New(Options{})
				defer broker.Close()
				all := openSinks(b, broker, subscribers, "CONNECT\naccept-version:1.2\n\n\x00")
				for i, s := range all {
					if ids == "same" {
						i = 0
					}
					s.Receive(context.Background(), fmt.Appendf(nil, "SUBSCRIBE\nid:sub-%d\ndestination:/topic/a\n\n\x00", i))
				}
				text := []byte("SEND\ndestination:/topic/a\n\n" + body + "\x00")
				for b.Loop() {
					all[0].Receive(context.Background(), text)
				}
				perDelivery(b)
			})
		}
	}
}

// What a SEND costs whose message goes to subscriptions of this node.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, subscribers} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			broker, _ := New(Options{})
			defer broker.Close()
			all := openSinks(b, broker, n, "CONNECT\naccept-version:1.2\n\n\x00", "SUBSCRIBE\nid:sub-0\ndestination:/topic/a\n\n\x00")
			text := []byte("SEND\ndestination:/topic/a\ncontent-type:text/plain\n\nhello\x00")
			b.ReportAllocs()
			for b.Loop() {
				all[0].Receive(context.Background(), text)
			}
		})
	}
}

// An idle client that is connected and has subscribed, beside its session.
func TestIdleClientIsSmall(t *testing.T) {
	const n = 2000
	measure := func(opener session.Opener, frames ...string) int64 {
		before := heapInUse()
		all := openSinks(t, opener, n, frames...)
		after := heapInUse()
		runtime.KeepAlive(all)
		return (after - before) / n
	}
	bare := measure(session.Shared(handler.Echo{}))
	broker, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	const connect = "CONNECT\naccept-version:1.2\nheart-beat:10000,10000\n\n\x00"
	subscribed := measure(broker, connect, "SUBSCRIBE\nid:sub-0\ndestination:/topic/a\n\n\x00")
	user := measure(broker, connect, "SUBSCRIBE\nid:sub-0\ndestination:/user/queue/a\n\n\x00")
	t.Logf("bytes of a session: %d bare, %d with STOMP and a topic, %d with a destination of the user", bare, subscribed, user)
	if subscribed-bare > 1200 {
		t.Errorf("STOMP and a subscription take %d bytes", subscribed-bare)
	}
	if user-bare > 3000 {
		t.Errorf("STOMP and a destination of the user take %d bytes", user-bare)
	}
}
