package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchback/handler"
)

func TestStoredThenDelivered(t *testing.T) {
	bubble(t, anything, func(w *world) {
		r := w.reader("hub a")
		release := w.store.holds()
		var at Position
		p := &handler.Publication{ID: "id", User: "kim", Text: []byte("x")}
		go func() {
			var err error
			if at, _, err = w.log.Publish(context.Background(), "a", p, "hub a"); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		w.want("before it is stored", r.take())
		release()
		synctest.Wait()
		w.want("then", r.take(), "1:x")
		if at != (Position{1, 1}) {
			t.Errorf("got %v", at)
		}
		e := w.store.topics["a"].entries[0]
		if e.ID != "id" || e.User != "kim" || string(e.Data) != "x" || !e.At.Equal(time.Now()) || e.At.Location() != time.UTC {
			t.Errorf("got %+v", e)
		}
		if !p.At.Equal(e.At) || !e.Publication(1).At.Equal(e.At) {
			t.Errorf("delivered as of %v and %v, kept as of %v", p.At, e.Publication(1).At, e.At)
		}
	})
}

func TestWhatGathersIsStoredTogether(t *testing.T) {
	bubble(t, anything, func(w *world) {
		a, b := w.reader("a"), w.reader("b")
		release := w.store.holds()
		var group sync.WaitGroup
		for i := range 5 {
			group.Go(func() { w.publish("ab"[i%2:][:1], fmt.Sprint(i)) })
			synctest.Wait()
		}
		release()
		group.Wait()
		if got := fmt.Sprint(w.store.batches); got != "[1 4]" {
			t.Errorf("batches %s", got)
		}
		w.want("a", a.take(), "1:0", "2:2", "3:4")
		w.want("b", b.take(), "1:1", "2:3")
		if s := w.log.Stats(); s.Stored.Load() != 5 || s.Batches.Load() != 2 {
			t.Errorf("got %d in %d", s.Stored.Load(), s.Batches.Load())
		}
	})
}

func TestSameIDIsStoredAndDeliveredOnce(t *testing.T) {
	bubble(t, anything, func(w *world) {
		r := w.reader("a")
		publish := func(id, text string) (Position, bool) {
			at, duplicate, err := w.log.Publish(context.Background(), "a", &handler.Publication{ID: id, Text: []byte(text)}, "a")
			if err != nil {
				t.Error(err)
			}
			return at, duplicate
		}
		publish("1", "x")
		publish("2", "y")
		if at, duplicate := publish("1", "z"); at.Offset != 1 || !duplicate {
			t.Errorf("got %v, %v", at, duplicate)
		}
		publish("3", "z")
		w.want("delivered", r.take(), "1:x", "2:y", "3:z")
		if n := w.log.Stats().Duplicates.Load(); n != 1 {
			t.Errorf("%d duplicates", n)
		}
	})
}

func TestTopicThatIsNotKept(t *testing.T) {
	bubble(t, Options{Policies: []Policy{{Topics: "/kept/*"}}}, func(w *world) {
		r := w.reader("/a")
		w.store.fails(broken)
		at, _, err := w.log.Publish(context.Background(), "/a", &handler.Publication{Text: []byte("x")}, "/a")
		if at != (Position{}) || err != nil || w.store.called() != 0 {
			t.Errorf("got %v, %v, %d calls", at, err, w.store.called())
		}
		w.want("delivered", r.take(), "0:x")
		w.store.fails(nil)
	})
}

func TestFirstPolicyThatMatches(t *testing.T) {
	bubble(t, Options{Policies: []Policy{{Topics: "/a/*"}, {Topics: "/a/**", Unread: true}, {Topics: "/b/*", Unread: true}}}, func(w *world) {
		for topic, want := range map[string][2]bool{"/a/1": {true, false}, "/a/1/2": {true, true}, "/b/1": {true, true}, "/c": {}} {
			if got := [2]bool{w.log.Keeps(topic), w.log.Counts(topic)}; got != want {
				t.Errorf("%s: got %v", topic, got)
			}
		}
	})
}

func TestWrongOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"PendingLimit":      {PendingLimit: -1},
		`"/a/{"`:            {Policies: []Policy{{Topics: "/a/{"}}},
		"0 is no limit":     {Policies: []Policy{{Topics: "/a", Keep: Keep{Count: -1}}}},
		"must not be negat": {Policies: []Policy{{Topics: "/a", Keep: Keep{Age: -1}}}},
	} {
		if _, err := New(newFakeStore(), nil, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// While the store fails, nobody waits for it but one at a time.
func TestStoreThatFails(t *testing.T) {
	var text bytes.Buffer
	o := anything
	o.Logger = slog.New(slog.NewTextHandler(&text, nil))
	bubble(t, o, func(w *world) {
		r := w.reader("a")
		w.must("a", "0")
		w.store.fails(broken)
		if err := w.publish("a", "1"); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		calls := w.store.called()
		for range 10 {
			if err := w.publish("a", "2"); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
		}
		if w.store.called() != calls {
			t.Errorf("a store that has just failed is called")
		}
		time.Sleep(time.Minute)
		for range 3 {
			w.publish("a", "3")
		}
		w.store.fails(nil)
		time.Sleep(lastRetry)
		w.must("a", "4", "5")
		w.want("delivered", r.take(), "1:0", "2:4", "3:5")
		if s := w.log.Stats(); s.Outages.Load() != 1 || s.Unavailable.Load() != 14 || s.Pending.Load() != 0 {
			t.Errorf("%d outages, %d refused, %d bytes", s.Outages.Load(), s.Unavailable.Load(), s.Pending.Load())
		}
	})
	if got := text.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "disk is on fire") || !strings.Contains(got, "works again") {
		t.Errorf("log: %s", got)
	}
}

func TestStoreThatDoesNotAnswer(t *testing.T) {
	bubble(t, anything, func(w *world) {
		w.must("a", "0")
		release := w.store.holds()
		var group sync.WaitGroup
		began := time.Now()
		for range 10 {
			group.Go(func() {
				if err := w.publish("a", "1"); !errors.Is(err, ErrUnavailable) {
					t.Errorf("got %v", err)
				}
			})
		}
		group.Wait()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
		time.Sleep(firstRetry)
		for range 10 { // one tries, the others do not wait
			group.Go(func() { w.publish("a", "1") })
		}
		synctest.Wait()
		if n := w.log.Stats().Unavailable.Load(); n != 19 {
			t.Errorf("%d are refused", n)
		}
		release()
		group.Wait()
		w.must("a", "2")
	})
}

// A store that has taken what it said had failed.
func TestWhatIsFoundToBeStoredIsDelivered(t *testing.T) {
	after := func(what string) (error, error) {
		if what == "append" {
			return nil, errBroken
		}
		return nil, nil
	}
	bubble(t, anything, func(w *world) {
		r := w.reader("a")
		w.must("a", "0")
		w.store.fails(after)
		if err := w.publish("a", "1"); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		w.want("before", r.take(), "1:0")
		w.store.fails(nil)
		time.Sleep(firstRetry)
		w.must("a", "2") // finds it
		w.want("before the next", r.take(), "2:1", "3:2")

		w.store.fails(after)
		p := handler.Publication{ID: "id", Text: []byte("3")}
		if _, _, err := w.log.Publish(context.Background(), "a", &p, "a"); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		w.store.fails(nil)
		time.Sleep(firstRetry)
		at, duplicate, err := w.log.Publish(context.Background(), "a", &p, "a")
		if at.Offset != 4 || !duplicate || err != nil {
			t.Fatalf("got %v, %v, %v", at, duplicate, err)
		}
		w.want("with itself again", r.take(), "4:3")

		w.store.fails(after)
		w.publish("a", "4")
		w.store.fails(nil)
		time.Sleep(2 * round)
		w.want("without any other", r.take(), "5:4")
		if n := w.log.Stats().Filled.Load(); n != 3 {
			t.Errorf("%d", n)
		}
		time.Sleep(doubtFor + 2*round)
		synctest.Wait()
		if len(w.log.doubtful) != 0 {
			t.Errorf("there is still a doubt")
		}
	})
}

func TestLimits(t *testing.T) {
	o := anything
	o.PendingLimit, o.TopicLimit = 3*itemCost, 3
	bubble(t, o, func(w *world) {
		w.must("fast/a", "0")
		time.Sleep(round)
		release := w.store.holds()
		var group sync.WaitGroup
		for _, topic := range []string{"fast/a", "b", "c"} {
			group.Go(func() { w.publish(topic, "") })
		}
		synctest.Wait()
		if err := w.publish("fast/a", ""); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		if err := w.publish("b", ""); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		if err := w.publish("d", ""); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		if n := w.log.Stats().Pending.Load(); n != 3*itemCost {
			t.Errorf("%d bytes", n)
		}
		release()
		group.Wait()
		time.Sleep(round)
		w.must("d", "") // one of which nothing is on its way is forgotten
		if n := w.log.Stats().Topics.Load(); n != 3 {
			t.Errorf("%d topics", n)
		}
		if n := w.log.Stats().Busy.Load(); n != 3 {
			t.Errorf("%d are refused", n)
		}
	})
}

func TestFastIsDeliveredThenStored(t *testing.T) {
	bubble(t, anything, func(w *world) {
		r := w.reader("fast/a")
		w.must("fast/a", "x", "y")
		w.want("delivered", r.take(), "1:x", "2:y")
		w.want("stored", w.store.stored("fast/a"))
		time.Sleep(time.Second / 4)
		if lag := w.log.Lag(); lag != time.Second/4 {
			t.Errorf("lag %v", lag)
		}
		time.Sleep(time.Second / 2)
		w.want("stored", w.store.stored("fast/a"), "1:x", "2:y")
		if got := fmt.Sprint(w.store.batches, w.log.Lag()); got != "[2] 0s" {
			t.Error(got)
		}
		w.must("fast/a", "z")
		w.close()
		w.want("closed", w.store.stored("fast/a"), "1:x", "2:y", "3:z")
		if !w.store.settled {
			t.Error("it is not settled")
		}
	})
}

func TestFastOutlivesAnOutage(t *testing.T) {
	for name, fail := range map[string]func(string) (error, error){
		"not stored": broken,
		"stored":     func(string) (error, error) { return nil, errBroken },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, anything, func(w *world) {
				r := w.reader("fast/a")
				w.must("fast/a", "x")
				w.store.fails(fail)
				time.Sleep(time.Minute)
				w.must("fast/a", "y")
				w.store.fails(nil)
				time.Sleep(lastRetry)
				w.want("delivered", r.take(), "1:x", "2:y")
				w.want("stored", w.store.stored("fast/a"), "1:x", "2:y")
			})
		})
	}
}

