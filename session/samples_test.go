package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (h *Histogram) String() string {
	within, count, sum := h.Counts()
	var b strings.Builder
	before := uint64(0)
	for i, n := range within {
		if n > before {
			fmt.Fprintf(&b, "%d up to %v, ", n-before, Bounds[i])
		}
		before = n
	}
	if count > before {
		fmt.Fprintf(&b, "%d over, ", count-before)
	}
	return fmt.Sprintf("%s%v in all", b.String(), sum)
}

func (h *Histogram) want(t *testing.T, want string) {
	t.Helper()
	if got := h.String(); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestHandlersAreTimedOnceASecond(t *testing.T) {
	h := &recorder{text: func(_ Session, text []byte) error {
		d, err := time.ParseDuration(string(text))
		time.Sleep(d)
		return err
	}, open: func(Session) error { time.Sleep(100 * time.Millisecond); return nil }}
	bubble(t, Shared(h), config, func(t *testing.T, g *Registry) {
		s, _ := open1(t, g, "k")
		for _, d := range []string{"100us", "3ms", "4ms"} { // the second and third of the same second
			s.Receive(t.Context(), []byte(d))
		}
		g.stats.Handler.want(t, "1 up to 100µs, 100µs in all")
		time.Sleep(1500 * time.Millisecond)
		s.Receive(t.Context(), []byte("101us"))
		g.stats.Handler.want(t, "1 up to 100µs, 1 up to 250µs, 201µs in all")
		time.Sleep(1500 * time.Millisecond)
		s.Receive(t.Context(), []byte("11s"))
		time.Sleep(1500 * time.Millisecond)
		s.Receive(t.Context(), []byte("10s"))
		g.stats.Handler.want(t, "1 up to 100µs, 1 up to 250µs, 1 up to 10s, 1 over, 21.000201s in all")
		time.Sleep(1500 * time.Millisecond)
		s.Receive(t.Context(), []byte("no time")) // an error is no other
		s.Close(CodeNormal, "")
		time.Sleep(10 * time.Second)
		if _, count, _ := g.stats.Handler.Counts(); count != 5 {
			t.Errorf("%d are counted", count)
		}
	})
}

// A publication is timed until the receiver of each session has written it, not until the
// handler has queued it; the next one within the second is not.
func TestDeliveryIsTimedToEachSession(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		publish := func(w *Stopwatch, sessions ...*Local) {
			m := Prepare([]byte("x"))
			for _, s := range sessions {
				w.Sending(s)
				s.SendPrepared(m)
			}
		}
		a, ra := open1(t, g, "a")
		b, rb := open1(t, g, "b")
		p, rp := open1(t, g, "p") // polls
		lost, rl := open1(t, g, "lost")
		for s, r := range map[*Local]*receiver{a: ra, b: rb, p: rp, lost: rl} {
			r.next(t, s, "o")
		}
		p.Detach(rp, nil)
		time.Sleep(time.Millisecond)
		a.Send([]byte("before"))
		ra.next(t, a, `a["before"]`)
		first := new(Stopwatch)
		publish(first, a)
		time.Sleep(time.Millisecond)
		publish(first, b, p, lost)
		publish(new(Stopwatch), a, b)
		a.Taken() // before
		delivery := &g.stats.Delivery
		delivery.want(t, "0s in all")
		ra.next(t, a, `a["x","x"]`)
		delivery.want(t, "0s in all")
		a.Taken()
		delivery.want(t, "1 up to 1ms, 1ms in all")
		a.Taken()
		rb.next(t, b, `a["x","x"]`)
		time.Sleep(29 * time.Millisecond)
		rb.next(t, b, "") // which says it, too
		delivery.want(t, "1 up to 1ms, 1 up to 50ms, 31ms in all")
		rl.next(t, lost, `a["x"]`)
		lost.Detach(rl, errors.New("gone"))
		lost.Written()
		time.Sleep(470 * time.Millisecond)
		p.Attach(rp)
		rp.next(t, p, `a["x"]`)
		p.Detach(rp, nil) // before it is written
		delivery.want(t, "1 up to 1ms, 1 up to 50ms, 31ms in all")
		p.Written()
		delivery.want(t, "1 up to 1ms, 1 up to 50ms, 1 up to 500ms, 531ms in all")
		time.Sleep(time.Second)
		second := new(Stopwatch)
		publish(second, a)
		publish(second, a) // over two topics
		time.Sleep(59 * time.Second)
		publish(new(Stopwatch), a) // is timed, too, but not there
		time.Sleep(time.Second)
		ra.next(t, a, `a["x","x","x"]`)
		a.Taken()
		delivery.want(t, "1 up to 1ms, 1 up to 50ms, 1 up to 500ms, 1 over, 1m0.531s in all")
		synctest.Wait()
	})
}

func TestStampsComeRound(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		time.Sleep((1<<31 - 100) * stampStep)
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		new(Stopwatch).Sending(s)
		s.Send([]byte("x"))
		time.Sleep(2 * time.Millisecond)
		r.next(t, s, `a["x"]`)
		s.Taken()
		g.stats.Delivery.want(t, "1 up to 2.5ms, 2ms in all")
	})
}
