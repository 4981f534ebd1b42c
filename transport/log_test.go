package transport

import (
	"bytes"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

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
