package bench

import (
	"strings"
	"testing"
	"time"
)

// everything is a report with all that there may be.
func everything() *report {
	return &report{
		Bench:      "fanout",
		URL:        "http://127.0.0.1:1/broadcast",
		Transport:  "websocket",
		Protocol:   "STOMP",
		Sessions:   sessions{Asked: 4, Opened: 3, Lost: 1, OpenSeconds: 0.25},
		Memory:     &memory{Before: 1 << 20, After: 3 << 20, Peak: 4 << 20, PerSession: 2048, PeakPerSession: 3072},
		Hold:       &hold{Seconds: 10, Server: &cpu{Percent: 1}, Client: &cpu{Percent: 2}},
		Heartbeats: &heartbeats{Count: 6, Overdue: 1, Late: &latency{1, 2, 3, 4}},
		Texts:      &texts{Count: 8, Fewest: 2, Most: 3},
		Flow: &flow{Unit: "delivery", Published: 5, Sent: 20, Received: 18, Lost: 2, Wrong: 1, Unsent: 7,
			Seconds: 2, Offered: 12, PerSecond: 9, Latency: &latency{1, 2, 3, 4},
			Server: newCPU(time.Second, 2*time.Second, 100), Client: newCPU(time.Second, 2*time.Second, 50)},
		Failures: map[string]int{"lost: EOF": 1, "not opened: status 503": 1},
		Notes:    []string{"as many as fit"},
	}
}

func TestReportIsATable(t *testing.T) {
	want := `fanout      STOMP over websocket at http://127.0.0.1:1/broadcast
sessions    3 of 4 opened in 0.2 s, 1 lost
memory      2.00 KiB per session, at most 3.00
            1.0 MiB before, 3.0 after, at most 4.0
held        10.0 s
server CPU  1.0 % of a core
client CPU  2.0 % of a core
heartbeats  6, 1 overdue
late by     p50 1.00 ms, p95 2.00, p99 3.00, max 4.00
texts       8, from 2 to 3 per session
published   5 messages
sent        20, 18 received, 2 lost, 1 wrong
unsent      7 messages that were due
offered     12 /s
reached     9 /s for 2.0 s
latency     p50 1.00 ms, p95 2.00, p99 3.00, max 4.00
server CPU  10000.00 us per delivery, 50.0 % of a core
client CPU  20000.00 us per delivery, 50.0 % of a core
failed      1 lost: EOF
failed      1 not opened: status 503
note        as many as fit
`
	var got strings.Builder
	if err := everything().print(&got, false); err != nil || got.String() != want {
		t.Errorf("%v\n%s", err, got.String())
	}
}

func TestReportIsOneJSONObject(t *testing.T) {
	want := `{"bench":"fanout","url":"http://127.0.0.1:1/broadcast","transport":"websocket","protocol":"STOMP",` +
		`"sessions":{"asked":4,"opened":3,"lost":1,"open_seconds":0.25},` +
		`"memory":{"before_bytes":1048576,"after_bytes":3145728,"peak_bytes":4194304,"per_session_bytes":2048,"peak_per_session_bytes":3072},` +
		`"hold":{"seconds":10,"server_cpu":{"percent_of_core":1},"client_cpu":{"percent_of_core":2}},` +
		`"heartbeats":{"count":6,"overdue":1,"late_ms":{"p50":1,"p95":2,"p99":3,"max":4}},` +
		`"texts":{"count":8,"fewest":2,"most":3},` +
		`"flow":{"unit":"delivery","published":5,"sent":20,"received":18,"lost":2,"wrong":1,"unsent":7,"seconds":2,` +
		`"offered_per_second":12,"per_second":9,"latency_ms":{"p50":1,"p95":2,"p99":3,"max":4},` +
		`"server_cpu":{"us_per_unit":10000,"percent_of_core":50},"client_cpu":{"us_per_unit":20000,"percent_of_core":50}},` +
		`"failures":{"lost: EOF":1,"not opened: status 503":1},"notes":["as many as fit"]}` + "\n"
	var got strings.Builder
	if err := everything().print(&got, true); err != nil || got.String() != want {
		t.Errorf("%v\n%s", err, got.String())
	}
}
