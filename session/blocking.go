package session

import (
	"bytes"
	"context"
	"net/http"
)

// Blocking is an Opener for code that receives in a loop: it runs f on a
// goroutine of its own for each session, until f returns. A function that only
// sends must receive, too: what comes waits for it. An error that f
// returns closes the session as a Handler's does; nil closes it with 3000 "Go
// away!".
func Blocking(f func(c *Conn) error) Opener {
	return OpenerFunc(func(*http.Request) (Handler, error) {
		c := &Conn{messages: make(chan []byte), done: make(chan struct{})}
		return &blocking{conn: c, serve: f}, nil
	})
}

// A Conn is a session as the function of Blocking sees it.
type Conn struct {
	Session
	messages chan []byte
	done     chan struct{} // closed when the function has returned
}

// Recv returns the next message, which belongs to the caller. After the end of
// the session it returns the *CloseError that says why. Messages that were not
// received before that are lost.
func (c *Conn) Recv(ctx context.Context) ([]byte, error) {
	end := c.Context()
	if end.Err() != nil {
		return nil, context.Cause(end)
	}
	select {
	case text := <-c.messages:
		return text, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-end.Done():
		return nil, context.Cause(end)
	}
}

// blocking is the Handler that hands its events to the function's goroutine.
type blocking struct {
	conn  *Conn
	serve func(*Conn) error
}

// OnOpen starts the function's goroutine, which ends when the function
// returns; OnClose waits for it.
func (b *blocking) OnOpen(s Session) error {
	b.conn.Session = s
	go b.run()
	return nil
}

// OnMessage waits until the function receives the message: meanwhile the
// session's further messages wait as they do for any busy handler.
func (b *blocking) OnMessage(s Session, text []byte) error {
	select {
	case b.conn.messages <- bytes.Clone(text):
	case <-b.conn.done:
	case <-s.Context().Done():
	}
	return nil
}

func (b *blocking) OnClose(Session, error) { <-b.conn.done }

func (b *blocking) run() {
	defer close(b.conn.done)
	err := b.call()
	if err == nil {
		err = &CloseError{Code: CodeGoAway, Reason: "Go away!"}
	}
	if s, ok := b.conn.Session.(*Local); ok {
		s.close(Ending(err))
		return
	}
	end := Ending(err)
	b.conn.Close(end.Code, end.Reason)
}

func (b *blocking) call() (err error) {
	defer Recovered(&err)
	return b.serve(b.conn)
}
