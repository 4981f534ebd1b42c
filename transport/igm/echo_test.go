package igm_test

import (
	"strings"
	"testing"

	"switchback/session"
	"switchback/transport"
)

func echo(t *testing.T) *server {
	return serve(t, session.Shared(newProbe()), transport.Options{AllowedOrigins: []string{"*"}})
}

func (s *server) sendXHR(session, texts string) {
	s.t.Helper()
	if status := s.status("POST", session+"/xhr_send", texts); status != 204 {
		s.t.Fatalf("xhr_send: status %d", status)
	}
}

func TestEchoOverWebSocket(t *testing.T) {
	c := echo(t).dial("/000/a/websocket")
	c.expect("o")
	c.write(`["one","two"]`)
	c.expect(`a["one"]`, `a["two"]`)
}

func TestEchoOverNativeWebSocket(t *testing.T) {
	c := echo(t).dial("/websocket")
	c.write("one")
	c.expect("one")
}

func TestEchoOverXHRStreaming(t *testing.T) {
	s := echo(t)
	r := s.stream("/000/a")
	r.expect("o")
	s.sendXHR("/000/a", `["one"]`)
	r.expect(`a["one"]`)
	s.sendXHR("/000/a", `["two"]`)
	r.expect(`a["two"]`)
}

func TestEchoOverXHRPolling(t *testing.T) {
	s := echo(t)
	if frame := s.poll("/000/a"); frame != "o" {
		t.Fatalf("got %q, want o", frame)
	}
	for _, text := range []string{"one", "two"} {
		s.sendXHR("/000/a", `["`+text+`"]`)
		if frame := s.poll("/000/a"); frame != `a["`+text+`"]` {
			t.Fatalf("got %q", frame)
		}
	}
}

func TestEchoOverEventSource(t *testing.T) {
	s := echo(t)
	r := s.get("/000/a/eventsource")
	r.expect("data: o")
	s.sendXHR("/000/a", `["one"]`)
	r.expect(`data: a["one"]`)
}

func TestEchoOverHtmlFile(t *testing.T) {
	s := echo(t)
	r := s.get("/000/a/htmlfile?c=cb")
	for r.next() != `p("o");` {
	}
	s.sendXHR("/000/a", `["one"]`)
	r.expect("</script>", "<script>", `p("a[\"one\"]");`)
}

func TestEchoOverJSONPPolling(t *testing.T) {
	s := echo(t)
	s.get("/000/a/jsonp?c=cb").expect(`cb("o");`)
	if status := s.status("POST", "/000/a/jsonp_send", `["one"]`); status != 200 {
		t.Fatalf("jsonp_send: status %d", status)
	}
	for {
		switch line := s.get("/000/a/jsonp?c=cb").next(); {
		case line == `cb("a[\"one\"]");`:
			return
		case !strings.Contains(line, "2010"):
			t.Fatalf("got %q", line)
		}
	}
}

// A function that receives in a loop works as it does on the other engine.
func TestEchoOfABlockingHandler(t *testing.T) {
	s := serve(t, session.Blocking(func(c *session.Conn) error {
		text, err := c.Recv(c.Context())
		if err != nil {
			return err
		}
		return c.Send(text)
	}), transport.Options{})
	c := s.dial("/websocket")
	c.write("one")
	c.expect("one")
	c.expectClose(session.CodeGoAway, "Go away!")
}
