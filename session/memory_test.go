package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// held is what a session holds, found without the count of it.
func (s *Local) held() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = s.queue.len() + int(s.inflight.Load())
	if s.inbox != nil {
		for _, e := range s.inbox.events {
			n += len(e.data) + eventCost
		}
	}
	if s.waiters != nil {
		n += s.waiters.bytes
	}
	return max(n-uncounted, 0)
}

// Whatever happens to sessions, in whatever order, the registry's count of memory is what
// they hold, and nothing once they are gone. A small frame that has been taken may be
// counted until something else happens.
func TestMemoryIsWhatSessionsHold(t *testing.T) {
	c := config
	c.QueueLimit, c.InboxLimit, c.MemoryLimit = 5000, 3000, 9000
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var gate chan struct{}
		h := &recorder{text: func(_ Session, text []byte) error {
			if text[0] == 'b' { // it is busy
				<-gate
			}
			return nil
		}}
		bubble(t, Shared(h), c, func(t *testing.T, g *Registry) {
			gate = make(chan struct{})
			receivers := make(map[*Local]*receiver)
			for step := range 200 {
				if len(receivers) < 4 {
					key, r := "", new(receiver)
					if rnd.IntN(2) == 0 {
						key = fmt.Sprint("k", step)
					}
					s, err := g.Open(key, nil, Peer{}, SockJS, r)
					if err != nil {
						t.Fatal(err)
					}
					receivers[s] = r
				}
				all := g.Sessions()
				s := all[rnd.IntN(len(all))]
				r, text := receivers[s], []byte(strings.Repeat("x", rnd.IntN(1500)))
				switch rnd.IntN(12) {
				case 0, 1, 2:
					s.Send(text)
				case 3:
					s.SendPrepared(Prepare(text))
				case 4, 5:
					s.Next(r, nil)
				case 6:
					s.Taken()
				case 7:
					s.Detach(r, []error{nil, nil, errors.New("lost")}[rnd.IntN(3)])
				case 8:
					s.Attach(r)
				case 9:
					go func(after time.Duration, first byte) {
						ctx, cancel := context.WithTimeout(context.Background(), after)
						defer cancel()
						s.Receive(ctx, append([]byte{first}, text...))
					}(time.Duration(rnd.IntN(40))*time.Second, "bbxxx"[rnd.IntN(5)])
				case 10:
					select {
					case gate <- struct{}{}:
					default:
					}
				case 11:
					time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
				}
				synctest.Wait()
				sum := 0
				for _, s := range g.Sessions() {
					sum += s.held()
				}
				if got := int(g.Stats().Memory.Load()); got < sum || got > sum+len(receivers)*uncounted {
					t.Fatalf("seed %d, step %d: %d bytes are counted, %d are held", seed, step, got, sum)
				}
				for s := range receivers {
					if !slices.Contains(g.Sessions(), s) {
						delete(receivers, s)
					}
				}
			}
			close(gate)
			for s, r := range receivers {
				s.Detach(r, nil)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if m, n := g.Stats().Memory.Load(), g.Stats().Sessions.Load(); m != 0 || n != 0 {
				t.Fatalf("seed %d: %d bytes and %d sessions are left", seed, m, n)
			}
		})
	}
}

// A session may be closed before its handler knows of it: the handler is told of its
// beginning all the same, and then of its end.
func TestClosedBeforeOnOpen(t *testing.T) {
	c := config
	c.Opened = func(s *Local) { s.Close(4000, "not now") }
	h := new(recorder)
	bubble(t, Shared(h), c, func(t *testing.T, g *Registry) {
		open1(t, g, "k")
		synctest.Wait()
		h.want(t, "open", "close 4000 not now")
	})
	bubble(t, Blocking(func(c *Conn) error { <-c.Context().Done(); return nil }), c, func(t *testing.T, g *Registry) {
		open1(t, g, "k") // returns
	})
}
