// Package enginetest is what every handler.Engine has to pass, over the servers that it is
// for.
package enginetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"switchback/handler"
)

// A Cluster is what the nodes of a test have in common.
type Cluster struct {
	// Open returns the engine of a new node, which it has not started: the i-th of the
	// test. Its outbox holds Outbox bytes, or what it holds usually where that is 0.
	Open func(t *testing.T, i, outbox int) handler.Engine

	// Cut has the server end, with all its connections, and Restore begin anew. Where there
	// are none, outages are not tested.
	Cut, Restore func(t *testing.T)

	// Publish publishes as somebody who is no node, on any channel that a node listens to.
	// Where it is nil, that is not tested.
	Publish func(t *testing.T, data []byte)
}

// Run tests an engine, over a cluster of its own for each part. An engine that reaches no other
// node is one where alone is true.
func Run(t *testing.T, alone bool, open func(t *testing.T) *Cluster) {
	for _, part := range []struct {
		name  string
		alone bool // it means something to one node
		test  func(t *testing.T, c *Cluster)
	}{
		{"OwnPublicationsDoNotComeBack", true, noEcho},
		{"PromptPublicationsArrive", false, prompt},
		{"OrderIsKeptOverTopics", false, order},
		{"UnsubscribedIsSilent", false, unsubscribed},
		{"EverythingReachesWhoHasAsked", false, everything},
		{"ManySubscribeAtOnce", false, many},
		{"CloseSendsWhatIsLeft", false, drains},
		{"OutageLosesNothing", false, outage},
		{"FullOutboxIsAnError", false, full},
		{"SlowReceiverIsToldOfALoss", false, slow},
		{"ForeignPublishersDoNoHarm", false, foreign},
	} {
		t.Run(part.name, func(t *testing.T) {
			if alone && !part.alone {
				t.Skip("this engine reaches no other node")
			}
			part.test(t, open(t))
		})
	}
}

func noEcho(t *testing.T, c *Cluster) {
	n := start(t, c, 0, 0)
	n.subscribe("a", handler.Everything)
	n.publish("a", "1")
	n.publish(handler.Everything, "1")
	n.want()
	n.noLosses()
}

// What is published on another node as soon as Subscribe has returned arrives.
func prompt(t *testing.T, c *Cluster) {
	all := nodes(t, c, 3, 0)
	var want []string
	for i := range 1000 {
		topic := fmt.Sprint("topic ", i)
		all[0].subscribe(topic)
		all[1+i%2].publish(topic, "x")
		want = append(want, topic+" x")
	}
	all[0].await(func() bool { return all[0].count() == len(want) })
	all[0].mu.Lock() // of two publishers there is no order
	slices.Sort(all[0].got)
	all[0].mu.Unlock()
	slices.Sort(want)
	all[0].want(want...)
}

func order(t *testing.T, c *Cluster) {
	all := nodes(t, c, 3, 0)
	var want []string
	for i := range 50 {
		all[0].subscribe(fmt.Sprint(i))
		all[2].subscribe(fmt.Sprint(i))
	}
	for i := range 5000 {
		topic, text := fmt.Sprint(i*7%50), fmt.Sprint(i)
		all[1].publish(topic, text)
		want = append(want, topic+" "+text)
	}
	all[0].want(want...)
	all[2].want(want...)
	all[1].want()
}

func unsubscribed(t *testing.T, c *Cluster) {
	all := nodes(t, c, 2, 0)
	long := strings.Repeat("long", 500)
	all[0].subscribe("a", "b", long, "", "ö . * >", "x y")
	all[0].Unsubscribe(t.Context(), "a")
	all[0].subscribe("b")
	for _, topic := range []string{"a", "b", long, long + "er", "", "ö . * >", "ö . * ", "x y"} {
		all[1].publish(topic, topic)
	}
	all[0].want("b b", long+" "+long, " ", "ö . * > ö . * >", "x y x y")
	all[0].Unsubscribe(t.Context(), "b")
	all[0].subscribe("a")
	all[1].publish("b", "1")
	all[1].publish("a", "2")
	all[0].want("a 2")
}

func everything(t *testing.T, c *Cluster) {
	all := nodes(t, c, 3, 0)
	publish := func(text string) {
		all[1].publish("a", text)
		all[1].publish(handler.Everything, text)
	}
	all[2].subscribe("a")
	publish("1")
	all[0].subscribe(handler.Everything)
	publish("2")
	all[0].want(handler.Everything + " 2")
	all[0].Unsubscribe(t.Context(), handler.Everything)
	publish("3")
	all[2].want("a 1", "a 2", "a 3")
	all[0].want()
}

