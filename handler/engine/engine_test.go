package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"switchback/handler"
	"switchback/handler/engine/enginetest"
	"switchback/session/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A wireOf tells a bus who dials.
type wireOf struct {
	*bus
	node *node
}

func (w wireOf) Dial(_ context.Context, deliver func(channel string, data []byte)) (Conn, error) {
	return w.dial(w.node, deliver)
}

// A node is an engine of a test, with what it has delivered.
type node struct {
	*Engine

	mu   sync.Mutex // guards the rest
	got  []string   // "topic text"
	lost []error
}

func (n *node) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	got := n.got
	n.got = nil
	return got
}

func open(t *testing.T, w *bus, o Options) *node {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := &node{}
	n.Engine = New(wireOf{w, n}, o)
	n.OnLoss(func(err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.lost = append(n.lost, err)
	})
	err := n.Start(func(topic string, data []byte) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.got = append(n.got, topic+" "+string(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// told are the losses.
func (n *node) told() []error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lost)
}

func (n *node) publish(t *testing.T, topic, text string) {
	t.Helper()
	if err := n.Publish(t.Context(), topic, []byte(text)); err != nil {
		t.Errorf("%s %s: %v", topic, text, err)
	}
}

func (n *node) subscribe(t *testing.T, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		if err := n.Subscribe(t.Context(), topic); err != nil {
			t.Error(err)
		}
	}
}

// The suite for all engines, and for the one that has no server.
func TestSuite(t *testing.T) {
	enginetest.Run(t, false, func(t *testing.T) *enginetest.Cluster {
		b := new(bus)
		return &enginetest.Cluster{
			Open: func(_ *testing.T, _, outbox int) handler.Engine {
				return New(wireOf{b, nil}, Options{Outbox: outbox, Logger: slog.New(slog.DiscardHandler)})
			},
			Cut:     func(*testing.T) { b.set(true) },
			Restore: func(*testing.T) { b.set(false) },
			Publish: func(_ *testing.T, data []byte) {
				b.foreign(nodesChannel, data)
				b.foreign(topicChannel("a"), data)
			},
		}
	})
	enginetest.Run(t, true, func(t *testing.T) *enginetest.Cluster {
		return &enginetest.Cluster{Open: func(*testing.T, int, int) handler.Engine { return handler.NewMemory() }}
	})
}

// Whatever breaks and when, what is published reaches each node that has subscribed, once and
// in the order of its publisher over all topics, and nobody tells of a loss: connections of
// one node or all, with all that is on its way, in the middle of asking for what was missed.
func TestNothingIsLostThatIsKept(t *testing.T) {
	seeds := 30
	if testing.Short() {
		seeds = 5
	}
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			random, b := rand.New(rand.NewPCG(seed, 0)), new(bus)
			var nodes []*node
			for range 4 {
				n := open(t, b, Options{})
				n.subscribe(t, "a", "b")
				nodes = append(nodes, n)
			}
			time.Sleep(time.Second)
			sent := make([][]string, len(nodes))
			for i := range 2000 {
				for from, n := range nodes {
					topic := []string{"a", "b", "nobody's", handler.Everything}[random.IntN(4)]
					text := fmt.Sprint(from, " ", i)
					if n.publish(t, topic, text); topic == "a" || topic == "b" {
						sent[from] = append(sent[from], topic+" "+text)
					}
					if random.IntN(100) == 0 {
						n.subscribe(t, fmt.Sprint(i))
					}
				}
				switch random.IntN(300) {
				case 0:
					one := random.IntN(4)
					b.cut(func(i int) bool { return i == one })
				case 1:
					b.set(true)
				case 2:
					b.set(false)
				}
				time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
			}
			b.set(false)
			time.Sleep(3 * time.Second)
			for to, n := range nodes {
				got := make([][]string, len(nodes))
				for _, text := range n.take() {
					from := int(strings.Fields(text)[1][0] - '0')
					got[from] = append(got[from], text)
				}
				for from := range nodes {
					if want := sent[from]; from != to && !slices.Equal(got[from], want) {
						t.Errorf("seed %d: node %d got %d of node %d's %d", seed, to, len(got[from]), from, len(want))
					}
				}
				if len(got[to]) != 0 {
					t.Errorf("seed %d: node %d got its own", seed, to)
				}
				s := n.Stats()
				if s.Losses.Load() != 0 || len(n.told()) != 0 {
					t.Errorf("seed %d: node %d: losses told: %v", seed, to, n.told())
				}
				if s.Nodes.Load() != 3 || s.Connected.Load() != 1 || s.Unconfirmed.Load() != 0 || s.Outbox.Load() != 0 {
					t.Errorf("seed %d: node %d: %d nodes, %d unconfirmed", seed, to, s.Nodes.Load(), s.Unconfirmed.Load())
				}
			}
			for _, n := range nodes {
				n.Close()
			}
		})
	}
}

