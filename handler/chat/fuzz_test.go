package chat

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/session"
	"switchback/session/sessiontest"
)

// Whatever is said, the session stays, and is answered by JSON objects that have a type.
func FuzzRequest(f *testing.F) {
	for _, request := range []string{
		`{"type":"join","room":"r","limit":5}`, `{"type":"join","room":"r","since":"1/1"}`, `{"type":"message","room":"r","id":"1","text":"x"}`,
		`{"type":"history","room":"r","before":"1/2"}`, `{"type":"read","room":"r","offset":"1/1"}`, `{"type":"typing","room":"r"}`,
		`{"type":"members","room":"r","after":"a"}`, `{"type":"leave","room":"r"}`, `{"type":"rooms"}`, `{"type":"create","members":["lee"]}`,
		`{"type":"create","room":"s","members":[]}`, `{"TYPE":"join","type":7}`, "\xff", `{"type":"join","room":"\ud800"}`,
	} {
		f.Add(request, request)
	}
	hub, err := handler.NewHub(handler.NewMemory())
	if err != nil {
		f.Fatal(err)
	}
	log, err := history.New(memory.New(memory.Options{Bytes: 1 << 20}), hub, history.Options{
		Policies: []history.Policy{{Topics: "/chat/**"}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { log.Close() })
	c, err := New(Options{Log: log, Path: "/chat"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		s := sessiontest.New(session.Peer{Identity: &session.Identity{User: "kim"}})
		h, _ := c.Open(nil)
		h.OnOpen(s)
		for _, text := range []string{one, two} {
			if err := h.OnMessage(s, []byte(text)); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
		h.OnClose(s, s.Leave())
		for i, text := range s.Texts() {
			var reply struct{ Type, Text string }
			if err := json.Unmarshal([]byte(text), &reply); err != nil || reply.Type == "" || strings.Contains(text, "\n") {
				t.Errorf("%q and %q: %q, %v", one, two, text, err)
			}
			if i == 0 && reply.Type != "welcome" {
				t.Errorf("%q is first", text)
			}
		}
	})
}
