package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
)

func TestClientDoesNotChooseHowLongALineIs(t *testing.T) {
	var log bytes.Buffer
	s := serve(t, session.Shared(handler.Echo{}), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	long := strings.Repeat("a", 20_000)
	s.ask(t, "GET", "/info", "", "Origin: https://"+long+".example", "Host: "+long+".example")
	if n := log.Len(); n == 0 || n > 1024 {
		t.Errorf("%d bytes: %.100s", n, log.String())
	}
}

// A session's life is a line when it opens, and one when it has closed that says all: how
// long it was, what has passed, and how it ended. Neither has the session id of the URL, which is a secret.
func TestEndOfASessionIsOneLine(t *testing.T) {
	long := strings.Repeat("a", 2000)
	for _, c := range []struct {
		end  error
		want map[string]any
	}{
		{&session.CloseError{Code: 4000, Reason: "Bye"}, map[string]any{"level": "DEBUG", "code": 4000.0, "reason": "Bye", "error": nil}},
		{errors.New("database is down"), map[string]any{"level": "DEBUG", "code": 1011.0, "reason": "Internal error", "error": "database is down"}},
		{errors.New(long), map[string]any{"level": "DEBUG", "code": 1011.0, "reason": "Internal error", "error": long[:256] + "…"}},
		{&session.CloseError{Code: 1013, Reason: "Client is too slow", Err: session.ErrSlow},
			map[string]any{"level": "WARN", "code": 1013.0, "reason": "Client is too slow", "error": session.ErrSlow.Error()}},
	} {
		var log lockedBuffer
		h := &failing{err: c.end, closed: make(chan struct{})}
		s := serve(t, kims{session.Shared(h)}, Options{Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		id := newID()
		s.ask(t, "POST", "/0/"+id+"/xhr", "")
		s.ask(t, "POST", "/0/"+id+"/xhr_send", `["one secret","and another"]`)
		<-h.closed
		for range 2 { // the shutdown waits for no client then
			s.poll(t, id)
		}
		lines := log.lines(t, 2)
		for _, line := range lines {
			for key, want := range map[string]any{"endpoint": "/echo", "transport": "xhr-polling", "address": "127.0.0.1", "user": "kim"} {
				if line[key] != want {
					t.Errorf("%s: %v; want %v", key, line[key], want)
				}
			}
			delete(line, "time")
			if text := fmt.Sprint(line); strings.Contains(text, id) || strings.Contains(text, "secret") {
				t.Errorf("a secret is in the log: %v", line)
			}
		}
		if lines[0]["msg"] != "session opened" || lines[1]["msg"] != "session closed" || lines[0]["session"] != lines[1]["session"] {
			t.Errorf("%v", lines)
		}
		maps.Copy(c.want, map[string]any{"received": 2.0, "received_bytes": 21.0, "sent": 1.0, "sent_bytes": float64(len(`"hello"`))})
		for key, want := range c.want {
			if lines[1][key] != want {
				t.Errorf("%s is %v; want %v", key, lines[1][key], want)
			}
		}
		if age, ok := lines[1]["age"].(float64); !ok || age < 0 || age > float64(time.Minute) {
			t.Errorf("age: %v", lines[1]["age"])
		}
	}
}

// A failing handler says hello, and ends its session with the first message.
type failing struct {
	session.Nop
	err    error
	closed chan struct{}
}

func (h *failing) OnOpen(s session.Session) error          { return s.Send([]byte("hello")) }
func (h *failing) OnMessage(session.Session, []byte) error { return h.err }
func (h *failing) OnClose(session.Session, error)          { close(h.closed) }

// The sessions of kims are Kim's.
type kims struct{ session.Opener }

func (kims) Authenticate(*http.Request) (*session.Identity, error) {
	return &session.Identity{User: "kim", Claims: map[string]any{"token": "secret"}}, nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// lines waits for so many lines.
func (l *lockedBuffer) lines(t *testing.T, n int) (lines []map[string]any) {
	t.Helper()
	text := func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.b.String()
	}
	for begun := time.Now(); strings.Count(text(), "\n") < n; time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("no %d lines:\n%s", n, text())
		}
	}
	for line := range strings.Lines(text()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fields)
	}
	return lines
}

// A program that gives no logger is not mute.
func TestLoggerIsTheProgramsDefault(t *testing.T) {
	var lines bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&lines, nil)))
	defer func() {
		slog.SetDefault(before)
		log.SetOutput(os.Stderr) // which SetDefault had changed
	}()
	opener := session.OpenerFunc(func(r *http.Request) (session.Handler, error) { return nil, errors.New("database is down") })
	s := serve(t, opener, Options{})
	s.ask(t, "GET", "/info", "", "Origin: https://evil.example")
	s.ask(t, "POST", "/0/"+newID()+"/xhr", "")
	for _, want := range []string{"origin refused", "database is down"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("%q is not logged:\n%s", want, lines.String())
		}
	}
}