// What does not fit the outbox any more when a node comes back is a loss, and told once.
func TestWhatIsNotKeptIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		b := new(bus)
		first, second := open(t, b, Options{Outbox: 10 << 10}), open(t, b, Options{Name: "second", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		second.subscribe(t, "a")
		time.Sleep(answerWithin + time.Second)
		b.refuse(second)
		for i := range 1000 {
			first.publish(t, "a", fmt.Sprint(i))
			time.Sleep(time.Millisecond)
		}
		b.refuse(nil)
		time.Sleep(2 * time.Second)
		first.publish(t, "a", "end")
		time.Sleep(time.Second)
		got := second.take()
		if n := len(got); n < 50 || n > 500 || got[n-1] != "a end" || got[n-2] != "a 999" {
			t.Errorf("got %d", n)
		}
		if len(second.told()) != 1 || second.Stats().Losses.Load() != 1 || len(first.told()) != 0 {
			t.Errorf("told of %v and %v", second.told(), first.told())
		}
		lost := fmt.Sprintf(`may be lost" node=%s name=%s why=`, nodeName(first.node), first.options.Name)
		if text := log.String(); strings.Count(text, lost) != 1 || strings.Count(text, "may be lost") != 1 || strings.Count(text, "not connected") != 1 {
			t.Errorf("log: %s", text)
		}
		first.Close()
		second.Close()
	})
}

// Who ends without a word has left something untold, perhaps. Nobody waits for it for long.
func TestWhoIsGoneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		first, second, third := open(t, b, Options{}), open(t, b, Options{}), open(t, b, Options{})
		time.Sleep(time.Second)
		third.Close()
		time.Sleep(time.Second)
		if n := first.Stats().Nodes.Load(); n != 1 || len(first.told()) != 0 {
			t.Errorf("%d nodes are left, losses %v", n, first.told())
		}
		b.refuse(second)
		begun := time.Now()
		first.subscribe(t, "a")
		if took := time.Since(begun); took > overdue+2*watchEvery {
			t.Errorf("it waits for %v", took)
		}
		begun = time.Now()
		first.subscribe(t, "b")
		if took := time.Since(begun); took > 0 {
			t.Errorf("it waits again, for %v", took)
		}
		first.publish(t, "a", "kept")
		time.Sleep(2 * forgetAfter)
		s := first.Stats()
		if s.Nodes.Load() != 0 || len(first.told()) != 1 || s.Unconfirmed.Load() != 0 {
			t.Errorf("%d nodes are left, losses %v, %d unconfirmed", s.Nodes.Load(), first.told(), s.Unconfirmed.Load())
		}
		b.refuse(nil)
		time.Sleep(2 * time.Second)
		first.publish(t, "a", "alone")
		synctest.Wait()
		second.subscribe(t, "a")
		first.publish(t, "a", "together")
		time.Sleep(time.Second)
		if got := second.take(); !slices.Equal(got, []string{"a together"}) {
			t.Errorf("got %q", got)
		}
		first.Close()
		second.Close()
	})
}

