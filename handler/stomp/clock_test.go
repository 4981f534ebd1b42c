package stomp

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A bell counts how often it rings, and wants to be rung again after a while.
type bell struct {
	alarm alarm
	rung  atomic.Int32
	again time.Duration
}

func (b *bell) ring(now time.Duration) time.Duration {
	b.rung.Add(1)
	if b.again == 0 {
		return 0
	}
	return now + b.again
}

func clockTest(t *testing.T, f func(k *clock, ring func(at, again time.Duration) *bell)) {
	synctest.Test(t, func(t *testing.T) {
		k := newClock()
		defer k.stop()
		f(k, func(at, again time.Duration) *bell {
			b := &bell{again: again}
			b.alarm.owner = b
			k.set(&b.alarm, k.now()+at)
			return b
		})
	})
}

func (b *bell) want(t *testing.T, n int32) {
	t.Helper()
	synctest.Wait()
	if got := b.rung.Load(); got != n {
		t.Errorf("rung %d times, want %d", got, n)
	}
}

func TestAlarmsRingInTheirTime(t *testing.T) {
	clockTest(t, func(k *clock, ring func(at, again time.Duration) *bell) {
		late, early, often := ring(2*time.Second, 0), ring(time.Second, 0), ring(500*time.Millisecond, 500*time.Millisecond)
		time.Sleep(999 * time.Millisecond)
		early.want(t, 0)
		often.want(t, 1)
		time.Sleep(2 * time.Millisecond)
		early.want(t, 1)
		late.want(t, 0)
		time.Sleep(time.Minute)
		early.want(t, 1)
		late.want(t, 1)
		often.want(t, 122)
	})
}

func TestAlarmsMoveAndEnd(t *testing.T) {
	clockTest(t, func(k *clock, ring func(at, again time.Duration) *bell) {
		sooner, later, unset, ended := ring(5*time.Second, 0), ring(5*time.Second, 0), ring(time.Second, 0), ring(time.Second, 0)
		k.set(&sooner.alarm, k.now()+time.Second)
		k.set(&later.alarm, k.now()+9*time.Second)
		k.unset(&unset.alarm)
		k.end(&ended.alarm)
		k.set(&ended.alarm, k.now()+time.Second)
		time.Sleep(1001 * time.Millisecond)
		sooner.want(t, 1)
		time.Sleep(5 * time.Second)
		later.want(t, 0)
		time.Sleep(3 * time.Second)
		later.want(t, 1)
		unset.want(t, 0)
		ended.want(t, 0)
		k.set(&unset.alarm, k.now())
		unset.want(t, 1)
	})
}

func TestStoppedClockRingsNothing(t *testing.T) {
	clockTest(t, func(k *clock, ring func(at, again time.Duration) *bell) {
		before := ring(time.Second, 0)
		k.stop()
		after := ring(time.Second, 0)
		time.Sleep(time.Minute)
		before.want(t, 0)
		after.want(t, 0)
	})
}

// A quitter ends its own alarm while it rings.
type quitter struct {
	bell
	clock *clock
}

func (s *quitter) ring(now time.Duration) time.Duration {
	s.clock.end(&s.alarm)
	return s.bell.ring(now)
}

func TestAlarmMayEndWhileItRings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newClock()
		defer k.stop()
		s := &quitter{bell: bell{again: time.Second}, clock: k}
		s.alarm.owner = s
		k.set(&s.alarm, k.now()+time.Second)
		time.Sleep(time.Minute)
		s.want(t, 1)
	})
}
