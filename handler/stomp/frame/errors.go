package frame

import (
	"errors"
	"fmt"
)

// What the Err of a DecodeError wraps.
var (
	ErrSyntax = errors.New("stomp frame: broken")    // it is no frame of the Version
	ErrLimit  = errors.New("stomp frame: too large") // it is over one of the Limits
)

// A DecodeError is what is wrong with a peer's bytes. Nothing can be decoded
// after it. Its own text and Err's quote none of those bytes: they may be a
// password, and the text may be logged.
type DecodeError struct {
	Message string // for the peer's ERROR frame; it may quote the peer's bytes
	Err     error  // why: wraps ErrSyntax or ErrLimit
}

func (e *DecodeError) Error() string { return e.Err.Error() }
func (e *DecodeError) Unwrap() error { return e.Err }

// syntax is the error for a fault whose description holds none of the peer's
// bytes.
func syntax(format string, args ...any) error { return decodeError(ErrSyntax, format, args...) }

func limit(format string, args ...any) error { return decodeError(ErrLimit, format, args...) }

func decodeError(kind error, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return &DecodeError{Message: message, Err: fmt.Errorf("%w: %s", kind, message)}
}

// quoting is the error for a fault whose message quotes the peer's bytes, and
// whose reason does not.
func quoting(reason, format string, args ...any) error {
	return &DecodeError{Message: fmt.Sprintf(format, args...), Err: fmt.Errorf("%w: %s", ErrSyntax, reason)}
}
