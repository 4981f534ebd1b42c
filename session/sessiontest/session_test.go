package sessiontest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"switchback/session"
	"switchback/session/sessiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A counter tells its client how many messages have come.
type counter struct {
	session.Nop
	n int
}

func (c *counter) OnMessage(s session.Session, text []byte) error {
	if string(text) == "stop" {
		return &session.CloseError{Code: 4000, Reason: "Stopped"}
	}
	c.n++
	return s.Send(fmt.Append(nil, c.n))
}

func ExampleSession() {
	s, h := sessiontest.New(session.Peer{}), new(counter)
	h.OnOpen(s)
	for _, text := range []string{"a", "b", "stop"} {
		if err := h.OnMessage(s, []byte(text)); err != nil {
			h.OnClose(s, s.Fail(err))
		}
	}
	fmt.Println(s.Texts(), s.End())
	// Output:
	// [1 2] session: closed: 4000 Stopped
}

func TestSessionKeepsWhatItIsSent(t *testing.T) {
	s, text := sessiontest.New(session.Peer{Binary: true}), []byte("a")
	s.Send(text)
	text[0] = 'X' // the caller's again
	s.SendPrepared(session.Prepare([]byte("b")))
	s.SendBinary([]byte{1})
	if !slices.Equal(s.Texts(), []string{"a", "b"}) || !slices.Equal(s.Binaries(), []string{"\x01"}) || s.Queued() != 0 {
		t.Errorf("got %q, %q", s.Texts(), s.Binaries())
	}
	other := sessiontest.New(session.Peer{Address: "192.0.2.1"})
	if err := other.SendBinary([]byte{1}); err != session.ErrText {
		t.Errorf("got %v, want ErrText", err)
	}
	if other.ID() == s.ID() || other.Peer().Address != "192.0.2.1" {
		t.Errorf("two sessions are %s, or the peer is lost", s.ID())
	}
}

func TestSessionEndsOnce(t *testing.T) {
	s := sessiontest.New(session.Peer{})
	if err := s.Close(1006, ""); err != session.ErrCode || s.End() != nil || s.Context().Err() != nil {
		t.Errorf("got %v, want ErrCode", err)
	}
	if err := s.Close(4000, "Out"); err != nil {
		t.Error(err)
	}
	end := s.Leave()
	if end.Code != 4000 || end.Reason != "Out" || context.Cause(s.Context()) != error(end) {
		t.Errorf("ended with %v, its context with %v", end, context.Cause(s.Context()))
	}
	for _, err := range []error{s.Send(nil), s.SendBinary(nil), s.Close(4000, "")} {
		if err != session.ErrClosed {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
}

// A ticker sends once a minute, until its session ends.
func ticker(s session.Session) {
	for {
		select {
		case <-time.After(time.Minute):
			s.Send([]byte("tick"))
		case <-s.Context().Done():
			return
		}
	}
}

func TestTimeIsVirtualInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sessiontest.New(session.Peer{})
		go ticker(s)
		time.Sleep(time.Hour + time.Second)
		if n := len(s.Texts()); n != 60 {
			t.Errorf("%d ticks in an hour", n)
		}
		if end := s.Leave(); !errors.Is(end, session.ErrGone) {
			t.Errorf("ended with %v", end)
		}
	})
}
