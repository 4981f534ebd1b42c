package enginetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"switchback/handler"
)

// patience is far more than anything here takes, also on a machine that has much else to do.
const patience = time.Minute

// A node is an engine of the test, and what it has delivered.
type node struct {
	t *testing.T
	handler.Engine

	mu     sync.Mutex // guards the rest
	got    []string   // "topic text"
	losses int
	hold   chan struct{} // deliveries wait for it; nil: they do not
}

func start(t *testing.T, c *Cluster, i, outbox int) *node {
	t.Helper()
	n := &node{t: t, Engine: c.Open(t, i, outbox)}
	if l, ok := n.Engine.(handler.Lossy); ok {
		l.OnLoss(func(error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.losses++
		})
	}
	if err := n.Start(n.deliver); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// nodes starts several at once, and waits until they know each other.
func nodes(t *testing.T, c *Cluster, count, outbox int) []*node {
	t.Helper()
	all := make([]*node, count)
	var started sync.WaitGroup
	for i := range all {
		started.Go(func() { all[i] = start(t, c, i, outbox) })
	}
	started.Wait()
	const greeting = "greeting"
	for _, n := range all {
		n.subscribe(greeting)
	}
	for i, n := range all {
		for j, other := range all {
			text := fmt.Sprint(i)
			n.await(func() bool {
				n.publish(greeting, text)
				other.mu.Lock()
				defer other.mu.Unlock()
				return i == j || slices.Contains(other.got, greeting+" "+text)
			})
		}
	}
	for _, n := range all {
		n.Unsubscribe(t.Context(), greeting)
	}
	for _, n := range all {
		n.subscribe("the end of it")
	}
	for i, n := range all {
		n.publish("the end of it", fmt.Sprint(i))
	}
	for i, n := range all {
		n.await(func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			for j := range all {
				if j != i && !slices.Contains(n.got, "the end of it "+fmt.Sprint(j)) {
					return false
				}
			}
			return true
		})
		n.Unsubscribe(t.Context(), "the end of it")
		n.mu.Lock()
		n.got = nil
		n.mu.Unlock()
	}
	return all
}

func (n *node) deliver(topic string, data []byte) error {
	n.mu.Lock()
	hold := n.hold
	n.mu.Unlock()
	if hold != nil {
		<-hold
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got = append(n.got, topic+" "+string(data))
	return nil
}

func (n *node) subscribe(topics ...string) {
	n.t.Helper()
	for _, topic := range topics {
		if err := n.Subscribe(context.Background(), topic); err != nil {
			n.t.Errorf("%q: %v", topic, err)
		}
	}
}

func (n *node) publish(topic, text string) {
	n.t.Helper()
	if err := n.Publish(context.Background(), topic, []byte(text)); err != nil {
		n.t.Errorf("%q: %v", topic, err)
	}
}

func (n *node) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.got)
}

// want waits until so much has come as is wanted, and then a little for more, and compares.
func (n *node) want(want ...string) {
	n.t.Helper()
	n.await(func() bool { return n.count() >= len(want) })
	time.Sleep(20 * time.Millisecond)
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.got, want) {
		n.t.Errorf("got %d, want %d: %s", len(n.got), len(want), difference(n.got, want))
	}
	n.got = nil
}

// difference is where two lists begin to differ.
func difference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("got[%d] is %q, want %q", i, clip(got[i]), clip(want[i]))
		}
	}
	return "one is the beginning of the other"
}

func clip(text string) string { return text[:min(len(text), 60)] }

func (n *node) await(done func() bool) {
	n.t.Helper()
	for begun := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			n.t.Errorf("it does not come; %d have", n.count())
			return
		}
	}
}

func (n *node) noLosses() {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.losses > 0 {
		n.t.Errorf("%d losses were told", n.losses)
	}
}