func many(t *testing.T, c *Cluster) {
	all := nodes(t, c, 2, 0)
	var subscribers sync.WaitGroup
	for i := range 1000 {
		subscribers.Go(func() {
			topic := fmt.Sprint(i)
			all[0].subscribe(topic)
			all[1].publish(topic, "x")
			if i%2 == 0 {
				all[0].Unsubscribe(t.Context(), topic)
				all[0].subscribe(topic)
				all[1].publish(topic, "y")
			}
		})
	}
	subscribers.Wait()
	all[0].await(func() bool {
		all[0].mu.Lock()
		defer all[0].mu.Unlock()
		seen := make(map[string]bool)
		for _, text := range all[0].got {
			seen[text] = true
		}
		for i := range 1000 {
			last := " x"
			if i%2 == 0 {
				last = " y"
			}
			if !seen[fmt.Sprint(i)+last] {
				return false
			}
		}
		return true
	})
}

func drains(t *testing.T, c *Cluster) {
	all := nodes(t, c, 2, 0)
	all[0].subscribe("a")
	var want []string
	for i := range 2000 {
		text := fmt.Sprint(i)
		all[1].publish("a", text)
		want = append(want, "a "+text)
	}
	if err := all[1].Close(); err != nil {
		t.Error(err)
	}
	if err := all[1].Subscribe(t.Context(), "b"); err == nil {
		t.Error("a closed engine subscribes")
	}
	all[0].want(want...)
	all[0].noLosses()
	late := start(t, c, 2, 0)
	late.publish("a", "of one who came later")
	all[0].want("a of one who came later")
}

// In an outage nobody waits, and what is published then arrives after it, in its order, and
// after what was published before it.
func outage(t *testing.T, c *Cluster) {
	if c.Cut == nil {
		t.Skip("this server is not cut")
	}
	all := nodes(t, c, 3, 0)
	all[0].subscribe("a")
	var want []string
	publish := func(count int) {
		for range count {
			text := fmt.Sprint(len(want))
			all[1].publish("a", text)
			want = append(want, "a "+text)
		}
	}
	publish(500)
	c.Cut(t)
	publish(500)
	begun := time.Now()
	all[2].subscribe("a", "b")
	publish(500)
	if took := time.Since(begun); took > patience/4 {
		t.Errorf("a call waits for the server: %v", took)
	}
	c.Restore(t)
	publish(500)
	all[0].want(want...)
	all[2].await(func() bool { n := all[2].count(); return n >= 1000 })
	all[0].publish("b", "back")
	all[2].await(func() bool {
		all[2].mu.Lock()
		defer all[2].mu.Unlock()
		return slices.Contains(all[2].got, "b back")
	})
	for _, n := range all {
		n.noLosses()
	}
}

// What is accepted arrives, and no more is accepted than there is room for.
func full(t *testing.T, c *Cluster) {
	if c.Cut == nil {
		t.Skip("this server is not cut")
	}
	all := nodes(t, c, 2, 100<<10)
	all[0].subscribe("a")
	all[1].publish("a", "before")
	all[0].want("a before")
	c.Cut(t)
	time.Sleep(100 * time.Millisecond) // what is sent to a server that ends is sent
	text := strings.Repeat("x", 1000)
	accepted := 0
	for range 1000 {
		if all[1].Publish(t.Context(), "a", []byte(text)) == nil {
			accepted++
		}
	}
	if accepted < 50 || accepted > 110 {
		t.Errorf("%d of 1,000 publications of 1 kB are accepted where there is room for 100 kB", accepted)
	}
	c.Restore(t)
	all[0].want(slices.Repeat([]string{"a " + text}, accepted)...)
	all[0].noLosses()
}

// Who does not take what comes gets all of it, or is told.
func slow(t *testing.T, c *Cluster) {
	if testing.Short() {
		t.Skip("it takes seconds until a server has had enough")
	}
	all := nodes(t, c, 2, 64<<10)
	all[0].subscribe("a")
	hold := make(chan struct{})
	all[0].mu.Lock()
	all[0].hold = hold
	all[0].mu.Unlock()
	text := strings.Repeat("x", 1000)
	published := 0
	for begun := time.Now(); published < 90_000 && time.Since(begun) < 5*time.Second; {
		if all[1].Publish(t.Context(), "a", []byte(text)) == nil {
			published++
		} else {
			time.Sleep(time.Millisecond)
		}
	}
	close(hold)
	all[0].await(func() bool {
		all[0].mu.Lock()
		defer all[0].mu.Unlock()
		return all[0].losses > 0 || len(all[0].got) == published
	})
	all[0].await(func() bool { // it hears again
		all[1].Publish(t.Context(), "a", []byte("end"))
		all[0].mu.Lock()
		defer all[0].mu.Unlock()
		return len(all[0].got) > 0 && all[0].got[len(all[0].got)-1] == "a end"
	})
}

func foreign(t *testing.T, c *Cluster) {
	if c.Publish == nil {
		t.Skip("this server has no foreign publishers")
	}
	all := nodes(t, c, 2, 0)
	all[0].subscribe("a")
	for _, data := range []string{"", "p", "p12345678", "hello, I am no node", strings.Repeat("\xff", 100), "a12345678\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		c.Publish(t, []byte(data))
	}
	all[1].publish("a", "1")
	all[0].want("a 1")
}