// Who has been out of reach for so long that it was forgotten is told of what was published
// meanwhile, also where there was nobody else to publish it to, and of nothing where nothing
// was: it may have lost its connection, or both are connected and do not hear each other, or
// one does.
func TestWhatTheForgottenMissIsTold(t *testing.T) {
	for name, leave := range map[string]func(b *bus, n *node){"away": (*bus).refuse, "parted": (*bus).part, "mute": (*bus).silence} {
		for _, published := range []int{0, 1} {
			t.Run(fmt.Sprint(name, published), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var log lines
					b := new(bus)
					first, second := open(t, b, Options{}), open(t, b, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
					second.subscribe(t, "a")
					time.Sleep(time.Second)
					first.publish(t, "a", "1")
					time.Sleep(time.Second)
					leave(b, second)
					time.Sleep(2 * forgetAfter)
					before := len(second.told())
					for range published {
						first.publish(t, "a", "2")
					}
					time.Sleep(time.Second)
					leave(b, nil)
					time.Sleep(2 * time.Second)
					first.publish(t, "a", "3")
					time.Sleep(time.Second)
					if got := second.take(); !slices.Equal(got, []string{"a 1", "a 3"}) || len(second.told())-before != published {
						t.Errorf("got %q, told of %v", got, second.told()[before:])
					}
					if n := strings.Count(log.String(), "does not answer"); n > 1 {
						t.Errorf("%d lines: %s", n, log.String())
					}
					if a, b := first.Status().Nodes, second.Status().Nodes; len(a) != 1 || a[0].Missing || len(b) != 1 || b[0].Missing {
						t.Errorf("they know %+v and %+v", a, b)
					}
					first.Close()
					second.Close()
				})
			})
		}
	}
}

// Who is met again before it has seen that it was forgotten is told, too.
func TestWhatTheForgottenMissIsToldWhenTheyAreMetAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		first, second := open(t, b, Options{}), open(t, b, Options{})
		second.subscribe(t, "a")
		time.Sleep(time.Second)
		first.publish(t, "a", "1")
		time.Sleep(time.Second)
		b.silence(second)
		for first.Stats().Nodes.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
		before := len(second.told())
		first.publish(t, "a", "2")
		b.silence(nil)
		second.Engine.mu.Lock()
		second.announcing = true
		second.Engine.mu.Unlock()
		signal(second.wake)
		time.Sleep(2 * time.Second)
		first.publish(t, "a", "3")
		time.Sleep(time.Second)
		if got := second.take(); !slices.Equal(got, []string{"a 1", "a 3"}) || len(second.told()) != before+1 {
			t.Errorf("got %q, told of %v", got, second.told()[before:])
		}
		if n := first.Status().Nodes; len(n) != 1 || n[0].Missing {
			t.Errorf("it knows %+v", n)
		}
		first.Close()
		second.Close()
	})
}

// What is missed is asked for once, however long it takes to come, and what comes is waited for.
func TestMuchIsMissedOnASlowConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		b := new(bus)
		first, second := open(t, b, Options{}), open(t, b, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		second.subscribe(t, "a")
		time.Sleep(time.Second)
		b.refuse(second)
		var want []string
		for i := range 1500 {
			text := fmt.Sprint(i, strings.Repeat(" ", 4000))
			first.publish(t, "a", text)
			want = append(want, "a "+text)
		}
		b.setSlow(200 << 10)
		b.refuse(nil)
		time.Sleep(40 * time.Second)
		if got := second.take(); !slices.Equal(got, want) || len(second.told())+len(first.told()) > 0 || first.Stats().Resent.Load() != 1500 {
			t.Errorf("got %d, of %d that are sent, told of %v", len(got), first.Stats().Resent.Load(), second.told())
		}
		if strings.Contains(log.String(), "does not answer") {
			t.Errorf("log: %s", log.String())
		}
		b.setSlow(0)
		first.Close()
		second.Close()
	})
}

// What comes behind what another node sends again is waited for, too: it is seldom asked for
// again, and what has come of an earlier ask is taken.
func TestSeveralSendAgainOnASlowConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		first, second, third := open(t, b, Options{}), open(t, b, Options{}), open(t, b, Options{})
		second.subscribe(t, "a")
		time.Sleep(time.Second)
		b.refuse(second)
		for i := range 1500 {
			first.publish(t, "a", fmt.Sprint(i, strings.Repeat(" ", 4000)))
			third.publish(t, "a", fmt.Sprint(i, strings.Repeat(" ", 4000)))
		}
		b.setSlow(1 << 20)
		b.refuse(nil)
		time.Sleep(14 * time.Second)
		resent := first.Stats().Resent.Load() + third.Stats().Resent.Load()
		if got := second.take(); len(got) != 3000 || len(second.told()) > 0 || resent > 3*3000 {
			t.Errorf("got %d, of %d that are sent, told of %v", len(got), resent, second.told())
		}
		b.setSlow(0)
		first.Close()
		second.Close()
		third.Close()
	})
}

