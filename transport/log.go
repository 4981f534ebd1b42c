package transport

import (
	"context"
	"log/slog"

	"switchback/session"
)

// tell logs an event of a session.
func (v *service) tell(level slog.Level, event string, s *session.Local, more ...any) {
	ctx := context.Background()
	if !v.log.Enabled(ctx, level) {
		return
	}
	about := []any{"session", s.ID(), "transport", s.Peer().Transport, "address", s.Peer().Address}
	v.log.Log(ctx, level, event, append(about, more...)...)
}
