package transport

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"switchback/handler"
	"switchback/session"
)

func TestFallbacksAreGuessed(t *testing.T) {
	s := serve(t, session.Shared(handler.Echo{}), Options{})
	chrome, firefox := "User-Agent: Chrome", "User-Agent: Firefox"
	s.ask(t, "GET", "/007/a/websocket", "", chrome) // refused: no handshake
	s.ask(t, "POST", "/007/b/xhr", "", chrome)
	s.ask(t, "POST", "/007/c/xhr", "", chrome)  // over the same
	s.ask(t, "POST", "/008/d/xhr", "", chrome)  // another object
	s.ask(t, "POST", "/009/e/xhr", "", firefox) // another browser
	want := []Fallback{{From: "websocket", To: "xhr-polling", Refused: true, Count: 1}}
	if got := s.Fallbacks(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/009/f/websocket", http.Header{"User-Agent": {"Chrome"}})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close() // without having seen that it is open
	s.ask(t, "POST", "/009/g/xhr", "", chrome)
	want = append([]Fallback{{From: "websocket", To: "xhr-polling", Count: 1}}, want...)
	if got := s.Fallbacks(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFallbacksAreNotRememberedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts()
		note := func(server int, transport string) {
			r := httptest.NewRequest("POST", fmt.Sprintf("/echo/%d/key/xhr", server), nil)
			a.note(r, "/echo", &session.Peer{Address: "192.0.2.1", Transport: transport}, false)
		}
		note(0, "websocket")
		time.Sleep(fallbackTime)
		note(0, "xhr-polling")
		for i := range maxAttempts {
			note(1+i, "websocket")
		}
		note(0, "websocket")
		if len(a.counts) != 0 || len(a.latest) != maxAttempts || len(a.order) != maxAttempts {
			t.Errorf("%v are counted of %d attempts", a.counts, len(a.latest))
		}
		note(maxAttempts, "xhr-polling")
		if len(a.counts) != 1 {
			t.Errorf("got %v", a.counts)
		}
	})
}
