package session

import (
	"reflect"
	"testing"
	"time"
)

func TestTrafficIsCountedByTransport(t *testing.T) {
	bubble(t, Shared(&recorder{text: func(s Session, text []byte) error { return s.Send(text) }}), config, func(t *testing.T, g *Registry) {
		begun := time.Now()
		time.Sleep(90 * time.Second)
		open := func(key, transport string) (*Local, *receiver) {
			r := new(receiver)
			s, err := g.Open(key, nil, Peer{Transport: transport}, SockJS, r)
			if err != nil {
				t.Fatal(err)
			}
			r.next(t, s, "o")
			return s, r
		}
		s, r := open("a", "websocket")
		s.Receive(t.Context(), []byte(`"hi"`), []byte("x"))
		r.next(t, s, `a["\"hi\"","x"]`)
		r.next(t, s, "")
		time.Sleep(30 * time.Second)
		r.next(t, s, "h")
		p, q := open("b", "xhr-polling")
		p.SendPrepared(Prepare([]byte("to many")))
		q.next(t, p, `a["to many"]`)
		p.Close(4007, "")
		p.Close(4008, "") // is closed
		p.Detach(q, nil)
		s.Detach(r, &CloseError{Code: CodeGoingAway})
		time.Sleep(time.Minute)
		open("c", "websocket")
		want := []Traffic{
			{Transport: "websocket", Sessions: 1, Opened: 2, Received: 2, ReceivedBytes: 5, Sent: 2, SentBytes: int64(len(`"\"hi\"","x"`)), Heartbeats: 1},
			{Transport: "xhr-polling", Opened: 1, Sent: 1, SentBytes: int64(len(`"to many"`))},
		}
		if got := g.Traffic(); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if got := s.Opened().Sub(begun); got != 90*time.Second {
			t.Errorf("opened after %v", got)
		}
		closed := map[string]int64{}
		for code, n := range g.Stats().Closed.All() {
			if n > 0 {
				closed[code] = n
			}
		}
		if want := map[string]int64{"1001": 1, "4xxx": 1}; !reflect.DeepEqual(closed, want) {
			t.Errorf("closed %v, want %v", closed, want)
		}
	})
}

// What passes over one session is counted only where somebody wants it, since it is memory.
func TestTrafficOfOneSession(t *testing.T) {
	for _, limited := range []bool{false, true} {
		for _, counted := range []bool{false, true} {
			c := config
			c.Counted = func() bool { return counted }
			if limited {
				c.UserLimit = 1
			}
			bubble(t, Shared(&recorder{}), c, func(t *testing.T, g *Registry) {
				s, r := open1(t, g, "k")
				s.Receive(t.Context(), []byte("one"), []byte("two"))
				s.Send([]byte("x"))
				s.SendPrepared(Prepare([]byte("yy")))
				r.next(t, s, "o")
				want := Counts{}
				if counted {
					want = Counts{Received: 2, ReceivedBytes: 6, Sent: 2, SentBytes: int64(len(`"x","yy"`))}
				}
				if got, ok := s.Counts(); got != want || ok != counted {
					t.Errorf("limited %v: %+v, %v; want %+v", limited, got, ok, want)
				}
				if (s.meter != nil) != (limited || counted) {
					t.Errorf("limited %v, counted %v: %v", limited, counted, s.meter)
				}
				s.Detach(r, &CloseError{Code: CodeNormal})
			})
		}
	}
}

// Codes that clients choose are few labels of a metric.
func TestCodesAreFew(t *testing.T) {
	var c Codes
	for code := -1; code < 70_000; code++ {
		c.add(code)
	}
	sum, names := int64(0), 0
	for range c.All() {
		names++
		break
	}
	for _, n := range c.All() {
		sum += n
		names++
	}
	if sum != 70_001 || names != 1+19 {
		t.Errorf("%d codes, %d counted", names-1, sum)
	}
}

func TestMoreTransportsThanAreCountedApart(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		for i := range 2 * maxTransports {
			if _, err := g.Open("", nil, Peer{Transport: string(rune('a' + i))}, SockJS, new(receiver)); err != nil {
				t.Fatal(err)
			}
		}
		if got := g.Traffic(); len(got) != maxTransports || got[maxTransports-1].Opened != maxTransports+1 {
			t.Errorf("got %+v", got)
		}
	})
}
