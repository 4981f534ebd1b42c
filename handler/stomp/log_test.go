package stomp

import (
	"log/slog"
	"strings"
	"testing"
)

// A client is told what was wrong with its frame; the log gets no word of it.
func TestLogQuotesNoBrokenFrame(t *testing.T) {
	var l logBuffer
	bubble(t, Options{Logger: slog.New(slog.NewTextHandler(&l, nil))}, func(w *world) {
		for _, in := range []string{
			"SEND\npasscode=secret\n\n\x00",
			"SEND\ndestination:/topic/a\nAuthorization:Bearer secret\\x\n\n\x00",
			"SEND\ndestination:/topic/a\n\nabc\x00secret\n\x00",
		} {
			c := w.connect("1.2")
			c.send(in)
			if got := c.take(); len(got) != 2 || !strings.Contains(got[0], "secret") {
				t.Errorf("the client is told %q", got)
			}
		}
	})
	log := l.String()
	if strings.Contains(log, "secret") {
		t.Errorf("the log has it: %s", log)
	}
	for _, reason := range []string{"illegal header", "illegal escape sequence", "unknown command"} {
		if !strings.Contains(log, reason) {
			t.Errorf("the log does not say %q: %s", reason, log)
		}
	}
}
