package natsserver

import (
	"fmt"
	"testing"
	"time"
)

// What the server says is said once an hour of each node, whatever the connection, and so few
// things that nobody can fill a log.
func TestErrorsAreSaidOnce(t *testing.T) {
	l, now := newLogger(nil), time.Now()
	for i, c := range []struct {
		text string
		want bool
	}{
		{"10.0.0.2:7400 - rid:5 - TLS route handshake error: remote error", true},
		{"10.0.0.2:43110 - rid:6 - TLS route handshake error: remote error", false},
		{"10.0.0.3:7400 - rid:7 - TLS route handshake error: remote error", true},
		{"Error trying to connect to route (attempt 1): refused", true},
		{"Error trying to connect to route (attempt 86400): refused", false},
	} {
		if got := l.isNew(c.text, now); got != c.want {
			t.Errorf("%d: %q: got %v", i, c.text, got)
		}
	}
	said := 0
	for i := range 1000 {
		if l.isNew(fmt.Sprint("error ", i), now) {
			said++
		}
	}
	if said != mostSaid-3 || len(l.said) != mostSaid {
		t.Errorf("%d more are said", said)
	}
	if !l.isNew("error 0", now.Add(sayAgain+time.Second)) {
		t.Error("it is not said again after an hour")
	}
}
