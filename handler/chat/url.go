package chat

import (
	"net/http"

	"switchback/session"
)

// UserQuery is the query parameter that names the user: see ByURL.
const UserQuery = "user"

// ByURL returns c as an Opener whose users are who they say they are: ?user=kim in the URL of
// the endpoint. It is for trying out: anybody may be anybody. Of JSON everybody has to have
// a name.
func ByURL(c *Chat) session.Opener { return byURL{c} }

type byURL struct{ *Chat }

var (
	_ session.Authenticator = byURL{}
	_ session.Principaler   = byURL{}
)

// Authenticate returns whom the URL names.
func (o byURL) Authenticate(r *http.Request) (*session.Identity, error) {
	user, _ := o.Principal(r)
	switch {
	case user == "" && o.o.Protocol == Text:
		return nil, nil
	case !o.usable(user):
		return nil, &session.RefusedError{Status: http.StatusForbidden, Reason: "Who is asking? Add ?user=NAME to the URL of the endpoint."}
	}
	return &session.Identity{User: user}, nil
}

// Principal returns whom the URL names.
func (o byURL) Principal(r *http.Request) (string, error) {
	if r.URL.RawQuery == "" {
		return "", nil
	}
	return r.URL.Query().Get(UserQuery), nil
}
