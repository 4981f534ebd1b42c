package session

import (
	"context"
	"errors"
	"net/http"
	"slices"
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

// A session's end can be moved, either way.
func TestExpireAtMovesTheEnd(t *testing.T) {
	for _, c := range []struct{ first, then, want time.Duration }{
		{time.Minute, 3 * time.Minute, 3 * time.Minute},
		{3 * time.Minute, time.Minute, time.Minute},
		{0, time.Minute, time.Minute},
		{time.Minute, 0, 0},
		{time.Minute, 90*time.Second + time.Millisecond, 91 * time.Second},
	} {
		h := new(recorder)
		opener := door{OpenerFunc: func(*http.Request) (Handler, error) { return h, nil }, expires: c.first}
		bubble(t, opener, config, func(t *testing.T, g *Registry) {
			start := time.Now()
			s, err := g.Open("", asking("kim"), Peer{}, SockJS, new(receiver))
			if err != nil {
				t.Fatal(err)
			}
			then := time.Time{}
			if c.then > 0 {
				then = start.Add(c.then)
			}
			s.ExpireAt(then)
			time.Sleep(c.want - time.Millisecond)
			synctest.Wait()
			if h.want(t, "open"); c.want == 0 {
				time.Sleep(10 * time.Minute)
				h.want(t, "open")
				return
			}
			time.Sleep(time.Second)
			synctest.Wait()
			h.want(t, "open", "close 1008 Identity has expired")
		})
	}
}

func TestSecondsAreOfUnixTimeRoundedUp(t *testing.T) {
	for at, want := range map[time.Time]uint32{
		{}:                  0,
		time.Unix(0, 0):     1,
		time.Unix(-5, 0):    1,
		time.Unix(7, 0):     7,
		time.Unix(7, 1):     8,
		time.Unix(1<<32, 0): 0, // no session lives that long
	} {
		if got := seconds(at); got != want {
			t.Errorf("%v: got %d, want %d", at, got, want)
		}
	}
}

// A doorman has the last word on sessions, which it counts.
type doorman struct {
	OpenerFunc
	refuses bool
	inside  []*Local
}

func (d *doorman) Admit(r *http.Request, s *Local) error {
	if d.refuses || r == nil {
		return &RefusedError{Status: 403, Reason: "full"}
	}
	d.inside = append(d.inside, s)
	return nil
}

func (d *doorman) Forget(s *Local) {
	d.inside = slices.DeleteFunc(d.inside, func(o *Local) bool { return o == s })
}

func TestAdmitterHasTheLastWord(t *testing.T) {
	h := new(recorder)
	d := &doorman{OpenerFunc: func(*http.Request) (Handler, error) { return h, nil }}
	bubble(t, d, config, func(t *testing.T, g *Registry) {
		r := new(receiver)
		s, err := g.Open("k", asking("kim"), Peer{}, SockJS, r)
		if err != nil || !slices.Equal(d.inside, []*Local{s}) {
			t.Fatal(err, d.inside)
		}
		if _, err := g.Open("k", asking("kim"), Peer{}, SockJS, new(receiver)); err != ErrAttached || len(d.inside) != 1 {
			t.Errorf("a second session of a key: %v, %v", err, d.inside)
		}
		d.refuses = true
		if _, err := g.Open("l", asking("kim"), Peer{}, SockJS, new(receiver)); err == nil || g.Stats().Sessions.Load() != 1 || g.Find("l") != nil {
			t.Errorf("refused: %v, %d sessions", err, g.Stats().Sessions.Load())
		}
		if s.Received() {
			t.Error("nothing has come")
		}
		if err := s.Receive(context.Background(), []byte("x")); err != nil || !s.Received() {
			t.Errorf("a message has come: %v", err)
		}
		s.Close(1000, "")
		r.take(s)
		if len(d.inside) != 1 {
			t.Error("is forgotten while its client may come")
		}
		s.Detach(r, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(d.inside) != 0 {
			t.Error("is not forgotten")
		}
	})
}

// A porter is an Admitter that does what a test gives it.
type porter struct {
	door
	admit     func(s *Local) error
	forgotten int
}

func (p *porter) Admit(_ *http.Request, s *Local) error { return p.admit(s) }
func (p *porter) Forget(*Local)                         { p.forgotten++ }

// While a session is being admitted nobody finds it, and no other is admitted in its place;
// its key is free again if it is refused.
func TestKeyIsReservedWhileTheAdmitterDecides(t *testing.T) {
	for _, refusal := range []error{nil, &RefusedError{Status: 403, Reason: "full"}} {
		p := &porter{door: door{OpenerFunc: func(*http.Request) (Handler, error) { return new(recorder), nil }}}
		bubble(t, p, config, func(t *testing.T, g *Registry) {
			p.admit = func(*Local) error {
				p.admit = func(*Local) error { t.Error("another is admitted"); return nil }
				if _, err := g.Open("k", asking("kim"), Peer{}, SockJS, new(receiver)); err != ErrAttached {
					t.Errorf("a second session of the key: %v", err)
				}
				if g.Find("k") != nil {
					t.Error("is found")
				}
				return refusal
			}
			s, err := g.Open("k", asking("kim"), Peer{}, SockJS, new(receiver))
			if err != refusal || g.Find("k") != s || p.forgotten != 0 {
				t.Errorf("got %v, %v; %d are forgotten", s, err, p.forgotten)
			}
			p.admit = func(*Local) error { return nil }
			if _, err := g.Open("k", asking("kim"), Peer{}, SockJS, new(receiver)); (err == nil) != (refusal != nil) {
				t.Errorf("the next: %v", err)
			}
		})
	}
}

// The Admitter comes first, and is told if the limit of users refuses whom it has admitted.
// A session that it ends for another counts no more, even where it is not known yet.
func TestAdmitterComesBeforeTheLimitOfUsers(t *testing.T) {
	c := config
	c.UserLimit = 1
	p := &porter{door: door{OpenerFunc: func(*http.Request) (Handler, error) { return new(recorder), nil }}}
	bubble(t, p, c, func(t *testing.T, g *Registry) {
		open := func(key string) (*Local, error) {
			return g.Open(key, asking("kim"), Peer{}, SockJS, new(receiver))
		}
		p.admit = func(*Local) error { return nil }
		first, err := open("1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open("2"); err == nil || p.forgotten != 1 || g.Stats().Crowded.Load() != 1 {
			t.Errorf("one too many: %v, %d forgotten", err, p.forgotten)
		}
		p.admit = func(*Local) error { return first.Close(CodePolicy, "") }
		second, err := open("2")
		if err != nil || g.Find("1") != first {
			t.Fatalf("in place of one that closes: %v", err)
		}
		second.Close(1000, "")
		p.admit = func(s *Local) error { return s.Close(CodePolicy, "") }
		if _, err := open("3"); err != nil {
			t.Fatal(err)
		}
		p.admit = func(*Local) error { return nil }
		if _, err := open("4"); err != nil {
			t.Errorf("the one before counts: %v", err)
		}
		if _, err := open("5"); err == nil {
			t.Error("two are open")
		}
	})
}
