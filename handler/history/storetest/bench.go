package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"switchback/handler/history"
)

// BenchAppend has 100 publishers append to 20 topics, each its next entry when the one before
// is stored. What comes while a batch is stored is the next batch.
func BenchAppend(b *testing.B, s history.Store) {
	const publishers, topics, most = 100, 20, 1000
	type publication struct {
		*history.Append
		stored chan<- error
	}
	publications := make(chan publication, most)
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for p := range publishers {
		all.Go(func() {
			stored := make(chan error)
			for i := p; i < b.N; i += publishers {
				publications <- publication{&history.Append{
					Topic: fmt.Sprint("room ", p%topics),
					Entry: history.Entry{At: time.Now(), ID: fmt.Sprint(p, "-", i), User: fmt.Sprint("user ", p), Data: make([]byte, 100)},
				}, stored}
				if err := <-stored; err != nil {
					b.Error(err)
				}
			}
		})
	}
	go func() { // until all have what they wait for
		all.Wait()
		close(publications)
	}()
	batches := 0
	for one := range publications {
		waiting := []publication{one}
		for len(publications) > 0 && len(waiting) < most {
			waiting = append(waiting, <-publications)
		}
		batch := make([]*history.Append, len(waiting))
		for i, one := range waiting {
			batch[i] = one.Append
		}
		err := s.Append(b.Context(), batch)
		for _, one := range waiting {
			one.stored <- err
		}
		batches++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(b.N)/float64(batches), "entries/batch")
}

// BenchTrim has one publisher append to a small topic while half of a topic of 100,000 entries
// is removed, and tells how long appends took: the median, and the slowest.
func BenchTrim(b *testing.B, s history.Store) {
	const entries, keep = 100_000, 50_000
	var took []time.Duration
	for round := 0; b.Loop(); round++ {
		b.StopTimer()
		large := fmt.Sprint("large ", round)
		for stored := 0; stored < entries; {
			var batch []*history.Append
			for range 10_000 {
				stored++
				batch = append(batch, &history.Append{Topic: large, Entry: history.Entry{
					At: time.Now(), ID: fmt.Sprint(stored%100, "-", stored), User: fmt.Sprint("user ", stored%100), Data: make([]byte, 100),
				}})
			}
			if err := s.Append(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		trimmed := make(chan error, 1)
		go func() { // until it has trimmed
			_, err := s.Trim(b.Context(), large, history.Keep{Count: keep}, time.Now())
			trimmed <- err
		}()
		for ended := false; !ended; {
			begun := time.Now()
			if err := s.Append(b.Context(), []*history.Append{{Topic: "small", Entry: history.Entry{At: begun, ID: fmt.Sprint(len(took)), Data: make([]byte, 100)}}}); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(begun))
			select {
			case err := <-trimmed:
				if ended = true; err != nil {
					b.Fatal(err)
				}
			default:
			}
		}
	}
	slices.Sort(took)
	for name, d := range map[string]time.Duration{"p50-ms": took[len(took)/2], "worst-ms": took[len(took)-1]} {
		b.ReportMetric(float64(d.Microseconds())/1000, name)
	}
	b.ReportMetric(float64(len(took))/float64(b.N), "appends/trim")
}

// BenchRead reads pages of 50 of a topic of a million entries, or 50,000 with -short: its
// first page, which is of its newest, one of its middle, and its last. It counts what is
// unread, too.
func BenchRead(b *testing.B, s history.Store) {
	entries := 1_000_000
	if testing.Short() {
		entries = 50_000
	}
	const topic = "large"
	for stored := 0; stored < entries; {
		var batch []*history.Append
		for range 10_000 {
			stored++
			batch = append(batch, &history.Append{Topic: topic, Entry: history.Entry{
				At: time.Now(), ID: fmt.Sprint(stored), User: fmt.Sprint("user ", stored%100), Data: make([]byte, 100),
			}})
		}
		if err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for _, page := range []struct {
		name string
		history.Range
	}{
		{"First", history.Range{Newest: true, Limit: 50}},
		{"Middle", history.Range{Newest: true, Limit: 50, Before: uint64(entries / 2)}},
		{"Last", history.Range{Newest: true, Limit: 50, Before: 51}},
	} {
		b.Run(page.name, func(b *testing.B) {
			for b.Loop() {
				if got, err := s.Read(b.Context(), topic, page.Range); err != nil || len(got) != 50 {
					b.Fatal(len(got), err)
				}
			}
		})
	}
	b.Run("Unread", func(b *testing.B) {
		for b.Loop() {
			if got, err := s.Unread(b.Context(), "user 1", []string{topic}, 1000); err != nil || got[0].Count != 1000 {
				b.Fatal(got, err)
			}
		}
	})
}
