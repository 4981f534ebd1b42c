package bench

import (
	"encoding/json"
	"io"
	"time"
)

// A report is what came of a load. Its fields are what --json prints; times
// and sizes have their unit in their names. What does not apply is left out.
type report struct {
	Bench      string         `json:"bench"`
	URL        string         `json:"url"`
	Transport  string         `json:"transport"`
	Protocol   string         `json:"protocol,omitempty"` // over that
	Sessions   sessions       `json:"sessions"`
	Memory     *memory        `json:"memory,omitempty"`
	Hold       *hold          `json:"hold,omitempty"`
	Heartbeats *heartbeats    `json:"heartbeats,omitempty"`
	Texts      *texts         `json:"texts,omitempty"`
	Flow       *flow          `json:"flow,omitempty"`
	Failures   map[string]int `json:"failures,omitempty"` // by why
	Notes      []string       `json:"notes,omitempty"`
}

// sessions are those that were asked for.
type sessions struct {
	Asked       int     `json:"asked"`
	Opened      int     `json:"opened"`
	Lost        int     `json:"lost"` // of those that opened
	OpenSeconds float64 `json:"open_seconds"`
}

// memory is the resident set of the server.
type memory struct {
	Before         int64   `json:"before_bytes"`
	After          int64   `json:"after_bytes"`
	Peak           int64   `json:"peak_bytes"`
	PerSession     float64 `json:"per_session_bytes"`
	PeakPerSession float64 `json:"peak_per_session_bytes"`
}

// hold is a time in which nothing was sent.
type hold struct {
	Seconds float64 `json:"seconds"`
	Server  *cpu    `json:"server_cpu,omitempty"`
	Client  *cpu    `json:"client_cpu,omitempty"`
}

// heartbeats are those of the server. Late is by how much they were.
type heartbeats struct {
	Count   int64    `json:"count"`
	Overdue int64    `json:"overdue"` // that have not come, though they are late
	Late    *latency `json:"late_ms"`
}

// texts are what others have sent to sessions that have not ended.
type texts struct {
	Count  int64 `json:"count"`
	Fewest int64 `json:"fewest"` // for a session
	Most   int64 `json:"most"`
}

// flow is what was sent and what arrived. The counts are of the whole run, the
// rest is of the measured time.
type flow struct {
	Unit      string   `json:"unit"`                // message, delivery or session
	Published int64    `json:"published,omitempty"` // messages, of deliveries
	Sent      int64    `json:"sent"`
	Received  int64    `json:"received"`
	Lost      int64    `json:"lost"`
	Wrong     int64    `json:"wrong"`            // came twice, out of order, or from elsewhere
	Unsent    int64    `json:"unsent,omitempty"` // messages for which there was no time left
	Seconds   float64  `json:"seconds"`
	Offered   float64  `json:"offered_per_second,omitempty"`
	PerSecond float64  `json:"per_second"`
	Latency   *latency `json:"latency_ms,omitempty"`
	Server    *cpu     `json:"server_cpu,omitempty"`
	Client    *cpu     `json:"client_cpu,omitempty"`
}

// cpu is time on a processor.
type cpu struct {
	PerUnit float64 `json:"us_per_unit,omitempty"` // microseconds
	Percent float64 `json:"percent_of_core"`
}

// report begins with what all loads have in common.
func (l *load) report(bench string) *report {
	return &report{
		Bench:     bench,
		URL:       l.flags.URL,
		Transport: l.flags.Transport,
		Protocol:  l.protocol,
		Sessions: sessions{
			Asked:       l.asked,
			Opened:      len(l.peers),
			Lost:        int(l.lost.Load()),
			OpenSeconds: l.openTime.Seconds(),
		},
		Failures: l.failures.all(),
		Notes:    l.notes,
	}
}

func (l *load) flow(unit string, w window, sending *pacer) *flow {
	f := &flow{
		Unit:      unit,
		Sent:      l.sent.Load(),
		Received:  l.received(),
		Wrong:     l.wrong.Load(),
		Seconds:   w.took.Seconds(),
		PerSecond: float64(w.received) / w.took.Seconds(),
		Latency:   l.latency(),
	}
	f.Lost = f.Sent - f.Received
	if sending != nil {
		f.Unsent = sending.unsent
	}
	if l.server != 0 {
		f.Server = newCPU(w.usage.server, w.took, w.received)
		f.Client = newCPU(w.usage.client, w.took, w.received)
	}
	return f
}

func newHold(took time.Duration, used usage, known bool) *hold {
	h := &hold{Seconds: took.Seconds()}
	if known {
		h.Server = newCPU(used.server, took, 0)
		h.Client = newCPU(used.client, took, 0)
	}
	return h
}

// newCPU spreads what was used over a time and a number of units, if there
// were any.
func newCPU(used, took time.Duration, units int64) *cpu {
	c := &cpu{Percent: 100 * used.Seconds() / took.Seconds()}
	if units > 0 {
		c.PerUnit = used.Seconds() * 1e6 / float64(units)
	}
	return c
}

func (r *report) print(w io.Writer, asJSON bool) error {
	if !asJSON {
		return r.table(w)
	}
	return json.NewEncoder(w).Encode(r)
}
