package history

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchback/handler"
)

// catchUp has a new subscriber brought up to the present; what it got, with what was told.
func (w *world) catchUp(topic string, from From) (*reader, Caught, error) {
	r := &reader{cursor: new(Cursor)}
	w.hub.Subscribe(context.Background(), topic, r)
	c, err := w.log.CatchUp(context.Background(), topic, r.cursor, from, r.page)
	return r, c, err
}

// page takes what CatchUp sends.
func (r *reader) page(c Caught, entries []Entry) error {
	for i := range entries {
		r.add(c.Gap && i == 0, entries[i].Offset, entries[i].Data)
	}
	if c.Gap && len(entries) == 0 {
		r.add(true, c.At.Offset, nil)
	}
	return nil
}

func TestCatchUp(t *testing.T) {
	for _, kind := range []string{"", "fast/"} {
		o := anything
		o.ResumeLimit, o.ResumeBytes = 4, 100
		bubble(t, o, func(w *world) {
			a, long := kind+"a", kind+"long"
			w.must(a, "1", "2", "3", "4", "5")
			w.must(long, strings.Repeat("x", 60), strings.Repeat("y", 60), strings.Repeat("z", 60))
			time.Sleep(2 * round)
			w.store.Trim(context.Background(), a, Keep{Count: 4}, time.Now()) // from 2 on
			w.must(a, "6")
			at := func(topic string, offset uint64) *Position { return &Position{w.store.topics[topic].Epoch, offset} }
			for _, c := range []struct {
				what  string
				topic string
				from  From
				want  string // then 7 is published
			}{
				{"the present", a, From{}, "7:7"},
				{"since the last", a, From{Since: at(a, 6)}, "7:7"},
				{"since the one before", a, From{Since: at(a, 5)}, "6:6 7:7"},
				{"all that may be given", a, From{Since: at(a, 2)}, "3:3 4:4 5:5 6:6 7:7"},
				{"more than that", a, From{Since: at(a, 1)}, "gap 3:3 4:4 5:5 6:6 7:7"},
				{"trimmed", a, From{Since: at(a, 0)}, "gap 3:3 4:4 5:5 6:6 7:7"},
				{"since the beginning", a, From{Since: &Position{}}, "gap 3:3 4:4 5:5 6:6 7:7"},
				{"beyond the last", a, From{Since: at(a, 7)}, "gap 6: 7:7"},
				{"foreign epoch", a, From{Since: &Position{99, 2}}, "gap 6: 7:7"},
				{"the last", a, From{Last: 1}, "6:6 7:7"},
				{"the last, more than may be given", a, From{Last: 100}, "3:3 4:4 5:5 6:6 7:7"},
				{"bytes", long, From{Since: at(long, 1)}, "gap 3:" + strings.Repeat("z", 60) + " 4:7"},
				{"bytes of the last", long, From{Last: 2}, "3:" + strings.Repeat("z", 60) + " 4:7"},
				{"no topic", kind + "none", From{}, "1:7"},
				{"the last of no topic", kind + "none", From{Last: 5}, "1:7"},
				{"since the beginning of no topic", kind + "new", From{Since: &Position{}}, "1:7"},
				{"since of no topic", kind + "none", From{Since: &Position{1, 1}}, "gap 0: 1:7"},
			} {
				r, _, err := w.catchUp(c.topic, c.from)
				if err != nil {
					t.Errorf("%s: %v", c.what, err)
				}
				w.must(c.topic, "7")
				if got := strings.Join(r.take(), " "); got != c.want {
					t.Errorf("%s: got %s, want %s", kind+c.what, got, c.want)
				}
				w.hub.Unsubscribe(context.Background(), c.topic, r)
				w.undo(c.topic)
			}
		})
	}
}

// undo has the last publication not have been.
func (w *world) undo(topic string) {
	time.Sleep(2 * round)
	synctest.Wait()
	s := w.store.topics[topic]
	s.Last--
	s.entries = s.entries[:len(s.entries)-1]
	if s.Last == 0 {
		delete(w.store.topics, topic)
	}
	delete(w.log.topics, topic)
}

func TestCatchUpWhereNothingIsKeptAnyMore(t *testing.T) {
	bubble(t, anything, func(w *world) {
		w.must("a", "1", "2", "3")
		since := Position{w.store.topics["a"].Epoch, 1}
		time.Sleep(time.Minute)
		w.store.Trim(context.Background(), "a", Keep{Age: time.Second}, time.Now())
		r, c, err := w.catchUp("a", From{Since: &since})
		if err != nil || !c.Gap || c.At.Offset != 3 {
			t.Errorf("got %+v, %v", c, err)
		}
		w.must("a", "4")
		w.want("delivered", r.take(), "gap", "3:", "4:4")
		if _, c, err := w.catchUp("a", From{Last: 3}); err != nil || c.Gap {
			t.Errorf("got %+v, %v", c, err)
		}
	})
}

func TestCatchUpIsSeamless(t *testing.T) {
	for _, kind := range []string{"", "fast/"} {
		bubble(t, anything, func(w *world) {
			topic := kind + "a"
			w.must(topic, "1", "2")
			r := &reader{cursor: new(Cursor)}
			w.hub.Subscribe(context.Background(), topic, r)
			w.must(topic, "3") // held back, and read
			pages := 0
			c, err := w.log.CatchUp(context.Background(), topic, r.cursor, From{Last: 10}, func(c Caught, entries []Entry) error {
				if pages++; pages <= 3 {
					w.must(topic, fmt.Sprint(pages+3)) // meanwhile
				}
				return r.page(c, entries)
			})
			if err != nil || c.Gap || c.At.Offset != 6 || pages != 4 {
				t.Errorf("got %+v, %v, %d pages", c, err, pages)
			}
			w.must(topic, "7")
			w.want("all", r.take(), "1:1", "2:2", "3:3", "4:4", "5:5", "6:6", "7:7")
			if s := w.log.Stats(); s.CatchUps.Load() != 1 || s.CaughtUp.Load() != 6 || s.Gaps.Load() != 0 {
				t.Errorf("%d, %d", s.CatchUps.Load(), s.CaughtUp.Load())
			}
		})
	}
}

