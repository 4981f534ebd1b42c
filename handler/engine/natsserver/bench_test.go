package natsserver_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"switchback/handler"
	"switchback/handler/engine"
	"switchback/handler/engine/enginetest"
	"switchback/handler/engine/natsserver"
)

// A sink counts what it receives.
type sink struct{ got atomic.Int64 }

func (s *sink) Receive(*handler.Publication) { s.got.Add(1) }

// hubs are three over servers of their own.
func hubs(b *testing.B) []*handler.Hub {
	seed := enginetest.FreeAddress(b)
	var all []*handler.Hub
	for i := range 3 {
		listen := seed
		if i > 0 {
			listen = enginetest.FreeAddress(b)
		}
		s, err := natsserver.Start(natsserver.Options{
			Cluster: "bench", Secret: secret, Listen: listen, Seeds: []string{seed}, Logger: quiet,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(s.Close)
		e := engine.New(s.Wire(), engine.Options{Logger: quiet})
		hub, err := handler.NewHub(e)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { hub.Close() })
		all = append(all, hub)
		for e.Stats().Nodes.Load() < int64(i) {
			time.Sleep(time.Millisecond)
		}
	}
	return all
}

// BenchmarkPublishToTwoNodes publishes 256 bytes as fast as both others take them.
func BenchmarkPublishToTwoNodes(b *testing.B) {
	all := hubs(b)
	sinks := []*sink{new(sink), new(sink)}
	for i, s := range sinks {
		if err := all[1+i].Subscribe(context.Background(), "a", s); err != nil {
			b.Fatal(err)
		}
	}
	text := make([]byte, 256)
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		for all[0].Publish(context.Background(), "a", text) != nil || n-min(sinks[0].got.Load(), sinks[1].got.Load()) > 10000 {
			time.Sleep(100 * time.Microsecond)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "publications/s")
}

// BenchmarkOneWay is from Publish on one node to Receive on another and back by the same way.
func BenchmarkOneWay(b *testing.B) {
	all := hubs(b)
	back := make(chan struct{}, 1)
	all[1].Subscribe(context.Background(), "there", answering{all[1]})
	all[0].Subscribe(context.Background(), "back", calling{back})
	b.ReportAllocs()
	for b.Loop() {
		all[0].Publish(context.Background(), "there", make([]byte, 256))
		<-back
	}
}

type answering struct{ hub *handler.Hub }

func (a answering) Receive(p *handler.Publication) {
	a.hub.Publish(context.Background(), "back", p.Text)
}

type calling struct{ back chan struct{} }

func (c calling) Receive(*handler.Publication) { c.back <- struct{}{} }

// BenchmarkNobody publishes where the others have not subscribed.
func BenchmarkNobody(b *testing.B) {
	all := hubs(b)
	text := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		for all[0].Publish(context.Background(), "a", text) != nil {
			time.Sleep(100 * time.Microsecond)
		}
	}
}
