package transport_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"switchback/handler"
	"switchback/session"
	"switchback/transport"
)

// A mux takes no pattern for more paths and fewer methods beside the endpoint's.
func TestPatternsBesideARegisteredEndpoint(t *testing.T) {
	for pattern, conflicts := range map[string]bool{"GET /": true, "/": false, "GET /{$}": false} {
		e, err := transport.NewEndpoint("/ws", session.Shared(handler.Echo{}), transport.Options{})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mux.Handle(pattern, http.NotFoundHandler())
		panicked := func() (v any) {
			defer func() { v = recover() }()
			e.Register(mux)
			return nil
		}()
		if (panicked != nil) != conflicts {
			t.Errorf("%s: %v", pattern, panicked)
		}
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestMuxServesAllOfARegisteredEndpoint(t *testing.T) {
	for prefix, paths := range map[string][]string{
		"/ws": {"/ws", "/ws/websocket", "/ws/000/abc/websocket"},
		"":    {"/", "/websocket", "/000/abc/websocket"},
	} {
		e, err := transport.NewEndpoint(prefix, session.Shared(handler.Echo{}), transport.Options{RawWebSocket: true})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		e.Register(mux)
		mux.HandleFunc("/other", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		s := httptest.NewServer(mux)
		for _, path := range paths {
			if got := upgrade(t, s.URL+path); got != http.StatusSwitchingProtocols {
				t.Errorf("%q: a handshake for %s is answered %d", prefix, path, got)
			}
		}
		for path, want := range map[string]int{prefix + "/info": http.StatusOK, prefix + "/": http.StatusOK, "/other": http.StatusTeapot} {
			r, err := http.Get(s.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != want {
				t.Errorf("%q: %s is answered %d, want %d", prefix, path, r.StatusCode, want)
			}
		}
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		s.CloseClientConnections()
		s.Close()
	}
}

// upgrade returns the status of a WebSocket handshake.
func upgrade(t *testing.T, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r) // follows no redirect
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
