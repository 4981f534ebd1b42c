package transport

import (
	"net/http"
	"testing"

	"switchback/session"
)

// Who sends too much is closed with 1008, over every transport, and told why.
func TestTooFastIsClosed(t *testing.T) {
	const reason = "Too many messages a second"
	overWires(t, func(t *testing.T, w wire) {
		s := w.serve(t, session.Shared(new(quiet)), Options{MessageRate: 1, MessageBurst: 2})
		for _, path := range []string{"/websocket", "/0/" + newID() + "/websocket"} {
			c := s.dial(t, path)
			if path != "/websocket" {
				read(t, c, "o")
			}
			for range 30 { // more than come to be allowed meanwhile
				c.WriteMessage(1, []byte(`["x"]`))
			}
			if path != "/websocket" {
				read(t, c, `c[1008,"`+reason+`"]`)
				continue
			}
			readClose(t, c, 1008, reason)
		}
		id := newID()
		s.poll(t, id)
		s.ask(t, "POST", "/000/"+id+"/xhr_send", `["1","2"]`).want(t, 204, "")
		if a := s.ask(t, "POST", "/000/"+id+"/xhr_send", `["3","4","5","6"]`); a.status != 404 {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if got := s.poll(t, id); got != `c[1008,"`+reason+`"]`+"\n" {
			t.Errorf("got %s", got)
		}
		eventually(t, "all are counted", func() bool { return s.Stats().Fast.Load() == 3 })
	})
}

// A quiet is a handler that says nothing.
type quiet struct{ session.Nop }

func TestUserLimitRefuses(t *testing.T) {
	s := serve(t, byHeader{session.Shared(new(quiet))}, Options{UserLimit: 1})
	s.ask(t, "POST", "/000/"+newID()+"/xhr", "", "User: kim").want(t, 200, "o\n")
	s.ask(t, "POST", "/000/"+newID()+"/xhr", "", "User: kim").want(t, 503, "Too many sessions of this user\n")
	s.ask(t, "POST", "/000/"+newID()+"/xhr", "", "User: lee").want(t, 200, "o\n")
	s.ask(t, "POST", "/000/"+newID()+"/xhr", "").want(t, 200, "o\n")
}

// A byHeader knows users by the header User.
type byHeader struct{ session.Opener }

func (byHeader) Authenticate(r *http.Request) (*session.Identity, error) {
	if user := r.Header.Get("User"); user != "" {
		return &session.Identity{User: user}, nil
	}
	return nil, nil
}

func TestBurstsAreOfRates(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{MessageBurst: 1}, "transport: MessageBurst: must have a MessageRate with it"},
		{Options{ByteBurst: 1}, "transport: ByteBurst: must have a ByteRate with it"},
		{Options{PublishBurst: 1}, "transport: PublishBurst: must have a PublishRate with it"},
		{Options{ByteRate: -1}, "transport: ByteRate: must not be negative"},
	} {
		if _, err := c.o.Complete(); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	o, err := Options{MessageRate: 2, ByteRate: 3, PublishRate: 4}.Complete()
	if err != nil || o.MessageBurst != 2 || o.ByteBurst != 3 || o.PublishBurst != 4 {
		t.Errorf("got %+v, %v", o, err)
	}
}
