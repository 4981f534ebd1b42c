package stomp

import (
	"errors"
	"testing"

	"switchback/session"
)

func TestDisconnectClosesTheSessionsOfAUser(t *testing.T) {
	bubble(t, Options{Login: byLogin}, func(w *world) {
		a, a2, b, nobody := w.user("ann"), w.user("ann"), w.user("bob"), w.user("")
		if n, err := w.broker.Disconnect("ann", 1000, "bye"); n != 2 || err != nil {
			t.Errorf("%d, %v; want 2", n, err)
		}
		a.want("CLOSE 1000 bye")
		a2.want("CLOSE 1000 bye")
		for _, user := range []string{"ann", "", "carl"} {
			if n, err := w.broker.Disconnect(user, 1000, ""); n != 0 || err != nil {
				t.Errorf("%q: %d, %v; want 0", user, n, err)
			}
		}
		if n, err := w.broker.Disconnect("bob", 1006, ""); n != 0 || !errors.Is(err, session.ErrCode) {
			t.Errorf("%d, %v; want ErrCode", n, err)
		}
		b.want()
		if ok, err := w.broker.DisconnectSession(nobody.session.ID(), 4000, ""); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		nobody.want("CLOSE 4000 ")
		if ok, err := w.broker.DisconnectSession(a.session.ID(), 4000, ""); ok || err != nil {
			t.Errorf("gone already: %v, %v", ok, err)
		}
		if _, err := w.broker.DisconnectSession(b.session.ID(), 0, ""); !errors.Is(err, session.ErrCode) {
			t.Errorf("%v; want ErrCode", err)
		}
		b.want()
	})
}

func TestSends(t *testing.T) {
	b, err := New(Options{Topics: []string{"/topic"}, Queues: []string{"/work"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for destination, want := range map[string]bool{
		"/topic/a": true, "/topics": true, "/work/a": true, "/user/bob/queue/x": true,
		"/user/bob": false, "/user": false, "/app/x": false, "/other": false, "": false,
	} {
		if got := b.Sends(destination); got != want {
			t.Errorf("%q: %v", destination, got)
		}
		err := b.Send(t.Context(), destination, "x")
		if want != (err == nil) || err != nil && !errors.Is(err, ErrDestination) {
			t.Errorf("%q: %v", destination, err)
		}
	}
}
