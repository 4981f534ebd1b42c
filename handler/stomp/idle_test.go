package stomp

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// One client fills all queues and goes: they come back.
func TestNobodyTakesAllQueuesForGood(t *testing.T) {
	bubble(t, Options{Queues: someQueues, QueueCountLimit: 10, QueueIdle: time.Hour}, func(w *world) {
		x := w.connect("1.2")
		for i := range 10 {
			x.send(fmt.Sprintf("SEND\ndestination:/queue/%d\n\n\x00", i))
		}
		x.gone()
		subscribe := "SUBSCRIBE\nid:0\nreceipt:1\ndestination:/queue/orders\n\n\x00"
		a := w.connect("1.2")
		a.send(subscribe)
		a.want(errorFrame("Too many queues", "receipt-id:1"), closed1002)
		time.Sleep(59 * time.Minute)
		if s := w.broker.Stats(); s.Queues.Load() != 10 || s.Expired.Load() != 0 {
			t.Errorf("too early: %+v", s)
		}
		time.Sleep(8 * time.Minute)
		if s := w.broker.Stats(); s.Queues.Load() != 0 || s.Queued.Load() != 0 || s.Expired.Load() != 10 || s.Memory.Load() != 0 {
			t.Errorf("too late: %+v", s)
		}
		b := w.connect("1.2")
		b.send(subscribe)
		b.want(receipt + "1\n\n^@")
	})
}

func TestQueuesInUseAreKept(t *testing.T) {
	bubble(t, Options{Queues: someQueues, QueueIdle: time.Hour}, func(w *world) {
		x, a := w.connect("1.2"), w.connect("1.2")
		a.consumeAs("0", "client")
		x.fill(1)
		a.wantBodies("1")
		time.Sleep(3 * time.Hour) // it has a consumer
		a.gone()
		synctest.Wait()
		time.Sleep(50 * time.Minute) // since the message was given back
		x.send("SEND\ndestination:/queue/a\n\n2\x00")
		time.Sleep(50 * time.Minute) // since the last message
		b := w.connect("1.2")
		b.consumeAs("0", "auto")
		b.wantBodies("1", "2")
		if s := w.broker.Stats(); s.Expired.Load() != 0 {
			t.Errorf("%+v", s)
		}
	})
}
