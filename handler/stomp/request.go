package stomp

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
)

// A Request is a SEND or SUBSCRIBE to a destination of the application.
type Request struct {
	Client      *Client
	Destination string // as the client names it: /app/chat/7
	Path        string // without the application's prefix: /chat/7
	Headers     Headers
	Body        []byte // see HandlerFunc for how long it is valid

	names  []string // of the variables
	values []string
}

// Variable returns what stands for a variable of the pattern; empty for a name
// that it does not have.
func (r *Request) Variable(name string) string {
	value, _ := r.lookup(name)
	return value
}

func (r *Request) lookup(name string) (value string, ok bool) {
	if i := slices.Index(r.names, name); i >= 0 {
		return r.values[i], true
	}
	return "", false
}

// Decode reads the body into v: as it is into a *string or a *[]byte, otherwise
// as JSON.
func (r *Request) Decode(v any) error {
	switch v := v.(type) {
	case *string:
		*v = string(r.Body)
		return nil
	case *[]byte:
		*v = bytes.Clone(r.Body)
		return nil
	}
	return json.Unmarshal(r.Body, v)
}

// A HandlerFunc answers requests. The reply is a payload as a [Messenger] sends
// it. There is none where it is nil or a nil pointer; a nil slice is one, an empty
// list.
//
// An error goes to the functions of [Broker.HandleError], and into the log where
// none answers it. The client is told nothing of it, and its session goes on: with
// an *Error, too, which ends a session only where a hook returns it.
//
// It runs on the session's goroutine: the next frame of the session waits until
// it returns. ctx ends with the session. r, its headers and its body are valid
// until it returns.
type HandlerFunc func(ctx context.Context, r *Request) (reply any, err error)

// Func makes a HandlerFunc of a function that takes and returns values: a body
// is decoded as [Request.Decode] does it.
func Func[In, Out any](f func(ctx context.Context, r *Request, in In) (Out, error)) HandlerFunc {
	return func(ctx context.Context, r *Request) (any, error) {
		var in In
		if err := r.Decode(&in); err != nil {
			return nil, err
		}
		return f(ctx, r, in)
	}
}
