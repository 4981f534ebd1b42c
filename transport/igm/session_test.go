package igm_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"switchback/session"
	"switchback/transport"
)

// commands is a probe whose handler ends the session in each way.
func commands() *probe {
	p := newProbe()
	p.act["close"] = func(s session.Session) error { return s.Close(session.CodeGoAway, "Go away!") }
	p.act["return"] = func(session.Session) error { return &session.CloseError{Code: 4000, Reason: "Bye"} }
	p.act["fail"] = func(session.Session) error { return errors.New("secret") }
	p.act["unsendable"] = func(session.Session) error { return &session.CloseError{Code: 1006} }
	p.act["panic"] = func(session.Session) error { panic("secret") }
	return p
}

func TestHandlerEndsItsSession(t *testing.T) {
	p := commands()
	s := serve(t, session.Shared(p), transport.Options{})
	for _, c := range []struct {
		command string
		code    int
		reason  string
		frame   string
	}{
		{"close", session.CodeGoAway, "Go away!", `c[3000,"Go away!"]`},
		{"return", 4000, "Bye", `c[4000,"Bye"]`},
		{"fail", session.CodeInternal, "Internal error", `c[1011,"Internal error"]`},
		{"unsendable", session.CodeInternal, "Internal error", `c[1011,"Internal error"]`},
		{"panic", session.CodeInternal, "Internal error", `c[1011,"Internal error"]`},
	} {
		t.Run(c.command, func(t *testing.T) {
			ended := func() {
				t.Helper()
				if end := p.end(t); end.Code != c.code || end.Reason != c.reason {
					t.Fatalf("OnClose got %v", end)
				}
			}
			raw := s.dial("/websocket")
			raw.write(c.command)
			raw.expectClose(c.code, c.reason)
			ended()
			ws := s.dial("/000/a/websocket")
			ws.write(`["` + c.command + `"]`)
			ws.expect("o", c.frame)
			ended()
			stream := s.stream("/000/" + c.command)
			stream.expect("o")
			s.sendXHR("/000/"+c.command, `["`+c.command+`"]`)
			stream.expect(c.frame)
			stream.expectEnd()
			ended()
		})
	}
}

func TestOnCloseGetsTheHandlersError(t *testing.T) {
	p := commands()
	s := serve(t, session.Shared(p), transport.Options{})
	s.dial("/websocket").write("panic")
	var panicked *session.PanicError
	if end := p.end(t); !errors.As(end, &panicked) || panicked.Value != "secret" || len(panicked.Stack) == 0 {
		t.Fatalf("OnClose got %v", end)
	}
	s.dial("/websocket").write("fail")
	if end := p.end(t); end.Err == nil || end.Err.Error() != "secret" {
		t.Fatalf("OnClose got %v", end)
	}
}

func TestPanicInOnOpenClosesTheSession(t *testing.T) {
	p := newProbe()
	p.act[""] = func(session.Session) error { panic("secret") }
	serve(t, session.Shared(p), transport.Options{}).dial("/websocket").expectClose(session.CodeInternal, "Internal error")
	p.end(t)
}

type panicsOnClose struct{ *probe }

func (h panicsOnClose) OnClose(s session.Session, err error) {
	h.probe.OnClose(s, err)
	panic("at the end")
}

func TestPanicInOnCloseHarmsNobody(t *testing.T) {
	p := newProbe()
	s := serve(t, session.Shared(panicsOnClose{p}), transport.Options{})
	s.dial("/websocket").Close()
	p.end(t)
	c := s.dial("/websocket")
	c.write("one")
	c.expect("one")
}

func TestClosedSessionTellsEachPoll(t *testing.T) {
	p := newProbe()
	p.act[""] = func(s session.Session) error { return s.Close(session.CodeGoAway, "Go away!") }
	s := serve(t, session.Shared(p), transport.Options{})
	for _, want := range []string{"o", `c[3000,"Go away!"]`, `c[3000,"Go away!"]`} {
		if frame := s.poll("/000/a"); frame != want {
			t.Fatalf("got %q, want %q", frame, want)
		}
	}
	if len(p.sessions) != 1 {
		t.Fatalf("%d sessions", len(p.sessions))
	}
}

