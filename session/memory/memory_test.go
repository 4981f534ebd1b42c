package memory

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limited sets the limit for a test, at whose end nothing may be held.
func limited(t *testing.T, bytes int64) {
	before := SetLimit(bytes)
	t.Cleanup(func() {
		SetLimit(before)
		if Used() != 0 {
			t.Errorf("%d bytes are left", Used())
		}
	})
}

func TestLimit(t *testing.T) {
	limited(t, 100)
	Add(60)
	if err := TryReserve(40); err != nil {
		t.Errorf("up to the limit: %v", err)
	}
	if err := TryReserve(1); err != ErrFull || Used() != 100 || Over() {
		t.Errorf("over it: %v, %d used, over %v", err, Used(), Over())
	}
	Add(1)
	if !Over() {
		t.Error("101 of 100 bytes are not over the limit")
	}
	Add(-101)
}

// No kind gets more than a quarter, and all together leave something for publishers.
func TestShare(t *testing.T) {
	limited(t, 100)
	for _, s := range []*Share{&Received, &Kept, &Queued} {
		if s.Scarce() || !s.Take(25) || s.Take(1) || s.Used() != 25 || !s.Scarce() {
			t.Errorf("%d of a kind, want 25", s.Used())
		}
	}
	if err := TryReserve(25); err != nil || TryReserve(1) != ErrFull || Kept.Take(0) != true {
		t.Errorf("the rest: %v", err)
	}
	for _, s := range []*Share{&Received, &Kept, &Queued} {
		s.Give(25)
	}
	Add(-25)
}

// Nobody is refused for what another was refused.
func TestRefusalsRefuseNobodyElse(t *testing.T) {
	limited(t, 100)
	var all sync.WaitGroup
	for _, size := range []int{101, 10, 10} {
		all.Go(func() {
			for range 20_000 {
				if err := TryReserve(size); err == nil {
					Add(-size)
				} else if size <= 100 {
					t.Errorf("%d bytes of 100 are refused", size)
					return
				}
			}
		})
	}
	all.Wait()
}

// Publishers wait in the order in which they came, but small ones for nobody else.
func TestReserveWaits(t *testing.T) {
	const unit = 1 << 20
	limited(t, 100*unit)
	synctest.Test(t, func(t *testing.T) {
		Add(80 * unit)
		var mu sync.Mutex
		var order []int
		var all sync.WaitGroup
		for i, size := range []int{90, 10, 5} {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := Reserve(context.Background(), size*unit); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, size)
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(order) != 0 {
			t.Errorf("%v did not wait, behind one who needs more than there is", order)
		}
		if err := Reserve(context.Background(), overtakes); err != nil || Pressed() {
			t.Errorf("a small one: %v, pressed: %v", err, Pressed())
		}
		Add(-overtakes)
		time.Sleep(pressure)
		if !Pressed() {
			t.Error("nobody is to make room although publishers have waited for long")
		}
		Add(-80 * unit)
		synctest.Wait()
		if len(order) != 2 || order[0]+order[1] != 100 {
			t.Errorf("%v went on, want 90 and 10", order)
		}
		Add(-90 * unit)
		all.Wait()
		Add(-15 * unit)
		if Pressed() {
			t.Error("nobody waits any more")
		}
	})
}

func TestReserveGivesUp(t *testing.T) {
	limited(t, 100)
	synctest.Test(t, func(t *testing.T) {
		Add(100)
		begun := time.Now()
		if err := Reserve(context.Background(), 1); err != ErrFull || time.Since(begun) != patience {
			t.Errorf("%v after %v, want ErrFull after %v", err, time.Since(begun), patience)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := Reserve(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the context's error", err)
		}
		if err := Reserve(context.Background(), 101); err != ErrFull {
			t.Errorf("more than there can be: %v, want ErrFull", err)
		}
		Add(-100)
		if waiting.Load() != 0 {
			t.Errorf("%d still wait", waiting.Load())
		}
	})
}

// A form is made once, and counted while somebody holds one of its message.
func TestForms(t *testing.T) {
	limited(t, 1000)
	var f Forms
	made := 0
	var key Key
	get := func() *Form { return f.Form(&key, func() []byte { made++; return make([]byte, 100) }) }
	var p, q Pieces
	p.AppendForm(get())
	if Used() != 100 {
		t.Errorf("held by one: %d", Used())
	}
	p.AppendForm(get())
	q.AppendForm(get())
	q.AppendTransformed(&p, &Transform{Append: func(dst, src []byte) []byte { return append(dst, src[:50]...) }})
	if made != 1 || Used() != 150 {
		t.Errorf("made %d times, %d bytes of two forms", made, Used())
	}
	p.Reset()
	if Used() != 150 || q.Alone() != 33+16+16 {
		t.Errorf("held by the other: %d, of which alone %d", Used(), q.Alone())
	}
	q.Advance(100)
	q.Advance(100)
	if Used() != 0 {
		t.Errorf("held by nobody: %d", Used())
	}
	p.AppendForm(get())
	if Used() != 150 {
		t.Errorf("held again: %d", Used())
	}
	p.Reset()
}

func TestFormsOfManyGoroutines(t *testing.T) {
	limited(t, 1<<20)
	var f Forms
	var keys [3]Key
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			var p Pieces
			for n := range 1000 {
				p.AppendForm(f.Form(&keys[n%3], func() []byte { return make([]byte, 10) }))
				if i%2 == 0 {
					p.Advance(10)
				}
				p.Reset()
			}
		})
	}
	all.Wait()
}

// Whatever is done with Pieces, they are the bytes that a slice would be, and hold their
// forms once.
func FuzzPieces(f *testing.F) {
	f.Add([]byte{0, 3, 1, 5, 2, 0, 3, 4, 4, 0, 1, 9, 5, 2})
	upper := &Transform{Append: func(dst, src []byte) []byte { return append(dst, bytes.ToUpper(src)...) }}
	f.Fuzz(func(t *testing.T, script []byte) {
		before := Used()
		text := bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), 10)
		var p, q Pieces
		var want []byte
		var forms Forms
		var keys [256]Key
		for ; len(script) >= 2; script = script[2:] {
			n := int(script[1])
			switch script[0] % 6 {
			case 0:
				p.Bytes, want = append(p.Bytes, text[:n]...), append(want, text[:n]...)
			case 1:
				n = max(n, 1)
				p.AppendForm(forms.Form(&keys[n], func() []byte { return text[:n] }))
				want = append(want, text[:n]...)
			case 2:
				n = min(n, p.Len())
				p.Advance(n)
				want = want[n:]
			case 3:
				q.Reset()
				q.Move(&p)
				p, q = q, p
			case 4:
				if p.gone+p.begun > 0 {
					continue
				}
				q.Reset()
				q.AppendTransformed(&p, upper)
				p.Reset()
				p, q, want = q, p, bytes.ToUpper(want)
			case 5:
				var got []byte
				for _, run := range p.Buffers(make([][]byte, 0, 200)) {
					got = append(got, run...)
				}
				if !bytes.HasPrefix(want, got) || len(script) < 190 && len(got) != len(want) {
					t.Fatalf("buffers: %q, want %q", got, want)
				}
			}
			if p.Len() != len(want) {
				t.Fatalf("%d bytes, want %d", p.Len(), len(want))
			}
		}
		var got []byte
		for chunk := range p.Chunks(50) {
			if len(chunk) > 50 {
				t.Fatalf("a chunk of %d bytes", len(chunk))
			}
			got = append(got, chunk...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
		q.Reset()
		if Used() != before {
			t.Fatalf("%d bytes are left", Used()-before)
		}
	})
}
