package transport

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
)

func TestCallbacksAreNames(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{AllowedOrigins: []string{"*"}})
	for query, want := range map[string]string{
		"":                              `"callback" parameter required` + "\n",
		"?c=":                           `"callback" parameter required` + "\n",
		"?c=a%28":                       `invalid "callback" parameter` + "\n",
		"?c=%3Cscript%3E":               `invalid "callback" parameter` + "\n",
		"?c=" + strings.Repeat("x", 33): `invalid "callback" parameter` + "\n",
	} {
		for _, name := range []string{"jsonp", "htmlfile"} {
			s.ask(t, "GET", "/0/"+newID()+"/"+name+query, "").want(t, 500, want)
		}
	}
	if n := s.Stats().Opened.Load(); n != 0 {
		t.Errorf("%d sessions were opened", n)
	}
}

// Whatever a message holds, no script ends early by it.
func TestScriptsNeverEndEarly(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{AllowedOrigins: []string{"*"}, ResponseLimit: 1})
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["</script><script>alert(1)</script>"]`).want(t, 204, "")
	a := s.ask(t, "GET", path+"/htmlfile?c=f", "")
	_, frames, _ := strings.Cut(a.body, "p(\"")
	if strings.Count(a.body, "</script>") != 2 || !strings.HasPrefix(frames, `a[\"\u003c/script\u003e\u003cscript`) {
		t.Errorf("got %q", a.body)
	}
}

// The client decodes events as if they were part of a URL.
func TestEventsHoldNoPercent(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{ResponseLimit: 1})
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["100 % %41"]`).want(t, 204, "")
	s.ask(t, "GET", path+"/eventsource", "").want(t, 200, "\r\ndata: a[\"100 \\u0025 \\u002541\"]\r\n\r\n")
}

// A writer that cannot flush carries polls, and says that it carries no streams.
func TestWriterWithoutFlush(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	s.server.Config.Handler = http.TimeoutHandler(s.Endpoint, 10*time.Second, "late")
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["x"]`).want(t, 204, "")
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, `a["x"]`+"\n")
	s.ask(t, "POST", "/0/"+newID()+"/xhr_streaming", "").want(t, 501, "Streams are not possible here.\n")
}
