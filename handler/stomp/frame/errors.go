package frame

import (
	"errors"
	"fmt"
)

var (
	ErrSyntax = errors.New("stomp frame: broken")
	ErrLimit  = errors.New("stomp frame: too large")
)

// A DecodeError is what is wrong with a peer's bytes. Nothing can be decoded
// after it.
type DecodeError struct {
	Message string // for the peer's ERROR frame
	Err     error  // ErrSyntax or ErrLimit
}

func (e *DecodeError) Error() string { return e.Err.Error() + ": " + e.Message }
func (e *DecodeError) Unwrap() error { return e.Err }

func syntax(format string, args ...any) error {
	return &DecodeError{Message: fmt.Sprintf(format, args...), Err: ErrSyntax}
}

func limit(format string, args ...any) error {
	return &DecodeError{Message: fmt.Sprintf(format, args...), Err: ErrLimit}
}
