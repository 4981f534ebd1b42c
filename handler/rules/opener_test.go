package rules

import (
	"errors"
	"net/http"
	"reflect"
	"testing"

	"switchback/session"
	"switchback/session/sessiontest"
)

// A recorder is a handler that keeps what it is told.
type recorder struct {
	id    *session.Identity
	heard []string
}

func (h *recorder) Identity() *session.Identity { return h.id }
func (h *recorder) OnOpen(session.Session) error {
	h.heard = append(h.heard, "open")
	return nil
}
func (h *recorder) OnMessage(_ session.Session, text []byte) error {
	h.heard = append(h.heard, string(text))
	return nil
}
func (h *recorder) OnClose(session.Session, error) { h.heard = append(h.heard, "close") }
func (h *recorder) OnDrain(session.Session)        { h.heard = append(h.heard, "drain") }

// A binaryRecorder takes binary messages, too.
type binaryRecorder struct{ recorder }

func (h *binaryRecorder) OnBinary(_ session.Session, data []byte) error {
	h.heard = append(h.heard, "binary "+string(data))
	return nil
}

// A door knows who is asking by the header User.
type door struct{ session.OpenerFunc }

func (d door) Authenticate(r *http.Request) (*session.Identity, error) {
	user, err := d.Principal(r)
	if user == "" {
		return nil, err
	}
	return &session.Identity{User: user}, err
}
func (d door) Principal(r *http.Request) (string, error) {
	if r.Header.Get("User") == "broken" {
		return "", errors.New("broken")
	}
	return r.Header.Get("User"), nil
}
func (d door) Subprotocols() []string { return []string{"chat"} }

func asking(user string) *http.Request { return &http.Request{Header: http.Header{"User": {user}}} }

func TestGuardAsksWhoOpensAndWhoSends(t *testing.T) {
	list := mustNew(t,
		Rule{On: []Action{Subscribe}, To: []string{"/chat"}, Allow: true, Who: authenticated},
		Rule{On: []Action{Send}, To: []string{"/chat"}, Allow: true, Who: Who{Users: []string{"kim"}}})
	for _, c := range []struct {
		user string
		want []string // what the handler hears
	}{
		{"", nil},
		{"kim", []string{"open", "text", "binary data", "drain", "close"}},
		{"lee", []string{"open", "drain", "close"}},
	} {
		for _, byHandler := range []bool{false, true} {
			h := new(binaryRecorder)
			opener := session.OpenerFunc(func(*http.Request) (session.Handler, error) { return h, nil })
			g := list.Guard("/chat", door{opener})
			if byHandler {
				g = list.Guard("/chat", opener)
				if c.user != "" {
					h.id = &session.Identity{User: c.user}
				}
			}
			got, err := g.Opener().Open(asking(c.user))
			if c.want == nil {
				var refused *session.RefusedError
				if !errors.As(err, &refused) || refused.Status != http.StatusForbidden || g.Stats().Openings.Load() != 1 {
					t.Errorf("%q: got %v, %v", c.user, got, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if id := got.(session.Identified).Identity(); id == nil || id.User != c.user {
				t.Errorf("%q: is %+v", c.user, id)
			}
			s := sessiontest.New(session.Peer{Binary: true})
			got.OnOpen(s)
			errs := []error{got.OnMessage(s, []byte("text")), got.(session.BinaryHandler).OnBinary(s, []byte("data"))}
			for _, err := range errs {
				var end *session.CloseError
				refused := errors.As(err, &end) && end.Code == session.CodePolicy && errors.Is(err, ErrDenied)
				if refused != (c.user == "lee") || !refused && err != nil {
					t.Errorf("%q: %v", c.user, err)
				}
			}
			got.(session.Drainer).OnDrain(s)
			got.OnClose(s, nil)
			if !reflect.DeepEqual(h.heard, c.want) {
				t.Errorf("%q: the handler heard %q", c.user, h.heard)
			}
			if n := g.Stats().Messages.Load(); (n == 2) != (c.user == "lee") {
				t.Errorf("%q: %d messages are counted", c.user, n)
			}
		}
	}
}

func TestGuardIsWhatItsOpenerIs(t *testing.T) {
	list := mustNew(t, Rule{Allow: true})
	h := new(recorder)
	plain := session.OpenerFunc(func(*http.Request) (session.Handler, error) { return h, nil })
	for name, c := range map[string]struct {
		next      session.Opener
		principal bool
	}{"plain": {plain, false}, "door": {door{plain}, true}} {
		o := list.Guard("/", c.next).Opener()
		p, ok := o.(session.Principaler)
		if ok != c.principal {
			t.Errorf("%s: knows principals: %v", name, ok)
		}
		if ok {
			if user, err := p.Principal(asking("kim")); user != "kim" || err != nil {
				t.Errorf("%s: %q, %v", name, user, err)
			}
		}
		if got := len(o.(session.Subprotocoler).Subprotocols()); (got == 1) != c.principal {
			t.Errorf("%s: %d sub-protocols", name, got)
		}
		got, err := o.Open(asking(""))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := got.(session.BinaryHandler); ok {
			t.Errorf("%s: takes binary messages", name)
		}
		if got.(session.Identified).Identity() != nil {
			t.Errorf("%s: is somebody", name)
		}
	}
	refuses := session.OpenerFunc(func(*http.Request) (session.Handler, error) { return nil, &session.RefusedError{Status: 401} })
	for user, next := range map[string]session.Opener{"": refuses, "broken": door{plain}} {
		if _, err := list.Guard("/", next).Opener().Open(asking(user)); err == nil || errors.Is(err, ErrDenied) {
			t.Errorf("%q: got %v", user, err)
		}
	}
	if len(h.heard) > 0 {
		t.Errorf("heard %q", h.heard)
	}
}
