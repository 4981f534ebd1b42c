package transport

import (
	"context"
	"errors"
	"log/slog"

	"switchback/session"
	"switchback/transport/internal/guard"
)

// ending is what the log has of a session's end: how long it was open, what its client
// was told, and why; and where it opened with a log of level debug, what has passed.
func ending(s *session.Local, err error) []any {
	about := []any{"age", s.Age()}
	if n, ok := s.Counts(); ok {
		about = append(about, "received", n.Received, "received_bytes", n.ReceivedBytes, "sent", n.Sent, "sent_bytes", n.SentBytes)
	}
	if end, ok := errors.AsType[*session.CloseError](err); ok {
		about = append(about, "code", end.Code, "reason", guard.Clip(end.Reason))
		err = end.Err
	}
	if err != nil {
		about = append(about, "error", guard.Clip(err.Error()))
	}
	return about
}

// tell logs an event of a session.
func (v *service) tell(level slog.Level, event string, s *session.Local, more ...any) {
	ctx := context.Background()
	if !v.log.Enabled(ctx, level) {
		return
	}
	about := []any{"session", s.ID(), "transport", s.Peer().Transport, "address", s.Peer().Address}
	if user := s.Peer().User(); user != "" {
		about = append(about, "user", guard.Clip(user))
	}
	v.log.Log(ctx, level, event, append(about, more...)...)
}
