package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"
)

// Who asks as often as it can writes a hundred lines a minute, and one that says how
// many there were.
func TestClientCannotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		log := newLogger(&out, zapcore.InfoLevel)
		library, server := slogOf(log), errorLog(log)
		for i := range 1000 {
			library.Warn("origin refused", "origin", i)
			server.Printf("http: TLS handshake error from 192.0.2.1:%d", i)
		}
		for _, of := range []string{"origin refused", "http"} {
			if n := strings.Count(out.String(), "WARN "+of+" {"); n != linesPerPeriod {
				t.Errorf("%s: %d lines", of, n)
			}
		}
		for _, own := range []string{"http: panic serving 192.0.2.1:1: oops", "http: Accept error: too many open files; retrying in 5ms"} {
			server.Print(own)
			if !strings.Contains(out.String(), own) {
				t.Errorf("clients have crowded %q out", own)
			}
		}
		time.Sleep(logPeriod + 1)
		synctest.Wait()
		for _, want := range []string{`{"of": "origin refused", "lines": 900}`, `{"of": "http", "lines": 900}`} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s is not in the log", want)
			}
		}
	})
}

func TestLogIsWholeAtDebug(t *testing.T) {
	var out lockedBuffer
	log := slogOf(newLogger(&out, zapcore.DebugLevel))
	for range 1000 {
		log.Warn("origin refused")
	}
	if n := strings.Count(out.String(), "\n"); n != 1000 {
		t.Errorf("%d lines", n)
	}
}