// What comes of a node that was forgotten before it is known again comes once, and not before
// what was missed.
func TestWhoWasForgottenPublishesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		first, second, third := open(t, b, Options{}), open(t, b, Options{}), open(t, b, Options{})
		second.subscribe(t, "a")
		time.Sleep(time.Second)
		first.publish(t, "a", "1")
		time.Sleep(time.Second)
		b.part(second)
		time.Sleep(2 * forgetAfter)
		first.publish(t, "a", "2")
		time.Sleep(time.Second)
		before := len(second.told())
		b.part(nil)
		for i := range 50 {
			first.publish(t, "a", fmt.Sprint(3+i))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		got := second.take()
		for i := 1; i < len(got); i++ {
			var last, next int
			fmt.Sscanf(got[i-1]+" "+got[i], "a %d a %d", &last, &next)
			if next <= last || i > 1 && next != last+1 {
				t.Errorf("got %q", got)
			}
		}
		if len(got) < 2 || got[len(got)-1] != "a 52" || len(second.told()) != before+1 {
			t.Errorf("got %q, told of %v", got, second.told()[before:])
		}
		first.Close()
		second.Close()
		third.Close()
	})
}

// Where something is missing in what a node sends again, or behind it, that is a loss.
func TestHoleInWhatIsSentAgainIsTold(t *testing.T) {
	for name, numbers := range map[string][]byte{"in it": {1, 2, 4}, "behind it": {1, 2, 3}, "none": {1, 2, 3, 4}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := new(bus)
				n := open(t, b, Options{})
				n.subscribe(t, "a")
				conn, err := b.dial(nil, func(_ string, data []byte) {
					p, err := decode(data)
					if _, wants := p.after(7); err != nil || !wants {
						return
					}
					for _, number := range numbers {
						one := newPublication(7, "a", []byte{'0' + number})
						one[numberAt+7] = number
						again := packet{kind: resent, node: 7, mark: p.mark, data: one}
						b.foreign(ownChannel(n.node), again.append(nil))
					}
					a := packet{kind: answer, node: 7, mark: p.mark, flags: resentFlag, incarnation: 2, number: 2, sent: 4}
					b.foreign(ownChannel(n.node), a.append(nil))
				})
				if err != nil {
					t.Fatal(err)
				}
				conn.Subscribe([]string{nodesChannel})
				for i := range uint64(2) {
					p := packet{kind: announcement, node: 7, number: 1 + i, incarnation: 1 + i, sent: 4 * i}
					b.foreign(nodesChannel, p.append(nil))
					synctest.Wait()
				}
				want := 1
				if name == "none" {
					want = 0
				}
				if got := n.take(); len(got) != len(numbers) || len(n.told()) != want {
					t.Errorf("got %q, told of %v", got, n.told())
				}
				conn.Close()
				n.Close()
			})
		})
	}
}

// A process that has stood still has not read what came meanwhile: nobody is in doubt for that.
func TestProcessThatStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		first, second := open(t, b, Options{}), open(t, b, Options{})
		time.Sleep(time.Second)
		before := first.Stats().Resyncs.Load()
		first.Engine.mu.Lock()
		first.watched = first.watched.Add(-time.Minute)
		for _, m := range first.members {
			m.seen, m.heard = m.seen.Add(-time.Minute), m.heard.Add(-time.Minute)
		}
		first.Engine.mu.Unlock()
		time.Sleep(time.Second)
		if s := first.Stats(); s.Resyncs.Load() != before || s.Nodes.Load() != 1 || s.Losses.Load() != 0 {
			t.Errorf("%d resyncs, %d nodes, %d losses", s.Resyncs.Load()-before, s.Nodes.Load(), s.Losses.Load())
		}
		first.Close()
		second.Close()
	})
}