// Who does not come to the present is told of a gap, and ends.
func TestCatchUpThatNeverEnds(t *testing.T) {
	bubble(t, anything, func(w *world) {
		r := &reader{cursor: new(Cursor)}
		w.hub.Subscribe(context.Background(), "a", r)
		c, err := w.log.CatchUp(context.Background(), "a", r.cursor, From{}, func(c Caught, entries []Entry) error {
			w.must("a", "x")
			return nil
		})
		if err != nil || !c.Gap {
			t.Errorf("got %+v, %v", c, err)
		}
		w.must("a", "y", "z")
		w.want("live", r.take(), "gap", fmt.Sprintf("%d:y", maxRounds+1), fmt.Sprintf("%d:z", maxRounds+2))
	})
}

// A page that is given while the topic is renewed.
func TestCatchUpAcrossEpochs(t *testing.T) {
	bubble(t, anything, func(w *world) {
		w.must("a", "1")
		r := &reader{cursor: new(Cursor)}
		w.hub.Subscribe(context.Background(), "a", r)
		first := true
		c, err := w.log.CatchUp(context.Background(), "a", r.cursor, From{Last: 1}, func(c Caught, entries []Entry) error {
			if first {
				first = false
				w.store.Renew(context.Background(), "a")
				w.must("a", "2")
			}
			return r.page(c, entries)
		})
		if err != nil || !c.Gap || c.At != (Position{2, 2}) {
			t.Errorf("got %+v, %v", c, err)
		}
		w.must("a", "3")
		w.want("all", r.take(), "1:1", "gap", "2:", "3:3")
	})
}

func TestCatchUpThatFails(t *testing.T) {
	bubble(t, anything, func(w *world) {
		w.must("a", "1")
		stop := errors.New("stop")
		if _, err := w.log.CatchUp(context.Background(), "a", new(Cursor), From{Last: 1}, func(Caught, []Entry) error { return stop }); err != stop {
			t.Errorf("got %v", err)
		}
		w.store.fails(unreachable)
		if _, _, err := w.catchUp("a", From{}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		calls := w.store.called()
		if _, _, err := w.catchUp("a", From{}); !errors.Is(err, ErrUnavailable) || w.store.called() != calls {
			t.Errorf("got %v, %d calls", err, w.store.called()-calls)
		}
		w.store.fails(nil)
		time.Sleep(firstRetry)
		if _, _, err := w.catchUp("a", From{}); err != nil {
			t.Errorf("got %v", err)
		}
		w.must("a", "2")
	})
	bubble(t, Options{}, func(w *world) {
		if _, _, err := w.catchUp("a", From{}); err != ErrNotKept {
			t.Errorf("got %v", err)
		}
	})
}

func TestCursor(t *testing.T) {
	at := func(epoch, offset uint64) handler.Publication {
		return handler.Publication{Epoch: epoch, Offset: offset}
	}
	c := new(Cursor)
	c.Follow()
	for _, step := range []struct {
		p       handler.Publication
		ok, gap bool
	}{
		{at(0, 0), true, false},
		{at(1, 7), true, false}, // whatever comes first
		{at(1, 7), false, false},
		{at(1, 6), false, false},
		{at(1, 8), true, false},
		{at(0, 0), true, false},
		{at(1, 10), true, true},
		{at(1, 9), false, false},
		{at(2, 11), true, true},
		{at(2, 12), true, false},
	} {
		if ok, gap := c.Take(&step.p); ok != step.ok || gap != step.gap {
			t.Errorf("%d/%d: got %v, %v", step.p.Epoch, step.p.Offset, ok, gap)
		}
	}
}

// Subscribers come and go while many publish: each gets all since its position, once and
// in order.
func TestManyWhoComeBack(t *testing.T) {
	bubble(t, anything, func(w *world) {
		const publishers, each, readers = 10, 100, 20
		w.must("a", "first")
		since := Position{w.store.topics["a"].Epoch, 1}
		var group, publishing sync.WaitGroup
		for i := range publishers {
			publishing.Go(func() {
				for j := range each {
					if err := w.publish("a", fmt.Sprint(i, " ", j)); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		results := make([][]string, readers)
		for i := range readers {
			group.Go(func() {
				at := since
				for n := 0; n < 20; n++ {
					r := &reader{cursor: new(Cursor)}
					w.hub.Subscribe(context.Background(), "a", r)
					if _, err := w.log.CatchUp(context.Background(), "a", r.cursor, From{Since: &at}, r.page); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(i+1) * time.Millisecond / 2)
					if n == 19 {
						publishing.Wait()
					}
					w.hub.Unsubscribe(context.Background(), "a", r)
					time.Sleep(time.Microsecond) // what is being delivered comes
					got := r.take()
					results[i] = append(results[i], got...)
					at.Offset += uint64(len(got))
				}
			})
		}
		group.Wait()
		want := w.store.stored("a")[1:]
		for i, got := range results {
			if strings.Join(got, ",") != strings.Join(want, ",") {
				t.Errorf("%d: got %d, want %d, or they are not in order", i, len(got), len(want))
			}
		}
		synctest.Wait()
	})
}
