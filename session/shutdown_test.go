package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type drainer struct{ *recorder }

func (d drainer) OnDrain(s Session) { d.note("drain"); s.Send([]byte("goodbye")) }

func TestShutdownSaysGoodbye(t *testing.T) {
	h := new(recorder)
	bubble(t, Shared(drainer{h}), config, func(t *testing.T, g *Registry) {
		s, r := open1(t, g, "k")
		r.next(t, s, "o")
		r.next(t, s, "")
		ended := make(chan error)
		go func() { ended <- g.Shutdown(t.Context()) }()
		synctest.Wait()
		r.next(t, s, `a["goodbye"]`)
		r.next(t, s, `c[1001,"Server is going away"]`)
		var refused *RefusedError
		if _, err := g.Open("new", nil, Peer{}, SockJS, r); !errors.As(err, &refused) || refused.Status != 503 {
			t.Errorf("new session: got %v", err)
		}
		select {
		case <-ended:
			t.Error("Shutdown did not wait for the receiver")
		case <-time.After(time.Second):
		}
		s.Detach(r, nil)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		h.want(t, "open", "drain", "close 1001 Server is going away")
	})
}

// A client between two polls comes for what is queued and for the close frame, or does
// not; one that has nothing to come for is not waited for.
func TestShutdownWaitsForPolls(t *testing.T) {
	for _, c := range []struct {
		name   string
		queued bool
		comes  int // how often
		took   time.Duration
	}{
		{"nothing is queued", false, 0, 0},
		{"it fetches everything", true, 2, 2 * time.Second},
		{"it fetches the message only", true, 1, config.DisconnectDelay},
		{"it is gone", true, 0, config.DisconnectDelay},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
				s, r := open1(t, g, "k")
				r.next(t, s, "o")
				s.Detach(r, nil)
				frames := []string{`c[1001,"Server is going away"]`}
				if c.queued {
					s.Send([]byte("left"))
					frames = append([]string{`a["left"]`}, frames...)
				}
				begun, ended := time.Now(), make(chan error)
				go func() { ended <- g.Shutdown(t.Context()) }()
				for _, frame := range frames[:c.comes] {
					time.Sleep(time.Second)
					if err := s.Attach(r); err != nil {
						t.Fatal(err)
					}
					r.next(t, s, frame)
					s.Detach(r, nil)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took < c.took || took > c.took+time.Second/2 {
					t.Errorf("took %v, want %v", took, c.took)
				}
			})
		})
	}
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	bubble(t, Shared(&recorder{}), config, func(t *testing.T, g *Registry) {
		open1(t, g, "k")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}
