package transport

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"switchback/handler"
	"switchback/session"
)

func TestBodiesThatAreNoArrayOfStrings(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{MessageLimit: 10, BodyLimit: 60, BatchLimit: 3})
	path := s.openPolling(t)
	for _, c := range []struct {
		body   string
		status int
		answer string
	}{
		{``, 500, "Payload expected.\n"},
		{` `, 500, "Payload expected.\n"},
		{`["x`, 500, "Broken JSON encoding.\n"},
		{`["x"]["y"]`, 500, "Broken JSON encoding.\n"},
		{`["x"] y`, 500, "Broken JSON encoding.\n"},
		{"[\"\xff\"]", 500, "Broken JSON encoding.\n"},
		{`{}`, 500, "Payload must be an array of strings.\n"},
		{`"abc"`, 500, "Payload must be an array of strings.\n"},
		{`[1]`, 500, "Payload must be an array of strings.\n"},
		{`["half",1]`, 500, "Payload must be an array of strings.\n"},
		{`["half",["x"]]`, 500, "Payload must be an array of strings.\n"},
		{`["a","b","c","d"]`, 413, "Payload is too large.\n"},
		{`["0123456789x"]`, 413, "Payload is too large.\n"},
		{`["` + strings.Repeat("x", 60) + `"]`, 413, "Payload is too large.\n"},
		{`["\ud800"]`, 204, ""},
	} {
		s.ask(t, "POST", path+"/xhr_send", c.body).want(t, c.status, c.answer)
	}
	// The session lives, and got nothing but the last.
	if got, want := s.ask(t, "POST", path+"/xhr", "").body, `a["\ud800"]`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if st := s.Stats(); st.TooLarge.Load() != 3 || st.Broken.Load() != 11 {
		t.Errorf("stats: %+v", st)
	}
}

func TestChunkedBodyIsLimited(t *testing.T) {
	t.Parallel()
	s := serve(t, session.Shared(handler.Echo{}), Options{BodyLimit: 1000})
	path := s.openPolling(t)
	r, _ := http.NewRequest("POST", s.url+path+"/xhr_send", io.LimitReader(endless{}, 1<<30))
	a, err := s.do(r)
	if err == nil && a.status != 413 { // the server may have hung up meanwhile
		t.Errorf("got %d %q", a.status, a.body)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// sockjs-protocol, XhrPolling.test_invalid_session; before a body is read that
// may never come.
func TestUnknownSessionIsToldBeforeTheBodyIsRead(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	for _, name := range []string{"xhr_send", "jsonp_send"} {
		got := s.raw(t, "POST /echo/0/nobody/"+name+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 404 ") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestSlowBodyIsGivenUp(t *testing.T) {
	t.Parallel()
	s := serve(t, session.Shared(handler.Echo{}), Options{BodyTimeout: 50 * time.Millisecond})
	path := s.openPolling(t)
	got := s.raw(t, "POST /echo"+path+"/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[\"half")
	if !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("got %q", got)
	}
	s.ask(t, "POST", path+"/xhr_send", `["x"]`).want(t, 204, "")
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, `a["x"]`+"\n")
}

func TestClosedSessionTakesNothing(t *testing.T) {
	s := serve(t, session.Shared(handler.Close{}), Options{})
	path := s.openPolling(t)
	s.ask(t, "POST", path+"/xhr_send", `["x"]`).want(t, 404, "Not found.\n")
}

func TestJSONPSendTakesFormsAndBodies(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	path := s.openPolling(t)
	const form = "Content-Type: application/x-www-form-urlencoded"
	s.ask(t, "POST", path+"/jsonp_send", "x=1&d=%5B%22a%22%5D&d=no", form).want(t, 200, "ok")
	s.ask(t, "POST", path+"/jsonp_send", `["%61b"]`, "Content-Type: text/plain").want(t, 200, "ok")
	for _, body := range []string{"", "d=", "p=p", "d=%zz"} {
		s.ask(t, "POST", path+"/jsonp_send", body, form).want(t, 500, "Payload expected.\n")
	}
	s.ask(t, "POST", path+"/jsonp_send", "d=%7B%7D", form).want(t, 500, "Payload must be an array of strings.\n")
	s.ask(t, "POST", path+"/xhr", "").want(t, 200, `a["a","%61b"]`+"\n")
}
