package bench

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A meter counts what is sent and received, and how late what was due within
// the measured time arrived. Its methods may be called from any goroutine.
type meter struct {
	start       time.Time
	from, until atomic.Int64 // the measured time
	sent        atomic.Int64 // messages that are to arrive
	abandoned   atomic.Int64 // of those, what cannot arrive, as its session has ended
	wrong       atomic.Int64 // what came twice, out of order, or from elsewhere
	shards      [8]shard     // by session, so that few wait for each other
}

type shard struct {
	mu       sync.Mutex
	received int64
	latency  *hdrhistogram.Histogram // in microseconds
	_        [64]byte                // to be in another line of the CPU's cache
}

// slowest is the longest latency that is told from longer ones.
const slowest = 10 * time.Minute

func newMeter() *meter {
	m := &meter{start: time.Now()}
	m.from.Store(math.MaxInt64)
	m.until.Store(math.MaxInt64)
	for i := range m.shards {
		m.shards[i].latency = newHistogram()
	}
	return m
}

// newHistogram tells values apart that differ by one in a thousand.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, slowest.Microseconds(), 3)
}

// now is the meter's clock, in nanoseconds.
func (m *meter) now() int64 { return int64(time.Since(m.start)) }

// receive counts what has arrived for a session, and was due at a time.
func (m *meter) receive(session int, at int64) {
	late := m.now() - at
	measured := at >= m.from.Load() && at < m.until.Load()
	s := &m.shards[session%len(m.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received++
	if measured {
		s.latency.RecordValue(min(late, int64(slowest)) / int64(time.Microsecond))
	}
}

// received is the number of all that has arrived.
func (m *meter) received() (n int64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += s.received
		s.mu.Unlock()
	}
	return n
}

// outstanding is the number of messages that may yet arrive.
func (m *meter) outstanding() int64 { return m.sent.Load() - m.abandoned.Load() - m.received() }

// latency is that of what was due within the measured time and has arrived, or
// nil when nothing has.
func (m *meter) latency() *latency {
	all := newHistogram()
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		all.Merge(s.latency)
		s.mu.Unlock()
	}
	return newLatency(all)
}

// A latency is in milliseconds.
type latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func newLatency(h *hdrhistogram.Histogram) *latency {
	if h.TotalCount() == 0 {
		return nil
	}
	at := func(quantile float64) float64 { return float64(h.ValueAtQuantile(quantile)) / 1000 }
	return &latency{P50: at(50), P95: at(95), P99: at(99), Max: float64(h.Max()) / 1000}
}
