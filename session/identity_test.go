package session

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A door is an Opener that knows who is asking by the header User; Broken is not known.
type door struct {
	OpenerFunc
	expires time.Duration // of identities; 0: never
}

func (d door) Authenticate(r *http.Request) (*Identity, error) {
	user, err := d.Principal(r)
	if user == "" || err != nil {
		return nil, err
	}
	id := &Identity{User: user}
	if d.expires > 0 {
		id.Expires = time.Now().Add(d.expires)
	}
	return id, nil
}

func (d door) Principal(r *http.Request) (string, error) {
	user := r.Header.Get("User")
	if user == "broken" {
		return "", errors.New("broken")
	}
	return user, nil
}

func asking(user string) *http.Request { return &http.Request{Header: http.Header{"User": {user}}} }

func TestIdentity(t *testing.T) {
	var seen *Identity
	h := &recorder{open: func(s Session) error { seen = s.Peer().Identity; return nil }}
	opener := door{OpenerFunc: func(*http.Request) (Handler, error) { return h, nil }}
	bubble(t, opener, config, func(t *testing.T, g *Registry) {
		if _, err := g.Open("k", asking("broken"), Peer{}, SockJS, new(receiver)); err == nil {
			t.Error("who is not known may open a session")
		}
		for _, c := range []struct{ user, other string }{{"kim", ""}, {"", "kim"}} {
			s, err := g.Open(c.user, asking(c.user), Peer{}, SockJS, new(receiver))
			if err != nil || (seen == nil) != (c.user == "") || s.Peer().User() != c.user {
				t.Fatalf("%q: %v, %+v", c.user, err, seen)
			}
			for user, want := range map[string]bool{c.user: true, c.other: false, "lee": false, "broken": false} {
				if got := s.Belongs(asking(user)); got != want {
					t.Errorf("a request of %q belongs to the session of %q: %v", user, c.user, got)
				}
			}
		}
	})
}

// A session ends with its identity, whether its client is there or not.
func TestIdentityExpires(t *testing.T) {
	for _, attached := range []bool{true, false} {
		h := new(recorder)
		opener := door{OpenerFunc: func(*http.Request) (Handler, error) { return h, nil }, expires: time.Minute}
		c := config
		c.DisconnectDelay = 10 * time.Minute
		bubble(t, opener, c, func(t *testing.T, g *Registry) {
			r := new(receiver)
			s, err := g.Open("k", asking("kim"), Peer{}, SockJS, r)
			if err != nil {
				t.Fatal(err)
			}
			r.take(s)
			if !attached {
				s.Detach(r, nil)
			}
			for range 59 {
				time.Sleep(time.Second)
				r.take(s)
			}
			h.want(t, "open")
			time.Sleep(2 * time.Second)
			synctest.Wait()
			h.want(t, "open", "close 1008 Identity has expired")
		})
	}
}
