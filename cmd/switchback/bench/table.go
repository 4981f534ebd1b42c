package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// A table is rows of a name and what is to be said of it.
type table struct{ *tabwriter.Writer }

func (t table) row(name, format string, args ...any) {
	fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
}

// table prints r for people.
func (r *report) table(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	over := r.Transport
	if r.Protocol != "" {
		over = r.Protocol + " over " + over
	}
	t.row(r.Bench, "%s at %s", over, r.URL)
	r.Sessions.rows(t)
	r.Memory.rows(t)
	r.Hold.rows(t)
	r.Heartbeats.rows(t)
	r.Texts.row(t)
	r.Flow.rows(t)
	for _, why := range slices.Sorted(maps.Keys(r.Failures)) {
		t.row("failed", "%d %s", r.Failures[why], why)
	}
	for _, note := range r.Notes {
		t.row("note", "%s", note)
	}
	return t.Flush()
}

func (s sessions) rows(t table) {
	t.row("sessions", "%d of %d opened in %.1f s, %d lost", s.Opened, s.Asked, s.OpenSeconds, s.Lost)
}

func (m *memory) rows(t table) {
	if m == nil {
		return
	}
	t.row("memory", "%.2f KiB per session, at most %.2f", m.PerSession/1024, m.PeakPerSession/1024)
	t.row("", "%.1f MiB before, %.1f after, at most %.1f", mebi(m.Before), mebi(m.After), mebi(m.Peak))
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func (h *hold) rows(t table) {
	if h == nil {
		return
	}
	t.row("held", "%.1f s", h.Seconds)
	h.Server.row(t, "server CPU", "")
	h.Client.row(t, "client CPU", "")
}

func (h *heartbeats) rows(t table) {
	if h == nil {
		return
	}
	t.row("heartbeats", "%d, %d overdue", h.Count, h.Overdue)
	h.Late.row(t, "late by")
}

func (x *texts) row(t table) {
	if x != nil {
		t.row("texts", "%d, from %d to %d per session", x.Count, x.Fewest, x.Most)
	}
}

func (f *flow) rows(t table) {
	if f == nil {
		return
	}
	if f.Published > 0 {
		t.row("published", "%d messages", f.Published)
	}
	t.row("sent", "%d, %d received, %d lost, %d wrong", f.Sent, f.Received, f.Lost, f.Wrong)
	if f.Unsent > 0 {
		t.row("unsent", "%d messages that were due", f.Unsent)
	}
	if f.Offered > 0 {
		t.row("offered", "%.0f /s", f.Offered)
	}
	t.row("reached", "%.0f /s for %.1f s", f.PerSecond, f.Seconds)
	f.Latency.row(t, "latency")
	f.Server.row(t, "server CPU", f.Unit)
	f.Client.row(t, "client CPU", f.Unit)
}

func (l *latency) row(t table, name string) {
	if l != nil {
		t.row(name, "p50 %.2f ms, p95 %.2f, p99 %.2f, max %.2f", l.P50, l.P95, l.P99, l.Max)
	}
}

func (c *cpu) row(t table, name, unit string) {
	switch {
	case c == nil:
	case unit == "":
		t.row(name, "%.1f %% of a core", c.Percent)
	default:
		t.row(name, "%.2f us per %s, %.1f %% of a core", c.PerUnit, unit, c.Percent)
	}
}