// A fast topic of which something may be lost tells so.
func TestFastAfterACrash(t *testing.T) {
	bubble(t, anything, func(w *world) {
		w.must("fast/a", "x")
		time.Sleep(round)
		at, _, err := w.log.Publish(context.Background(), "fast/a", &handler.Publication{}, "fast/a")
		if err != nil {
			t.Fatal(err)
		}
		w.store.fails(broken)
		if err := w.log.Close(); err == nil || !strings.Contains(err.Error(), "1 publications") {
			t.Errorf("got %v", err)
		}
		w.store = w.store.restart()
		w.open(anything)
		w.must("fast/a", "y")
		c, err := w.log.CatchUp(context.Background(), "fast/a", new(Cursor), From{Since: &at}, func(Caught, []Entry) error { return nil })
		if err != nil || !c.Gap || c.At.Epoch == at.Epoch || c.At.Offset != 2 {
			t.Errorf("got %+v, %v", c, err)
		}
	})
}

// Who comes back before anything is published after the crash is told, too: though it had not
// got what is lost.
func TestFastAfterACrashAndNothingSince(t *testing.T) {
	bubble(t, anything, func(w *world) {
		at, _, err := w.log.Publish(context.Background(), "fast/a", &handler.Publication{}, "fast/a")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(round)
		w.must("fast/a", "lost")
		w.store.fails(broken)
		w.log.Close()
		w.store = w.store.restart()
		w.open(anything)
		for range 2 {
			r, c, err := w.catchUp("fast/a", From{Since: &at})
			if err != nil || !c.Gap || c.At.Epoch == at.Epoch {
				t.Errorf("got %+v, %v", c, err)
			}
			w.want("told", r.take(), "gap", "1:")
		}
		if w.store.marked["fast/a"] {
			t.Error("who reads marks the topic")
		}
	})
}

