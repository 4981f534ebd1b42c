package session

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestSessionsAreListedFoundAndClosed(t *testing.T) {
	var told []string
	c := config
	c.Opened = func(s *Local) { told = append(told, "opened "+s.Peer().Address) }
	c.Closed = func(s *Local, _ error) { told = append(told, "closed "+s.Peer().Address) }
	h := &recorder{open: func(Session) error { told = append(told, "OnOpen"); return nil }}
	bubble(t, Shared(h), c, func(t *testing.T, g *Registry) {
		keyed, _ := open1(t, g, "k")
		other, err := g.Open("", nil, Peer{Address: "192.0.2.2"}, SockJS, new(receiver))
		if err != nil {
			t.Fatal(err)
		}
		if all := g.Sessions(); len(all) != 2 || !slices.Contains(all, keyed) || !slices.Contains(all, other) {
			t.Errorf("listed: %v", all)
		}
		if g.FindID(keyed.ID()) != keyed || g.FindID(other.ID()) != other || g.FindID("k") != nil {
			t.Error("not found by their IDs, or found by a key")
		}
		from := func(address string) func(*Local) bool {
			return func(s *Local) bool { return s.Peer().Address == address }
		}
		if n, err := g.CloseIf(from("192.0.2.2"), 1006, ""); n != 0 || err != ErrCode {
			t.Errorf("got %d, %v, want ErrCode", n, err)
		}
		for _, want := range []int{1, 0} {
			if n, err := g.CloseIf(from("192.0.2.2"), 4000, "Out"); n != want || err != nil {
				t.Errorf("closed %d, %v, want %d", n, err, want)
			}
		}
		synctest.Wait()
		if keyed.Closing() || !other.Closing() {
			t.Error("the wrong session has closed")
		}
		want := []string{"opened 192.0.2.1", "OnOpen", "opened 192.0.2.2", "OnOpen", "closed 192.0.2.2"}
		if !slices.Equal(told, want) {
			t.Errorf("told: %q, want %q", told, want)
		}
	})
}

// A thousand quiet sessions are one timer and no goroutine: the bubble's end
// would find one.
func TestManySessionsKeepTheirTime(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		receivers := make(map[*Local]*receiver)
		for i := range 1000 {
			s, r := open1(t, g, fmt.Sprint(i))
			r.next(t, s, "o")
			r.next(t, s, "")
			receivers[s] = r
			time.Sleep(7 * time.Millisecond)
		}
		for range 3 {
			time.Sleep(26 * time.Second)
			synctest.Wait()
			for s, r := range receivers {
				r.next(t, s, "h")
				r.next(t, s, "")
			}
		}
		for s, r := range receivers {
			s.Detach(r, nil)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if n := g.Stats().Sessions.Load(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// A name has one form, by which it is known in other processes.
func TestIsID(t *testing.T) {
	g := NewRegistry(Shared(nil), Config{DisconnectDelay: time.Second})
	for number := range uint64(100) {
		if id := g.name(number * number); !IsID(id) {
			t.Errorf("%s is no ID", id)
		}
	}
	for _, text := range []string{"", "-", "ABCDEF", "ABCDEF-", "ABCDE-1", "ABCDEFG-1", "abcdef-1", "ABCDE1-1", "ABCDEF-A", "ABCDEF-01", "ABCDEF-1-1", "ABCDEF--1", "s", "ABCDEF-3w5e11264sgsg"} {
		if IsID(text) {
			t.Errorf("%q is an ID", text)
		}
	}
}
