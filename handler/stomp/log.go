package stomp

import (
	"errors"

	"switchback/handler/stomp/frame"
)

// logged is the error as the log has it: of frames that are broken it quotes
// nothing.
func (e *Error) logged() error {
	if errors.Is(e.Err, frame.ErrSyntax) {
		return e.Err
	}
	return e
}