// An offset that a repeated publication was delivered with is not given again.
func TestFastSameID(t *testing.T) {
	bubble(t, anything, func(w *world) {
		publish := func() Position {
			at, _, err := w.log.Publish(context.Background(), "fast/a", &handler.Publication{ID: "x"}, "fast/a")
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		publish()
		at := publish()
		w.close()
		w.open(anything)
		w.must("fast/a", "y")
		_, c, err := w.catchUp("fast/a", From{Since: &at})
		if err != nil || c.At != (Position{at.Epoch, at.Offset + 1}) {
			t.Errorf("from %v to %+v, %v", at, c, err)
		}
	})
}

func TestFastTopicThatOthersWriteTo(t *testing.T) {
	bubble(t, anything, func(w *world) {
		r := w.reader("fast/a")
		r.cursor = new(Cursor)
		r.cursor.Follow()
		w.must("fast/a", "x")
		w.store.Append(context.Background(), []*Append{{Topic: "fast/a", Entry: Entry{Data: []byte("other")}}})
		time.Sleep(round)
		w.must("fast/a", "y")
		w.want("delivered", r.take(), "1:x", "gap", "3:y")
		time.Sleep(round)
		w.want("stored", w.store.stored("fast/a"), "1:other", "2:x", "3:y")
	})
}

func TestTopicLimit(t *testing.T) {
	o := anything
	o.TopicLimit = 2
	bubble(t, o, func(w *world) {
		release := w.store.holds()
		var group sync.WaitGroup
		for _, topic := range []string{"a", "b"} {
			group.Go(func() { w.publish(topic, "") })
		}
		synctest.Wait()
		if err := w.publish("c", ""); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		release()
		group.Wait()
		w.must("c", "") // nothing of a and b is on its way any more
	})
}

// The store refuses one, and fails while the others are tried again: nobody waits for ever.
func TestStoreThatRefusesOneThenFails(t *testing.T) {
	bubble(t, anything, func(w *world) {
		release := w.store.holds()
		var group sync.WaitGroup
		for _, text := range []string{"1", "2", "poison", "3", "4"} {
			group.Go(func() {
				if err := w.publish("a", text); (err == nil) != (text == "1") || err != nil && !errors.Is(err, ErrUnavailable) {
					t.Errorf("%s: got %v", text, err)
				}
			})
			synctest.Wait()
		}
		appends := 0
		w.store.fails(func(what string) (error, error) {
			if what != "append" {
				return nil, nil
			}
			if appends++; appends > 1 { // all but the first together, then each alone
				return errBroken, nil
			}
			return nil, nil
		})
		release()
		group.Wait()
		w.store.fails(nil)
	})
}

// One publication that the store refuses is no other's concern.
func TestStoreThatRefusesOne(t *testing.T) {
	bubble(t, anything, func(w *world) {
		r, fast := w.reader("a"), w.reader("fast/a")
		release := w.store.holds()
		var group sync.WaitGroup
		for _, text := range []string{"1", "2", "poison", "3"} {
			group.Go(func() {
				if err := w.publish("a", text); text == "poison" && !errors.Is(err, ErrFull) || text != "poison" && err != nil {
					t.Errorf("%s: got %v", text, err)
				}
			})
			synctest.Wait()
		}
		release()
		group.Wait()
		w.want("delivered", r.take(), "1:1", "2:2", "3:3")
		if err := w.publish(strings.Repeat("x", MaxName+1), ""); err != ErrName {
			t.Errorf("got %v", err)
		}
		before, _, _ := w.log.Publish(context.Background(), "fast/a", new(handler.Publication), "fast/a")
		w.must("fast/a", "poison", "3")
		w.want("delivered", fast.take(), "1:", "2:poison", "3:3")
		time.Sleep(round)
		w.want("stored", w.store.stored("fast/a"), "1:", "3:3")
		after, _, _ := w.log.Publish(context.Background(), "fast/a", new(handler.Publication), "fast/a")
		if after.Offset != 4 || after.Epoch == before.Epoch {
			t.Errorf("from %v to %v", before, after)
		}
		if s := w.log.Stats(); s.Full.Load() != 1 || s.Lost.Load() != 1 || s.Outages.Load() != 0 {
			t.Errorf("%d refused, %d lost, %d outages", s.Full.Load(), s.Lost.Load(), s.Outages.Load())
		}
	})
}

func TestTrim(t *testing.T) {
	bubble(t, Options{Policies: []Policy{
		{Topics: "count", Keep: Keep{Count: 10}}, {Topics: "bytes", Keep: Keep{Bytes: 100}}, {Topics: "age", Keep: Keep{Age: time.Minute}},
	}}, func(w *world) {
		for i := range 11 {
			w.must("count", fmt.Sprint(i))
			w.must("bytes", strings.Repeat("x", 10))
			w.must("age", fmt.Sprint(i))
		}
		time.Sleep(2 * round)
		for topic, want := range map[string]int{"count": 11, "bytes": 11, "age": 11} {
			if got := len(w.store.stored(topic)); got != want {
				t.Errorf("%s: %d are kept, of %d: a tenth more", topic, got, want)
			}
		}
		w.must("count", "12")
		w.must("bytes", "x")
		time.Sleep(30 * time.Second)
		w.must("age", "12")
		time.Sleep(40 * time.Second)
		for topic, want := range map[string]int{"count": 10, "bytes": 10, "age": 1} {
			if got := len(w.store.stored(topic)); got != want {
				t.Errorf("%s: %d are kept, want %d", topic, got, want)
			}
		}
		if n := w.log.Stats().Trimmed.Load(); n != 2+2+11 {
			t.Errorf("%d are trimmed", n)
		}
	})
}

// What was kept by another policy before is trimmed when the log begins.
func TestTrimAtTheBeginning(t *testing.T) {
	bubble(t, anything, func(w *world) {
		for i := range 20 {
			w.must("a", fmt.Sprint(i))
			w.must("b", fmt.Sprint(i))
		}
		w.close()
		w.open(Options{Policies: []Policy{{Topics: "a", Keep: Keep{Count: 5}}}})
		time.Sleep(2 * round)
		if a, b := w.store.stored("a"), w.store.stored("b"); len(a) != 5 || len(b) != 20 {
			t.Errorf("%d, %d are kept", len(a), len(b))
		}
	})
}

// A slowTrimmer has so much to remove that it takes minutes.
type slowTrimmer struct{ *fakeStore }

func (s slowTrimmer) Trim(ctx context.Context, name string, k Keep, now time.Time) (Topic, error) {
	select {
	case <-time.After(5 * time.Minute):
	case <-ctx.Done():
		return Topic{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	return s.fakeStore.Trim(ctx, name, k, now)
}

// A trim that takes long is no outage: others go on publishing.
func TestTrimOfMuch(t *testing.T) {
	bubble(t, anything, func(w *world) {
		w.must("a", "1", "2", "3")
		w.close()
		hub, err := handler.NewHub(handler.NewMemory())
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Policies: []Policy{{Topics: "a", Keep: Keep{Count: 1}}, {Topics: "**"}}, Logger: slog.New(slog.DiscardHandler)}
		if w.log, err = New(slowTrimmer{w.store}, hub, o); err != nil {
			t.Fatal(err)
		}
		for range 600 {
			time.Sleep(time.Second)
			w.must("b", "x")
		}
		w.want("kept", w.store.stored("a"), "3:3")
		if n := w.log.Stats().Errors.Load(); n != 0 {
			t.Errorf("%d errors of the store", n)
		}
	})
}

func TestClosed(t *testing.T) {
	bubble(t, anything, func(w *world) {
		w.must("a", "x")
		l := w.log
		w.close()
		if _, _, err := l.Publish(context.Background(), "a", &handler.Publication{}, "a"); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if _, err := l.CatchUp(context.Background(), "a", new(Cursor), From{}, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// Many publish on some topics, with a store that fails at times: each subscriber gets
// what is stored, once and in order.
func TestManyPublishers(t *testing.T) {
	for _, kind := range []string{"", "fast/"} {
		bubble(t, anything, func(w *world) {
			const topics, publishers, each = 5, 50, 40
			var readers [topics]*reader
			for i := range readers {
				readers[i] = w.reader(fmt.Sprint(kind, i))
			}
			var mu sync.Mutex
			n := 0
			w.store.fails(func(what string) (error, error) {
				mu.Lock()
				defer mu.Unlock()
				n++
				if what == "append" && n%7 == 0 {
					return nil, errBroken
				}
				if what == "append" && n%11 == 0 {
					return errBroken, nil
				}
				return nil, nil
			})
			var group sync.WaitGroup
			for i := range publishers {
				group.Go(func() {
					for j := range each {
						p := handler.Publication{ID: fmt.Sprint(i, "-", j), Text: fmt.Append(nil, i, " ", j)}
						topic := fmt.Sprint(kind, (i+j)%topics)
						for {
							_, _, err := w.log.Publish(context.Background(), topic, &p, topic)
							if err == nil {
								break
							}
							time.Sleep(firstRetry)
						}
					}
				})
			}
			group.Wait()
			w.store.fails(nil)
			time.Sleep(10 * round)
			total := 0
			for i, r := range readers {
				got, stored := r.take(), w.store.stored(fmt.Sprint(kind, i))
				total += len(got)
				if !slices.Equal(got, stored) {
					t.Errorf("%s%d: %d are delivered, %d are stored, or they are not in order", kind, i, len(got), len(stored))
				}
			}
			if total != publishers*each {
				t.Errorf("%d are delivered, want %d", total, publishers*each)
			}
		})
	}
}

func BenchmarkPublish(b *testing.B) {
	hub, _ := handler.NewHub(handler.NewMemory())
	r := &counter{}
	hub.Subscribe(context.Background(), "a", r)
	text := bytes.Repeat([]byte("x"), 100)
	o := Options{Policies: []Policy{{Topics: "a"}, {Topics: "fast", Fast: true}}, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range []struct{ name, topic string }{{"hub", ""}, {"not kept", "b"}, {"durable", "a"}, {"fast", "fast"}} {
		b.Run(c.name, func(b *testing.B) {
			l, err := New(&nothing{}, hub, o)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				var p handler.Publication
				for pb.Next() {
					p = handler.Publication{Text: text}
					var err error
					if c.topic == "" {
						err = hub.PublishTo(context.Background(), &p, "a")
					} else {
						_, _, err = l.Publish(context.Background(), c.topic, &p, "a")
					}
					for errors.Is(err, ErrBusy) {
						time.Sleep(time.Millisecond)
						_, _, err = l.Publish(context.Background(), c.topic, &p, "a")
					}
					if err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

type counter struct{ _ byte }

func (*counter) Receive(*handler.Publication) {}

// nothing is a store that keeps nothing.
type nothing struct {
	Store
	mu   sync.Mutex
	last uint64
}

func (s *nothing) Append(_ context.Context, batch []*Append) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range batch {
		s.last++
		a.Epoch, a.Entry.Offset = 1, s.last
	}
	return nil
}

func (*nothing) Open(context.Context, string, bool) (Topic, error) {
	return Topic{Epoch: 1, First: 1}, nil
}
func (*nothing) Topics(context.Context, string, int) ([]Topic, error) { return nil, nil }
func (*nothing) Settle(context.Context) error                         { return nil }
func (*nothing) Close() error                                         { return nil }
