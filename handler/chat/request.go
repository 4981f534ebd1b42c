package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"switchback/handler/history"
)

// A request is what a client says. What a type of it does not need is not looked at, but
// has to be what it is in others.
type request struct {
	Type    string    `json:"type"`
	ID      string    `json:"id"`
	Room    string    `json:"room"`
	Text    string    `json:"text"`
	Limit   *int      `json:"limit"`
	Since   *string   `json:"since"`
	Before  *string   `json:"before"`
	Offset  string    `json:"offset"`
	After   string    `json:"after"`
	Members *[]string `json:"members"`
}

// A Code says to a program what an error is.
type Code string

const (
	BadRequest  Code = "bad_request"  // it is no request, or something in it cannot be
	BadOffset   Code = "bad_offset"   // it is no position of the room
	TooLong     Code = "too_long"     // a text, a name or an id has more bytes than it may
	UnknownRoom Code = "unknown_room" // there is none of the name, or none for the user
	NotJoined   Code = "not_joined"   // the session is not in the room
	Exists      Code = "exists"       // there is a room of the name
	Forbidden   Code = "forbidden"    // the rules refuse it
	Limited     Code = "limited"      // there are as many as may be
	Unavailable Code = "unavailable"  // not now: try again, with the same id
)

// A refusal is the answer to a request that is not done.
type refusal struct {
	code Code
	text string
}

func (r *refusal) Error() string { return r.text }

func refuse(code Code, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// is tells whether an error is a refusal with a code.
func is(err error, code Code) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.code == code
}

// of is what counts refusals with a code.
func (s *Stats) of(code Code) *atomic.Int64 {
	switch code {
	case TooLong:
		return &s.TooLong
	case UnknownRoom, NotJoined:
		return &s.Unknown
	case Forbidden:
		return &s.Forbidden
	case Limited:
		return &s.Limited
	case Unavailable:
		return &s.Unavailable
	}
	return &s.Bad
}

// decode reads a request. Where there is an error it has an ID if one could be read.
func (c *Chat) decode(text []byte) (r request, err error) {
	if !utf8.Valid(text) {
		return r, refuse(BadRequest, "a request is UTF-8")
	}
	if err := json.Unmarshal(text, &r); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			err = refuse(BadRequest, "%s cannot be a JSON %s", wrong.Field, wrong.Value)
		} else {
			err = refuse(BadRequest, "a request is a JSON object such as {\"type\":\"join\",\"room\":\"r\"}")
		}
		if c.checkID(r.ID) != nil {
			r.ID = ""
		}
		return r, err
	}
	if r.ID == "" {
		return r, nil
	}
	if err := c.checkID(r.ID); err != nil {
		r.ID = ""
		return r, err
	}
	return r, nil
}

// checkID tells what is wrong with a client's id. A blank ends it in the log.
func (c *Chat) checkID(id string) error {
	switch {
	case len(id) > c.o.IdentifierLimit:
		return refuse(TooLong, "an id has at most %d bytes", c.o.IdentifierLimit)
	case strings.ContainsFunc(id, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return refuse(BadRequest, "an id has no blanks and no control characters")
	}
	return nil
}

// checkName tells what is wrong with the name of a room.
func (c *Chat) checkName(room string) error {
	switch {
	case len(room) > c.o.NameLimit:
		return refuse(TooLong, "the name of a room has at most %d bytes", c.o.NameLimit)
	case room == "" || strings.ContainsFunc(room, func(r rune) bool { return r == '/' || unicode.IsControl(r) }):
		return refuse(BadRequest, "room is the name of one, without slashes and control characters")
	}
	return nil
}

// usable tells whether somebody may be a user here.
func (c *Chat) usable(user string) bool {
	return user != "" && len(user) <= c.o.NameLimit && utf8.ValidString(user) && !strings.ContainsFunc(user, unicode.IsControl)
}

// limit is how much is asked for: least to PageLimit, which it is by default up to usual.
func (c *Chat) limit(asked *int, least, usual int) (int, error) {
	if asked == nil {
		return min(usual, c.o.PageLimit), nil
	}
	if *asked < least || *asked > c.o.PageLimit {
		return 0, refuse(BadRequest, "limit is %d to %d", least, c.o.PageLimit)
	}
	return *asked, nil
}

// position reads one that a message had.
func position(text string) (history.Position, error) {
	p, err := history.ParsePosition(text)
	if err != nil {
		return p, refuse(BadOffset, "an offset is EPOCH/OFFSET as a message had it")
	}
	return p, nil
}