// A publication that only patterns could ask for costs nothing where no other node has any,
// as one costs nothing where there is no other node.
func TestNobodysPublicationsAreNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		first := open(t, b, Options{})
		first.publish(t, "a", "1")
		second := open(t, b, Options{})
		time.Sleep(time.Second)
		first.publish(t, handler.Everything, "2")
		if n := first.Stats().Published.Load(); n != 0 {
			t.Errorf("%d are sent", n)
		}
		second.subscribe(t, handler.Everything)
		first.publish(t, handler.Everything, "3")
		time.Sleep(time.Second)
		if got := second.take(); first.Stats().Published.Load() != 1 || !slices.Equal(got, []string{"* 3"}) {
			t.Errorf("got %q", got)
		}
		first.Close()
		second.Close()
	})
}

// However much is published, what others have got makes room before the outbox is full: they
// are asked to say so.
func TestOutboxIsConfirmedBeforeItIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		first, second := open(t, b, Options{Outbox: 100 << 10}), open(t, b, Options{})
		time.Sleep(time.Second)
		for range 10000 {
			first.publish(t, "nobody's", strings.Repeat("x", 1000))
			synctest.Wait()
		}
		if s := second.Stats(); s.Losses.Load() != 0 || first.Stats().Refused.Load() != 0 {
			t.Errorf("%d losses, %d refused", s.Losses.Load(), first.Stats().Refused.Load())
		}
		first.Close()
		second.Close()
	})
}

// A publication that the server does not take is refused, and ends nothing.
func TestLargePublicationIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bus{maxSize: 1000}
		first, second := open(t, b, Options{}), open(t, b, Options{})
		second.subscribe(t, "a")
		time.Sleep(time.Second)
		if err := first.Publish(t.Context(), "a", make([]byte, 1000)); err == nil || !strings.Contains(err.Error(), "larger than the server takes, which is 1000") {
			t.Errorf("got %v", err)
		}
		first.publish(t, "a", "1")
		time.Sleep(time.Second)
		if got := second.take(); first.Stats().Refused.Load() != 1 || !slices.Equal(got, []string{"a 1"}) {
			t.Errorf("got %q", got)
		}
		first.Close()
		second.Close()
	})
}

// A node that comes again, by a connection that was slower than the next, is not believed.
func TestLateMessagesAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		n, other := open(t, b, Options{}), uint64(7)
		n.subscribe(t, "a")
		say := func(p packet) {
			p.node = other
			b.foreign(nodesChannel, p.append(nil))
		}
		publish := func(number uint64, text string) {
			data := newPublication(other, "a", []byte(text))
			data[numberAt+7] = byte(number)
			b.foreign(topicChannel("a"), data)
		}
		publish(1, "of one who is not known yet")
		say(packet{kind: announcement, number: 5, incarnation: 2, sent: 3, text: []byte("other")})
		publish(2, "late")
		publish(4, "new")
		publish(4, "again")
		say(packet{kind: announcement, number: 4, incarnation: 1, sent: 2})
		publish(5, "newer")
		say(packet{kind: announcement, number: 6, incarnation: 3, sent: 5})
		publish(6, "after a connection that broke")
		synctest.Wait()
		if got := n.take(); !slices.Equal(got, []string{"a of one who is not known yet", "a new", "a newer"}) {
			t.Errorf("got %q", got)
		}
		if s := n.Stats(); s.Late.Load() != 3 || s.Resyncs.Load() != 1 || s.Losses.Load() != 0 {
			t.Errorf("%d late, %d resyncs, %d losses", s.Late.Load(), s.Resyncs.Load(), s.Losses.Load())
		}
		n.Close()
	})
}

