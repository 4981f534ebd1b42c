package stomp

import (
	"context"
	"errors"
	"strings"
	"testing"

	"switchback/handler/stomp/frame"
)

// What the hook sees is what the functions are found by.
func TestNoSpellingPassesAuthorize(t *testing.T) {
	called := false
	admin := func(context.Context, *Request) (any, error) { called = true; return nil, nil }
	for _, e := range []struct{ separator, prefix, path, in string }{
		{"/", "/app/admin/", "/admin/delete", "/app//admin/delete"},
		{"/", "/app/admin/", "/admin/delete", "/app/admin//delete"},
		{"/", "/app/admin/", "/**", "/app///admin/delete"},
		{".", "/app/admin.", "admin.delete", "/app/admin..delete"},
		{".", "/app/admin.", "admin.delete", "/app/.admin.delete"},
	} {
		refuse := func(_ *Client, _ frame.Command, destination string) error {
			if strings.HasPrefix(destination, e.prefix) {
				return errors.New("no")
			}
			return nil
		}
		bubble(t, Options{Separator: e.separator, Authorize: refuse}, func(w *world) {
			w.broker.Handle(e.path, admin, Reply{})
			w.broker.HandleSubscribe(e.path, admin, Reply{})
			for _, command := range []string{"SEND", "SUBSCRIBE\nid:0"} {
				c := w.connect("1.2")
				c.send(command + "\ndestination:" + e.in + "\n\n\x00")
				c.want(errorFrame("A destination must not have empty segments\\c "+e.in), closed1002)
			}
			if called {
				t.Errorf("%s is called", e.in)
			}
		})
	}
}

func TestPatternsMayBeOff(t *testing.T) {
	bubble(t, Options{PatternLimit: -1}, func(w *world) {
		c := w.connect("1.2")
		c.send("SUBSCRIBE\nid:0\nreceipt:1\ndestination:/topic/secret\n\n\x00SUBSCRIBE\nid:1\ndestination:/topic/secre?\n\n\x00")
		c.want(receipt+"1\n\n^@", errorFrame("Patterns are not allowed\\c /topic/secre?"), closed1002)
	})
	if _, err := New(Options{PatternLimit: -2}); err == nil {
		t.Error("-2 is taken")
	}
}
