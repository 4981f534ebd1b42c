package session

import (
	"errors"
	"net/http"
	"testing"
)

func TestSessionLimits(t *testing.T) {
	c := config
	c.SessionLimit, c.AddressLimit = 3, 2
	bubble(t, Shared(&recorder{}), c, func(t *testing.T, g *Registry) {
		var refused *RefusedError
		s, r := open1(t, g, "")
		open1(t, g, "")
		if _, err := g.Open("", nil, Peer{Address: "192.0.2.1"}, SockJS, r); !errors.As(err, &refused) || refused.Status != 503 {
			t.Errorf("third of an address: got %v", err)
		}
		if _, err := g.Open("", nil, Peer{Address: "192.0.2.2"}, SockJS, r); err != nil {
			t.Error(err)
		}
		if _, err := g.Open("", nil, Peer{Address: "192.0.2.3"}, SockJS, r); !errors.As(err, &refused) || refused.Status != 503 {
			t.Errorf("fourth of all: got %v", err)
		}
		if g.Stats().Refused.Load() != 2 {
			t.Errorf("stats: %+v", g.Stats())
		}
		s.Detach(r, nil)
		open1(t, g, "")
	})
}

// One client has a whole /64 of IPv6 at least.
func TestAddressLimitCountsNetworks(t *testing.T) {
	for _, c := range []struct {
		first, second string
		same          bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"::1", "192.0.2.1", false},
		{"fe80::1%eth0", "fe80::2", true},
		{"", "192.0.2.1", false},
		{"", "", true},
		{"", "unknown", true},
	} {
		config := config
		config.AddressLimit = 1
		bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
			r := new(receiver)
			s, err := g.Open("", nil, Peer{Address: c.first}, SockJS, r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Open("", nil, Peer{Address: c.second}, SockJS, new(receiver)); (err != nil) != c.same {
				t.Errorf("%q after %q: got %v", c.second, c.first, err)
			}
			s.Detach(r, nil)
			if _, err := g.Open("", nil, Peer{Address: c.first}, SockJS, new(receiver)); err != nil {
				t.Errorf("%q once its session has gone: got %v", c.first, err)
			}
		})
	}
}

func TestOpenerRefuses(t *testing.T) {
	want := &RefusedError{Status: 401, Reason: "Who are you?"}
	opener := OpenerFunc(func(*http.Request) (Handler, error) { return nil, want })
	bubble(t, opener, config, func(t *testing.T, g *Registry) {
		_, err := g.Open("k", nil, Peer{}, SockJS, new(receiver))
		if err != want || g.Find("k") != nil || g.Stats().Sessions.Load() != 0 {
			t.Errorf("got %v, %+v", err, g.Stats())
		}
	})
}
