package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchback/handler/stomp"
	"switchback/session"
	"switchback/transport"
	"switchback/web/admin/client"
)

// defaultPage is how many items a page has.
const defaultPage = 100

// query reads the parameters of a request, of which names are known.
func (s *Server) query(r *http.Request, names ...string) (values url.Values, limit int, err *client.Error) {
	values, broken := url.ParseQuery(r.URL.RawQuery)
	if broken != nil {
		return nil, 0, wrong("query", "The query is broken: %v.", broken)
	}
	for name, list := range values {
		if !slices.Contains(names, name) || len(list) > 1 {
			return nil, 0, wrong("query", "The query may have each of %s once; %q is not so.", strings.Join(names, ", "), name)
		}
	}
	limit = min(defaultPage, s.options.PageLimit)
	if text := values.Get("limit"); text != "" {
		n, e := strconv.Atoi(text)
		if e != nil || n < 1 || n > s.options.PageLimit {
			return nil, 0, wrong("query", "limit is %q; it must be a number from 1 to %d.", text, s.options.PageLimit)
		}
		limit = n
	}
	return values, limit, nil
}

// page sorts items by key and cuts them to the first, at most limit of them. next is the
// last one's key, where others follow.
func page[T any](items []T, limit int, key func(T) string) (first []T, next string) {
	slices.SortFunc(items, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	if len(items) <= limit {
		return items, ""
	}
	return items[:limit], key(items[limit-1])
}

// A listed is a session with what it is found by.
type listed struct {
	session.Session
	id, endpoint string
}

// sessions answers GET /api/sessions.
func (s *Server) sessions(r *http.Request) (any, *client.Failure) {
	query, limit, err := s.query(r, "endpoint", "user", "transport", "limit", "after")
	if err != nil {
		return nil, failed(err)
	}
	if at := query.Get("endpoint"); query.Has("endpoint") && s.options.Endpoints[at] == nil {
		return nil, failed(wrong("query", "There is no endpoint %q that lists its sessions.", at))
	}
	if name := query.Get("transport"); query.Has("transport") && name != "raw-websocket" && !slices.Contains(transport.Transports(), name) {
		return nil, failed(wrong("query", "transport is %q; it must be %s or raw-websocket.", name, strings.Join(transport.Transports(), ", ")))
	}
	var found []listed
	for path, e := range s.options.Endpoints {
		if query.Has("endpoint") && query.Get("endpoint") != path {
			continue
		}
		for _, x := range e.Sessions() {
			switch id := x.ID(); {
			case id <= query.Get("after"):
			case closing(x):
			case query.Has("transport") && query.Get("transport") != x.Peer().Transport:
			case query.Has("user") && !s.belongs(x, query.Get("user")):
			default:
				found = append(found, listed{x, id, path})
			}
		}
	}
	found, next := page(found, limit, func(l listed) string { return l.id })
	answer := client.Sessions{Sessions: make([]client.Session, 0, len(found)), Next: next, Node: s.node()}
	for _, l := range found {
		answer.Sessions = append(answer.Sessions, s.describeSession(l))
	}
	return answer, nil
}

// closing tells whether a session has closed, and is only not forgotten.
func closing(x session.Session) bool {
	l, ok := x.(interface{ Closing() bool })
	return ok && l.Closing()
}

func (s *Server) describeSession(l listed) client.Session {
	peer := l.Peer()
	told := client.Session{ID: l.id, Endpoint: l.endpoint, Transport: peer.Transport, Address: peer.Address, User: s.user(l), Queued: l.Queued()}
	if o, ok := l.Session.(interface{ Opened() time.Time }); ok {
		opened := o.Opened().UTC()
		told.Opened = &opened
	}
	return told
}

// user is the name of a session's user: as a client of STOMP, or who has opened it.
func (s *Server) user(x session.Session) string {
	if b := s.options.Broker; b != nil {
		if c := b.Client(x.ID()); c != nil && c.User() != "" {
			return c.User()
		}
	}
	return x.Peer().User()
}

// belongs tells whether a session is a user's, by either name.
func (s *Server) belongs(x session.Session, user string) bool {
	return x.Peer().User() == user || s.user(x) == user
}

// subscribed answers GET /api/topics.
func (s *Server) subscribed(r *http.Request) (any, *client.Failure) {
	query, limit, err := s.query(r, "limit", "after")
	if err != nil {
		return nil, failed(err)
	}
	counts := make(map[string]int)
	for topic := range s.topics {
		if n := s.options.Hub.Subscribers(topic); n > 0 {
			counts[topic] = n
		}
	}
	if s.options.Broker != nil {
		s.options.Broker.Subscriptions(func(x stomp.Subscription) bool {
			counts[x.Destination]++
			return false // counted, and not collected
		})
	}
	topics := make([]client.Topic, 0, min(len(counts), limit))
	for destination, n := range counts {
		if destination > query.Get("after") {
			topics = append(topics, client.Topic{Destination: destination, Subscriptions: n})
		}
	}
	topics, next := page(topics, limit, func(t client.Topic) string { return t.Destination })
	return client.Topics{Topics: topics, Next: next, Node: s.node()}, nil
}

// disconnect answers POST /api/disconnect.
func (s *Server) disconnect(r *http.Request) (any, *client.Failure) {
	var d client.Disconnection
	if err := read(r, &d); err != nil {
		return nil, failed(err)
	}
	if (d.Session == "") == (d.User == "") {
		return nil, failed(wrong("session", "One of session and user says whom to disconnect; give one, and not both."))
	}
	if d.Code == 0 {
		d.Code, d.Reason = session.CodeGoAway, cmp.Or(d.Reason, "Go away!")
	}
	if !session.ValidCode(d.Code) {
		return nil, failed(wrong("code", "%d is no code that a session may be closed with: 1000, or 3000 to 4999, say.", d.Code))
	}
	closed := s.close(d)
	s.tell(r.Context(), d)
	s.log.Info("admin: sessions are disconnected", "sessions", closed, "code", d.Code)
	return client.Disconnected{Closed: closed, Node: s.node()}, nil
}

// close disconnects whom this node has, and returns how many.
func (s *Server) close(d client.Disconnection) int {
	if d.User == "" {
		return s.disconnectSession(d)
	}
	return s.disconnectUser(d)
}

// disconnectSession closes the session, and returns 1 if there is one. The code is one
// that may be sent.
func (s *Server) disconnectSession(d client.Disconnection) int {
	for _, e := range s.options.Endpoints {
		if x := e.Session(d.Session); x != nil {
			if x.Close(d.Code, d.Reason) == nil {
				return 1
			}
			return 0
		}
	}
	if s.options.Broker != nil { // of an endpoint that is not listed
		if ok, _ := s.options.Broker.DisconnectSession(d.Session, d.Code, d.Reason); ok {
			return 1
		}
	}
	return 0
}

// disconnectUser closes the sessions of a user, and returns how many there were: those
// that the user has opened, and those that speak STOMP as the user.
func (s *Server) disconnectUser(d client.Disconnection) (closed int) {
	for _, e := range s.options.Endpoints {
		n, _ := e.CloseIf(func(x session.Session) bool { return s.belongs(x, d.User) }, d.Code, d.Reason)
		closed += n
	}
	if s.options.Broker != nil { // of endpoints that are not listed
		n, _ := s.options.Broker.Disconnect(d.User, d.Code, d.Reason)
		closed += n
	}
	return closed
}