// A node that goes on from a copy of its memory, of a virtual machine, say, is heard again: at
// once where it is on a later connection than before, and else when it has been forgotten.
func TestNodeGoesBack(t *testing.T) {
	for incarnation := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			b := new(bus)
			n := open(t, b, Options{})
			n.subscribe(t, "a")
			say := func(number, incarnation, sent uint64) {
				p := packet{kind: announcement, node: 7, number: number, incarnation: incarnation, sent: sent}
				b.foreign(nodesChannel, p.append(nil))
				synctest.Wait()
			}
			publish := func(number byte) {
				data := newPublication(7, "a", []byte{'0' + number})
				data[numberAt+7] = number
				b.foreign(topicChannel("a"), data)
				synctest.Wait()
			}
			say(5, 2, 3)
			publish(4)
			publish(5)
			say(6, 2, 5)
			for i := range uint64(100) {
				say(3+i, incarnation, 2)
				publish(2)
				time.Sleep(announceEvery)
			}
			publish(3)
			if got := n.take(); !slices.Equal(got, []string{"a 4", "a 5", "a 3"}) || len(n.told()) != 1 {
				t.Errorf("incarnation %d: got %q, told of %v", incarnation, got, n.told())
			}
			n.Close()
		})
	}
}

// Where a node that has gone back is in doubt, since it was silent for one, its answer tells.
func TestNodeGoesBackWhileItIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		n := open(t, b, Options{})
		n.subscribe(t, "a")
		var number, incarnation, sent atomic.Uint64
		incarnation.Store(1)
		var conn Conn
		conn, err := b.dial(nil, func(_ string, data []byte) {
			if p, err := decode(data); err == nil && p.kind == ask {
				a := packet{kind: answer, node: 7, mark: p.mark, flags: resentFlag, incarnation: incarnation.Load(), number: number.Load(), sent: sent.Load()}
				b.foreign(ownChannel(n.node), a.append(nil))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		conn.Subscribe([]string{nodesChannel})
		say := func() {
			p := packet{kind: announcement, node: 7, number: number.Add(1), incarnation: incarnation.Load(), sent: sent.Load()}
			b.foreign(nodesChannel, p.append(nil))
			synctest.Wait()
		}
		publish := func() {
			sent.Add(1)
			data := newPublication(7, "a", fmt.Append(nil, sent.Load()))
			data[numberAt+7] = byte(sent.Load())
			b.foreign(topicChannel("a"), data)
			synctest.Wait()
		}
		say()
		publish()
		publish()
		publish()
		say()
		time.Sleep(2 * time.Second)
		number.Store(1)
		incarnation.Store(2)
		sent.Store(1)
		for range 4 {
			say()
			time.Sleep(announceEvery)
		}
		publish()
		if got := n.take(); !slices.Equal(got, []string{"a 1", "a 2", "a 3", "a 2"}) || len(n.told()) != 1 {
			t.Errorf("got %q, told of %v", got, n.told())
		}
		conn.Close()
		n.Close()
	})
}

// Another server of theirs may bring again what has come by the one before: that is nobody who
// goes back, and comes once.
func TestServerThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		n := open(t, b, Options{})
		n.subscribe(t, "a")
		say := func(number, sent uint64) {
			p := packet{kind: announcement, node: 7, number: number, incarnation: 1, sent: sent}
			b.foreign(nodesChannel, p.append(nil))
		}
		publish := func(number byte) {
			data := newPublication(7, "a", []byte{'0' + number})
			data[numberAt+7] = number
			b.foreign(topicChannel("a"), data)
		}
		say(5, 3)
		publish(4)
		publish(5)
		say(6, 5)
		synctest.Wait()
		b.set(true)
		b.set(false)
		time.Sleep(2 * redialLast)
		say(5, 3)
		publish(4)
		publish(5)
		say(6, 5)
		synctest.Wait()
		if got := n.take(); !slices.Equal(got, []string{"a 4", "a 5"}) || len(n.told()) != 0 {
			t.Errorf("got %q, told of %v", got, n.told())
		}
		n.Close()
	})
}

// Where announcements are missing on a connection that goes on, what has come after them may
// be after a hole, which is told.
func TestHoleIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		n := open(t, b, Options{})
		for _, number := range []uint64{1, 2, 4} {
			p := packet{kind: announcement, node: 7, number: number, incarnation: 1}
			b.foreign(nodesChannel, p.append(nil))
		}
		synctest.Wait()
		if len(n.told()) != 1 {
			t.Errorf("told of %v", n.told())
		}
		n.Close()
	})
}

