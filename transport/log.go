package transport

import (
	"context"
	"log/slog"
	"strings"

	"switchback/session"
)

// clipAt is how much of what a client sent stands in the log, in bytes: who can
// choose the text of a line is not to choose its length.
const clipAt = 256

// clip is what the log has of a client's text.
func clip(text string) string {
	if len(text) <= clipAt {
		return text
	}
	return strings.ToValidUTF8(text[:clipAt], "") + "…"
}

// tell logs an event of a session.
func (v *service) tell(level slog.Level, event string, s *session.Local, more ...any) {
	ctx := context.Background()
	if !v.log.Enabled(ctx, level) {
		return
	}
	about := []any{"session", s.ID(), "transport", s.Peer().Transport, "address", s.Peer().Address}
	v.log.Log(ctx, level, event, append(about, more...)...)
}
