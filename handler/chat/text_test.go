package chat

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"switchback/handler/history"
	"switchback/handler/rules"
	"switchback/session"
)

// The page of the seeds: what one sends the others get, as it is; who comes later finds it.
func TestTextsGoToTheOthers(t *testing.T) {
	in(t, Options{Protocol: Text, HistoryLast: 2, TextLimit: 8}, func(w *world) {
		a, b := w.comes(""), w.comes("kim")
		a.says("msg:1", "msg:<b>")
		a.gets()
		b.gets("msg:1", "msg:<b>")
		b.says(`"`)
		a.gets(`"`)
		late := w.comes("")
		late.gets("msg:<b>", `"`)
		a.close()
		late.says("msg:4")
		a.gets()
		b.gets("msg:4")
		entries, err := w.store.Read(t.Context(), "/chat", history.Range{Limit: 10})
		if err != nil || len(entries) != 4 || entries[0].User != "" || entries[2].User != "kim" || entries[0].ID != "" {
			t.Errorf("kept %+v, %v", entries, err)
		}
		for text, want := range map[string]int{"too long.": session.CodeTooBig, "down": session.CodeTryLater} {
			w.store.set(text == "down")
			var end *session.CloseError
			if err := b.h.OnMessage(b.s, []byte(text)); !errors.As(err, &end) || end.Code != want {
				t.Errorf("%s: %v", text, err)
			}
		}
		if k := w.comes(""); k.s.End() == nil || k.s.End().Code != session.CodeTryLater {
			t.Errorf("while the store is away: %v", k.s.End())
		}
		w.store.set(false)
		if s := w.chat.Stats(); s.Messages.Load() != 4 || s.TooLong.Load() != 1 || s.Unavailable.Load() != 1 {
			t.Errorf("counted %d, %d, %d", s.Messages.Load(), s.TooLong.Load(), s.Unavailable.Load())
		}
	})
}

// A token may name users as no chat does: their texts are nobody's.
func TestTextsOfUnusableUsers(t *testing.T) {
	in(t, Options{Protocol: Text}, func(w *world) {
		a := w.comes("")
		for _, user := range []string{strings.Repeat("x", 300), "\xff", "a\nb"} {
			w.comes(user).says("hello")
			a.gets("hello")
		}
		entries, err := w.store.Read(t.Context(), "/chat", history.Range{Limit: 10})
		if err != nil || len(entries) != 3 || entries[0].User+entries[1].User+entries[2].User != "" {
			t.Errorf("kept %+v, %v", entries, err)
		}
	})
}

func TestRulesDecideOverTexts(t *testing.T) {
	may := func(on rules.Action, users ...string) rules.Rule {
		return rules.Rule{On: []rules.Action{on}, To: []string{"/chat"}, Allow: true, Who: rules.Who{Users: users}}
	}
	in(t, Options{Protocol: Text, Rules: mustRules(t, may(rules.Join, "kim", "lee"), may(rules.Send, "kim"), may(rules.Read, "kim"))}, func(w *world) {
		kim := w.comes("kim")
		kim.says("1")
		again, lee := w.comes("kim"), w.comes("lee")
		again.gets("1")
		lee.gets()
		kim.says("2")
		lee.gets("2")
		var end *session.CloseError
		if err := lee.h.OnMessage(lee.s, []byte("3")); !errors.As(err, &end) || end.Code != session.CodePolicy {
			t.Errorf("got %v", err)
		}
		if k := w.comes("ann"); k.s.End() == nil || k.s.End().Code != session.CodePolicy {
			t.Errorf("got %v", k.s.End())
		}
		if w.chat.Stats().Forbidden.Load() != 2 {
			t.Errorf("counted %d", w.chat.Stats().Forbidden.Load())
		}
	})
}

func TestUsersByURL(t *testing.T) {
	for _, c := range []struct {
		protocol          Protocol
		query, user, want string
	}{
		{JSON, "?user=kim", "kim", ""},
		{JSON, "?x=1&user=%C3%A9%20x", "é x", ""},
		{JSON, "", "", "Who is asking? Add ?user=NAME to the URL of the endpoint."},
		{JSON, "?user=", "", "Who is asking? Add ?user=NAME to the URL of the endpoint."},
		{JSON, "?user=%ff", "", "Who is asking? Add ?user=NAME to the URL of the endpoint."},
		{JSON, "?user=a%0ab", "", "Who is asking? Add ?user=NAME to the URL of the endpoint."},
		{JSON, "?user=" + strings.Repeat("x", 129), "", "Who is asking? Add ?user=NAME to the URL of the endpoint."},
		{Text, "", "", ""},
		{Text, "?user=kim", "kim", ""},
	} {
		o := ByURL(&Chat{o: Options{Protocol: c.protocol, NameLimit: 128}})
		r := httptest.NewRequest("GET", "/chat/0/x/websocket"+c.query, nil)
		id, err := o.(session.Authenticator).Authenticate(r)
		var refused *session.RefusedError
		if errors.As(err, &refused) != (c.want != "") || refused != nil && refused.Reason != c.want {
			t.Errorf("%s: %v", c.query, err)
		}
		if got := (&session.Peer{Identity: id}).User(); got != c.user {
			t.Errorf("%s: is %q", c.query, got)
		}
		if user, err := o.(session.Principaler).Principal(r); c.want == "" && (user != c.user || err != nil) {
			t.Errorf("%s: a request is %q's, %v", c.query, user, err)
		}
	}
}