func TestOnCloseWhenTheClientLeaves(t *testing.T) {
	t.Parallel()
	p := newProbe()
	s := serve(t, session.Shared(p), transport.Options{})
	leave := map[string]func(){
		"websocket":     func() { s.dial("/000/a/websocket").Close() },
		"raw-websocket": func() { s.dial("/websocket").Close() },
		"xhr-polling":   func() { s.poll("/000/b") },
	}
	for transport, leave := range leave {
		leave()
		end := p.end(t)
		if end.Code != session.CodeAbnormal || p.last().Peer().Transport != transport {
			t.Errorf("%s: %v", p.last().Peer().Transport, end)
		}
		if context.Cause(p.last().Context()) != error(end) {
			t.Errorf("%s: the cause is %v", transport, context.Cause(p.last().Context()))
		}
	}
}

func TestContextEndsWhileTheHandlerIsBusy(t *testing.T) {
	p := newProbe()
	p.act["wait"] = func(s session.Session) error {
		<-s.Context().Done()
		return nil
	}
	c := serve(t, session.Shared(p), transport.Options{}).dial("/websocket")
	c.write("wait")
	c.Close()
	if end := p.end(t); end.Code != session.CodeAbnormal {
		t.Fatalf("OnClose got %v", end)
	}
}

func TestSessionIsNamedByTheServer(t *testing.T) {
	p := newProbe()
	s := serve(t, session.Shared(p), transport.Options{})
	names := make(map[string]bool)
	for range 2 {
		s.dial("/000/secret/websocket").expect("o")
		eventually(t, "OnOpen", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.sessions) == len(names)+1
		})
		names[p.last().ID()] = true
	}
	if len(names) != 2 || names[""] || names["secret"] {
		t.Fatalf("names: %v", names)
	}
	peer := *p.last().Peer()
	want := session.Peer{
		Transport: "websocket", Address: "127.0.0.1",
		Host: strings.TrimPrefix(s.URL, "http://"), UserAgent: "Go-http-client/1.1",
	}
	if peer != want {
		t.Fatalf("peer: %+v", peer)
	}
}

func TestSending(t *testing.T) {
	p := newProbe()
	p.act["prepared"] = func(s session.Session) error { return s.SendPrepared(session.Prepare([]byte("one"))) }
	p.act["invalid"] = func(s session.Session) error { return s.Send([]byte("a\xffb")) }
	s := serve(t, session.Shared(p), transport.Options{})
	raw := s.dial("/websocket")
	raw.write("prepared")
	raw.write("invalid")
	raw.expect("one", "a\uFFFDb")
	ws := s.dial("/000/a/websocket")
	ws.write(`["prepared","invalid"]`)
	ws.expect("o", `a["one"]`, `a["a\ufffdb"]`)
	if err := p.last().SendBinary([]byte{1}); err != session.ErrText {
		t.Errorf("SendBinary: %v", err)
	}
	if n := p.last().Queued(); n != 0 {
		t.Errorf("Queued: %d", n)
	}
}

func TestClosing(t *testing.T) {
	p := newProbe()
	s := serve(t, session.Shared(p), transport.Options{})
	c := s.dial("/websocket")
	c.write("one")
	c.expect("one")
	x := p.last()
	if err := x.Close(1005, ""); err != session.ErrCode {
		t.Errorf("Close with 1005: %v", err)
	}
	if err := x.Close(4000, strings.Repeat("é", 100)); err != nil {
		t.Errorf("Close: %v", err)
	}
	c.expectClose(4000, strings.Repeat("é", 61)) // 122 bytes of 123
	if end := p.end(t); end.Code != 4000 || context.Cause(x.Context()) != error(end) {
		t.Errorf("OnClose got %v, the cause is %v", end, context.Cause(x.Context()))
	}
	for name, err := range map[string]error{
		"Close":        x.Close(4000, ""),
		"Send":         x.Send([]byte("late")),
		"SendPrepared": x.SendPrepared(session.Prepare([]byte("late"))),
		"SendBinary":   x.SendBinary([]byte("late")),
	} {
		if err != session.ErrClosed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A client that does not read ends a Send, and its session, after WriteTimeout.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	p := newProbe()
	sent := make(chan error, 1)
	p.act[""] = func(s session.Session) error {
		text := []byte(strings.Repeat("x", 1<<20))
		for {
			if err := s.Send(text); err != nil {
				sent <- err
				return nil
			}
		}
	}
	s := serve(t, session.Shared(p), transport.Options{WriteTimeout: 100 * time.Millisecond, ResponseLimit: 1 << 30})
	for _, path := range []string{"/websocket", "/000/a/websocket", "/000/b/xhr_streaming"} {
		if strings.HasSuffix(path, "websocket") {
			s.dial(path)
		} else {
			s.request("POST", path, "", "")
		}
		select {
		case err := <-sent:
			if err != session.ErrSlow {
				t.Errorf("%s: Send: %v", path, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: Send waits", path)
		}
		p.end(t)
	}
}