// Who asks for the same many times in one packet gets it once, and who has not announced
// itself nothing: else few bytes would have a node send and hold very many.
func TestAskIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		n := open(t, b, Options{})
		say := func(p packet) {
			b.foreign(nodesChannel, p.append(nil))
			synctest.Wait()
		}
		say(packet{kind: announcement, node: 7, number: 1, incarnation: 1})
		n.publish(t, "a", "1")
		synctest.Wait()
		say(packet{kind: ask, node: 7, mark: 1, positions: slices.Repeat([]position{{n.node, 0}}, 100)})
		if got := n.Stats().Resent.Load(); got != 1 {
			t.Errorf("sent %d times", got)
		}
		say(packet{kind: ask, node: 8, mark: 1, positions: []position{{n.node, 0}}})
		if got := n.Stats().Resent.Load(); got != 1 {
			t.Errorf("sent %d times, once to nobody that is known", got)
		}
		for range 10 {
			say(packet{kind: ask, node: 7, mark: 1, positions: []position{{n.node, 0}}})
		}
		if got := n.Stats().Resent.Load(); got != 1 {
			t.Errorf("sent %d times to who repeats what it asks", got)
		}
		if say(packet{kind: ask, node: 7, mark: 2, positions: []position{{n.node, 0}}}); n.Stats().Resent.Load() != 2 {
			t.Error("it is not sent again")
		}
		n.Close()
	})
}

// However many announce themselves, few are known, by a name that is no longer than a node's.
func TestManyNodesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		b := new(bus)
		n := open(t, b, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		defer n.Close()
		say := func(node uint64, name string, positions int) {
			p := packet{kind: announcement, node: node, number: 1, incarnation: 1, text: []byte(name), positions: make([]position, positions)}
			b.foreign(nodesChannel, p.append(nil))
			synctest.Wait()
		}
		say(1, strings.Repeat("x", handler.MaxID+1), 0)
		say(2, "", maxNodes+1)
		if s := n.Stats(); s.Broken.Load() != 2 || s.Nodes.Load() != 0 {
			t.Errorf("%d broken, %d nodes", s.Broken.Load(), s.Nodes.Load())
		}
		for node := range uint64(maxNodes + 10) {
			say(3+node, "one of many", 0)
		}
		s := n.Stats()
		if s.Nodes.Load() != maxNodes || s.Crowded.Load() != 10 || strings.Count(log.String(), "more nodes than may be") != 1 {
			t.Errorf("%d nodes, %d more", s.Nodes.Load(), s.Crowded.Load())
		}
		if time.Sleep(2 * forgetAfter); s.Nodes.Load() != 0 {
			t.Errorf("%d nodes are left", s.Nodes.Load())
		}
		for node := range uint64(maxNodes) {
			say(1000+node, "one of many more", 0)
		}
		time.Sleep(2 * forgetAfter)
		n.Engine.mu.Lock()
		defer n.Engine.mu.Unlock()
		if s.Nodes.Load() != 0 || len(n.away) != maxNodes || n.away[1000] == nil {
			t.Errorf("%d nodes are left, and %d may come back", s.Nodes.Load(), len(n.away))
		}
	})
}

// A server that takes connections and ends them, since something is not allowed, is not tried
// as often as one that is away.
func TestConnectionsThatDoNotLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		b := new(bus)
		n := open(t, b, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		b.setRefuses(true)
		time.Sleep(time.Minute)
		if got := n.Stats().Connections.Load(); got < 8 || got > 30 {
			t.Errorf("%d connections in a minute", got)
		}
		if got := strings.Count(log.String(), "\n"); got > 60 {
			t.Errorf("%d lines in a minute", got)
		}
		b.setRefuses(false)
		if time.Sleep(2*redialRefused + time.Second); n.Stats().Connected.Load() != 1 {
			t.Error("it is not connected")
		}
		b.set(true)
		time.Sleep(time.Minute)
		b.set(false)
		if time.Sleep(2 * redialLast); n.Stats().Connected.Load() != 1 {
			t.Error("it is not connected as soon as the server is back")
		}
		n.Close()
	})
}

