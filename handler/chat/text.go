package chat

import (
	"context"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/rules"
	"switchback/session"
)

// onlyRoom is the topic of the one room of Text.
func (c *Chat) onlyRoom() string { return c.o.Path }

// A listener is a session of Text, in the one room that there is: what it sends is stored, and
// goes to the others as it is; first it gets what was sent last. Who it is need not be known.
// The rules are asked for join, read and send, with the path as the destination.
type listener struct {
	chat   *Chat
	s      session.Session
	user   string // empty: nobody that is known, or of a name that none may have here
	cursor history.Cursor
	talks  rules.Verdict
}

// OnOpen sends what was sent last.
func (l *listener) OnOpen(s session.Session) error {
	who, err := l.chat.admit(s)
	if err != nil {
		return err
	}
	topic := l.chat.onlyRoom()
	if v := l.chat.o.Rules.Check(who, rules.Join, topic); !v.Allowed {
		l.chat.stats.Forbidden.Add(1)
		return &session.CloseError{Code: session.CodePolicy, Reason: "Access denied", Err: v.Err(rules.Join, topic)}
	}
	l.talks = l.chat.o.Rules.Check(who, rules.Send, topic)
	var from history.From
	if l.chat.o.Rules.Check(who, rules.Read, topic).Allowed {
		from.Last = l.chat.o.HistoryLast
	}
	l.s = s
	if user := s.Peer().User(); l.chat.usable(user) {
		l.user = user
	}
	l.chat.stats.Joined.Add(1)
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	if err := l.chat.log.Subscribe(ctx, topic, topic, l); err != nil {
		return tryLater(err)
	}
	_, err = l.chat.log.CatchUp(s.Context(), topic, &l.cursor, from, func(_ history.Caught, entries []history.Entry) error {
		for i := range entries {
			s.Send(entries[i].Data)
		}
		return s.Context().Err()
	})
	return tryLater(err)
}

// tryLater is the end of a session whose client can be told no other way that the store is not
// to be reached: it comes back.
func tryLater(err error) error {
	if err == nil {
		return nil
	}
	return &session.CloseError{Code: session.CodeTryLater, Reason: "Not now: try again", Err: err}
}

// OnMessage stores a text, for the others.
func (l *listener) OnMessage(s session.Session, text []byte) error {
	topic := l.chat.onlyRoom()
	switch {
	case !l.talks.Allowed:
		l.chat.stats.Forbidden.Add(1)
		return &session.CloseError{Code: session.CodePolicy, Reason: "Access denied: you may not send here", Err: l.talks.Err(rules.Send, topic)}
	case len(text) > l.chat.o.TextLimit:
		l.chat.stats.TooLong.Add(1)
		return &session.CloseError{Code: session.CodeTooBig, Reason: "Message is too big"}
	}
	_, _, err := l.chat.log.Publish(s.Context(), topic, &handler.Publication{User: l.user, Payload: &uttered{text, l}}, topic)
	if err != nil {
		l.chat.stats.Unavailable.Add(1)
		return tryLater(err)
	}
	l.chat.stats.Messages.Add(1)
	return nil
}

// OnClose ends the subscription.
func (l *listener) OnClose(session.Session, error) {
	if l.s == nil {
		return
	}
	l.chat.stats.Joined.Add(-1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l.chat.log.Unsubscribe(ctx, l.chat.onlyRoom(), l.chat.onlyRoom(), l)
}

// An uttered is a text of a session of this node.
type uttered struct {
	text []byte
	by   *listener
}

func (u *uttered) Append(dst []byte) []byte { return append(dst, u.text...) }
func (u *uttered) Size() int                { return len(u.text) }

// Receive sends what another has sent.
func (l *listener) Receive(m *handler.Publication) {
	if ok, _ := l.cursor.Take(m); !ok {
		return
	}
	if u, ok := m.Payload.(*uttered); ok && u.by == l {
		return
	}
	handler.ForSession(l.s).Receive(m)
}
