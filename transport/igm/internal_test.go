package igm

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"switchback/session"
	"switchback/transport"
)

// igm may open a session that no opener was asked about, when one with the same
// id ends at that moment. It must not live.
func TestSessionWithoutAnOpenerIsInterrupted(t *testing.T) {
	o := session.OpenerFunc(func(*http.Request) (session.Handler, error) {
		t.Error("the opener is asked")
		return nil, nil
	})
	e, err := NewEndpoint("", o, transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	unknown := context.WithValue(t.Context(), adapterKey{}, new(adapter))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.pass(w, r.WithContext(unknown), r.URL.Path)
	}))
	defer s.Close()
	c, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http")+"/000/a/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	for _, want := range []string{"o", `c[1002,"Connection interrupted"]`} {
		if _, got, err := c.ReadMessage(); string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestNothingIsWrittenAfterTheRequest(t *testing.T) {
	recorder := httptest.NewRecorder()
	w := newResponse(recorder, time.Second)
	io.WriteString(w, "in time")
	w.finish()
	if _, err := io.WriteString(w, "late"); err == nil {
		t.Error("a late write succeeds")
	}
	w.Flush()
	w.WriteHeader(500)
	if recorder.Body.String() != "in time" || recorder.Flushed || recorder.Code != 200 {
		t.Errorf("%d %q, flushed: %v", recorder.Code, recorder.Body, recorder.Flushed)
	}
}
