package bench

import (
	"context"
	"fmt"
	"time"

	"switchback/handler/stomp/frame"
)

// subscriber is the role of sessions on which nothing is sent once they have
// connected by STOMP and subscribed.
type subscriber struct {
	*quiet
	host        string
	destination string
	timeout     time.Duration // of each answer
}

// answerLimits are of the frames that the server sends meanwhile.
var answerLimits = frame.Limits{Frame: 1 << 20, Body: 1 << 20, HeaderBytes: 64 << 10, Headers: 1000}

// connect returns when the server has said that the session is connected and has
// subscribed. There are no heart-beats of STOMP: those of SockJS remain.
func (s *subscriber) connect(ctx context.Context, p *peer) error {
	d := &frame.Decoder{Limits: &answerLimits, Version: frame.V12}
	err := s.request(ctx, p, d, frame.Connect, frame.Connected, frame.Headers{
		{Name: "accept-version", Value: "1.2"}, {Name: "host", Value: s.host}, {Name: "heart-beat", Value: "0,0"},
	})
	if err != nil {
		return err
	}
	return s.request(ctx, p, d, frame.Subscribe, frame.Receipt, frame.Headers{
		{Name: "id", Value: "0"}, {Name: "destination", Value: s.destination}, {Name: "receipt", Value: "0"},
	})
}

// request sends a frame and waits for the answer to it. Messages of others may
// come before.
func (s *subscriber) request(ctx context.Context, p *peer, d *frame.Decoder, c, answer frame.Command, h frame.Headers) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no %s within %v", answer, s.timeout))
	defer cancel()
	if err := p.conn.Send(frame.Append(nil, frame.V12, c, h, nil)); err != nil {
		return err
	}
	for {
		f, err := s.next(ctx, p, d)
		switch {
		case err != nil:
			return err
		case f.Command == answer:
			return nil
		case f.Command == frame.Error:
			return fmt.Errorf("%s was answered with ERROR: %s", c, told(&f))
		}
	}
}

// told is what an ERROR says, in one line: its body is more of its message.
func told(f *frame.Frame) string {
	text := f.Headers.Value("message")
	if len(f.Body) > 0 {
		text += ": " + string(f.Body)
	}
	return fmt.Sprintf("%.200q", text)
}

func (s *subscriber) next(ctx context.Context, p *peer, d *frame.Decoder) (f frame.Frame, err error) {
	for {
		if ok, err := d.Next(&f); ok || err != nil {
			return f, err
		}
		text, err := p.conn.Recv(ctx)
		if ctx.Err() != nil {
			return f, context.Cause(ctx)
		}
		if err != nil {
			return f, err
		}
		p.beat.Store(s.now())
		d.FeedText(text)
	}
}
