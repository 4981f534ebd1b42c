package rules_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"switchback/handler"
	"switchback/handler/rules"
	"switchback/session"
	"switchback/transport"
)

// A byHeader knows users by the header User.
type byHeader struct{ session.Opener }

func (b byHeader) Authenticate(r *http.Request) (*session.Identity, error) {
	if user, _ := b.Principal(r); user != "" {
		return &session.Identity{User: user}, nil
	}
	return nil, nil
}

func (byHeader) Principal(r *http.Request) (string, error) { return r.Header.Get("User"), nil }

// A guard in front of those who know users: who opens a session has its name, which nobody
// else may use, and is told by the transport what it may not.
func TestGuardOverHTTP(t *testing.T) {
	list, err := rules.New([]rules.Rule{
		{On: []rules.Action{rules.Subscribe}, To: []string{"/chat"}, Allow: true, Who: rules.Who{Group: rules.Authenticated}},
		{On: []rules.Action{rules.Send}, To: []string{"/chat"}, Allow: true, Who: rules.Who{Users: []string{"kim"}}},
	}, rules.Options{})
	if err != nil {
		t.Fatal(err)
	}
	guard := list.Guard("/chat", byHeader{session.Shared(handler.Echo{})})
	opened := make(chan string, 2)
	e, err := transport.NewEndpoint("/chat", guard.Opener(), transport.Options{Opened: func(s session.Session) { opened <- s.Peer().User() }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(e)
	client := &http.Client{Transport: &http.Transport{}}
	defer func() {
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		client.CloseIdleConnections()
		server.Close()
	}()
	post := func(path, user, body string, status int, want string) {
		t.Helper()
		r, err := http.NewRequest("POST", server.URL+"/chat/0/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("User", user)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != status || want != "" && string(got) != want {
			t.Errorf("%s as %q: got %d %q, %v", path, user, response.StatusCode, got, err)
		}
	}
	post("nobody/xhr", "", "", 403, "Access denied.\n")
	for user, want := range map[string]string{"kim": "a[\"hello\"]\n", "lee": "c[1008,\"Access denied: you may not send here\"]\n"} {
		post(user+"/xhr", user, "", 200, "o\n")
		if got := <-opened; got != user {
			t.Errorf("%s is %s", user, got)
		}
		post(user+"/xhr_send", "ann", `["hello"]`, 404, "")
		post(user+"/xhr_send", user, `["hello"]`, 204, "")
		post(user+"/xhr", user, "", 200, want)
	}
	if g := guard.Stats(); g.Openings.Load() != 1 || g.Messages.Load() != 1 {
		t.Errorf("%d openings, %d messages are counted", g.Openings.Load(), g.Messages.Load())
	}
}
