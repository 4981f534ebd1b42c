package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Who asks as often as it can writes a hundred lines a minute, and one that says how
// many there were.
func TestClientCannotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		log := newLogger(&out, "text", zapcore.InfoLevel)
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
	log := slogOf(newLogger(&out, "text", zapcore.DebugLevel))
	for range 1000 {
		log.Warn("origin refused")
	}
	if n := strings.Count(out.String(), "\n"); n != 1000 {
		t.Errorf("%d lines", n)
	}
}

// Each line of the json format is an object with the keys that log/slog has.
func TestLogIsJSONWhereThatIsAskedFor(t *testing.T) {
	var out lockedBuffer
	log := newLogger(&out, "json", zapcore.InfoLevel)
	slogOf(log).Warn("a \"quoted\" line\nof two", "endpoint", "/ws", "age", 90*time.Second)
	log.Error("failed", zap.Error(errors.New("why")))
	slogOf(log).Debug("not this one")
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for i, want := range []map[string]any{
		{"level": "warn", "msg": "a \"quoted\" line\nof two", "endpoint": "/ws", "age": "1m30s"},
		{"level": "error", "msg": "failed", "error": "why"},
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatalf("%v: %s", err, lines[i])
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["time"])); err != nil {
			t.Error(err)
		}
		delete(got, "time")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if len(lines) != 2 {
		t.Errorf("%q", lines)
	}
}

// The command's log, in either format, has nothing of what lets into a session.
func TestSessionInTheLogOfTheCommand(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"text": `DEBUG session closed {"endpoint": "/echo", "session": "`,
		"json": `"msg":"session closed","endpoint":"/echo","session":"`,
	} {
		p := start(t, "serve", "--addr", "127.0.0.1:0", "--log-level", "debug", "--log-format", format)
		ws := dial(t, p.url+"echo/000/secret-session/websocket?token=secret-token")
		ws.WriteMessage(websocket.TextMessage, []byte(`["secret-message"]`))
		for _, frame := range []string{"o", `a["secret-message"]`} {
			if got := next(t, ws); got != frame {
				t.Fatalf("got %q", got)
			}
		}
		ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
		p.logs("session closed")
		log := p.stderr.String()
		if !strings.Contains(log, want) || strings.Count(log, "session opened") != 1 || strings.Contains(log, "secret") {
			t.Errorf("%s:\n%s", format, log)
		}
	}
}
