package admin

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"switchback/handler"
	"switchback/handler/stomp"
)

// Whatever a body is, the answer is JSON with one of the statuses that are described.
func FuzzBody(f *testing.F) {
	for _, r := range requests {
		if len(r.body) < 1000 {
			f.Add(r.path, r.body)
		}
	}
	log := slog.New(slog.DiscardHandler)
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		f.Fatal(err)
	}
	broker, err := stomp.New(stomp.Options{Hub: hub, Logger: log})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { broker.Close(); hub.Close() })
	s, err := New(Options{Token: token, Hub: hub, Broker: broker, Topics: []string{"/chat"}, Logger: log})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		i := slices.IndexFunc(calls, func(c call) bool { return strings.HasPrefix(path, c.path) })
		if i < 0 {
			return
		}
		r := httptest.NewRequest(calls[i].method, calls[i].path, strings.NewReader(body))
		_, r.URL.RawQuery, _ = strings.Cut(path, "?")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		answer, _ := io.ReadAll(w.Body)
		if !json.Valid(answer) || !slices.Contains([]int{http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}, w.Code) {
			t.Errorf("%d %s", w.Code, answer)
		}
	})
}