// What was taken before the server, or the next one, took less is dropped and told. All else
// goes on: the server would end each connection on which it comes.
func TestServerThatTakesLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(bus)
		first, second := open(t, b, Options{}), open(t, b, Options{})
		second.subscribe(t, "a")
		first.publish(t, "a", "1")
		time.Sleep(time.Second)
		b.set(true)
		for _, text := range []string{"2", strings.Repeat("x", 2000), "3"} {
			first.publish(t, "a", text)
		}
		b.setMaxSize(1000)
		b.set(false)
		time.Sleep(3 * time.Second)
		first.publish(t, "a", "4")
		time.Sleep(time.Second)
		if got := second.take(); !slices.Equal(got, []string{"a 1", "a 2", "a 3", "a 4"}) {
			t.Errorf("got %.200q", got)
		}
		if s := first.Stats(); s.Refused.Load() != 1 || s.Unconfirmed.Load() != 0 || s.Outbox.Load() != 0 || len(second.told()) == 0 {
			t.Errorf("%d refused, %d unconfirmed, losses %v", s.Refused.Load(), s.Unconfirmed.Load(), second.told())
		}
		first.Close()
		second.Close()
	})
}

// What a server does not take is kept no longer, and counted no longer, though others have yet
// to confirm it. Nothing makes room for what is larger than all there is.
func TestWhatIsDroppedIsNotCounted(t *testing.T) {
	var stats Stats
	o := newOutbox(1<<20, &stats)
	m := Message{"a", newPublication(7, "a", make([]byte, 2000))}
	if err := o.add(m); err != nil {
		t.Fatal(err)
	}
	if batch, skipped := o.take(nil, 1000); len(batch) > 0 || !skipped || stats.Outbox.Load() > messageSize+10 || stats.Unconfirmed.Load() != 1 {
		t.Errorf("%d are sent, skipped: %v; the outbox has %d bytes of %d", len(batch), skipped, stats.Outbox.Load(), stats.Unconfirmed.Load())
	}
	o.setDrops(true)
	if err := o.add(Message{"a", make([]byte, 1<<20)}); !errors.Is(err, ErrFull) || stats.Unconfirmed.Load() != 1 {
		t.Errorf("got %v, and %d make room for what is larger than all", err, 1-stats.Unconfirmed.Load())
	}
	if o.close(); stats.Outbox.Load() != 0 || stats.Unconfirmed.Load() != 0 {
		t.Errorf("it has %d bytes of %d when it is closed", stats.Outbox.Load(), stats.Unconfirmed.Load())
	}
}

// What the outbox keeps counts as held by the process, until it is confirmed or the engine
// closes.
func TestOutboxIsInTheMemoryLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := memory.Used()
		b := new(bus)
		first, second := open(t, b, Options{}), open(t, b, Options{})
		time.Sleep(time.Second)
		b.set(true)
		first.publish(t, "a", strings.Repeat("x", 1<<20))
		if held := memory.Used() - before; held < 1<<20 || held != first.Stats().Outbox.Load() {
			t.Errorf("%d bytes are held", held)
		}
		b.set(false)
		time.Sleep(3 * time.Second)
		if held := memory.Used() - before; held != 0 {
			t.Errorf("%d bytes are held when all is confirmed", held)
		}
		b.set(true)
		first.publish(t, "a", "1")
		first.Close()
		second.Close()
		if err := first.Publish(t.Context(), "a", []byte("2")); !errors.Is(err, ErrFull) || memory.Used() != before {
			t.Errorf("%d bytes are held by nobody; %v", memory.Used()-before, err)
		}
	})
}

// What is in the outbox when the engine closes, and the server is away, is lost: so the log says.
func TestCloseTellsWhatIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		b := new(bus)
		first, second := open(t, b, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}), open(t, b, Options{})
		time.Sleep(time.Second)
		first.publish(t, "a", "1")
		time.Sleep(time.Second)
		b.set(true)
		time.Sleep(time.Second)
		first.publish(t, "a", "2")
		first.publish(t, "a", "3")
		first.Close()
		if !strings.Contains(log.String(), "publications are lost to other nodes: the server has not taken them in time\" publications=2") {
			t.Errorf("log: %s", log.String())
		}
		b.set(false)
		time.Sleep(time.Second)
		second.Close()
	})
}

// lines are a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
