package bench

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"

	"github.com/alecthomas/kong"
)

const maxSize = 1 << 20 // of a message, in bytes

type echoCommand struct {
	Flags    flags   `embed:""`
	Timing   timing  `embed:""`
	Sessions int     `default:"64" help:"Sessions."`
	Size     int     `default:"64" help:"Bytes of a message."`
	Inflight int     `default:"1" help:"Messages that each session has on their way: it sends another for each that has come back."`
	Rate     float64 `placeholder:"N" help:"Messages per second over all sessions, which send in turn, whether or not messages have come back."`
}

// Help is the end of bench echo --help.
func (*echoCommand) Help() string {
	return `With --rate, latency counts from the time at which a message was due, even when it could not be sent then.`
}

func (c *echoCommand) Validate() error {
	err := errors.Join(c.Flags.check(), c.Timing.check(), atLeast("sessions", c.Sessions, 1),
		within("size", c.Size, headerSize, maxSize), atLeast("inflight", c.Inflight, 1), atLeast("rate", c.Rate, 0))
	if c.Rate > 0 && c.Inflight > 1 {
		err = errors.Join(err, errors.New("--rate and --inflight are for different loads"))
	}
	return err
}

// Run sends the messages.
func (c *echoCommand) Run(app *kong.Kong) error { return c.Flags.run(app, c.run) }

func (c *echoCommand) run(l *load) (*report, error) {
	n, err := l.fit(c.Sessions, 150)
	if err != nil {
		return nil, err
	}
	e := &echo{load: l, tag: rand.Uint32(), size: c.Size, closed: c.Rate == 0}
	if err := l.open(n, e); err != nil {
		return nil, err
	}
	sending := e.start(c)
	w, err := l.measure(&c.Timing)
	if err != nil {
		return nil, err
	}
	e.stopping.Store(true)
	l.drain(sending)
	if l.wrong.Load() > 0 {
		l.note("what came back was not what was sent; is there an echo endpoint at %s?", l.flags.URL)
	} else if l.received() == 0 && l.sent.Load() > 0 {
		l.note("nothing came back; is there an echo endpoint at %s?", l.flags.URL)
	}
	r := l.report("echo")
	r.Flow = l.flow("message", w, sending)
	r.Flow.Offered = c.Rate
	return r, nil
}

// echo is the role of sessions whose messages come back.
type echo struct {
	*load
	tag      uint32 // of the first session; each has the next one
	size     int
	closed   bool // a message that has come back is followed by another
	stopping atomic.Bool
}

// start sends the first messages, or with a rate begins to send all of them.
func (e *echo) start(c *echoCommand) *pacer {
	if c.Rate > 0 {
		text, turn := newText(e.size), 0
		return e.pace(c.Rate, func(at int64) {
			e.send(e.peers[turn%len(e.peers)], text, at)
			turn++
		})
	}
	for _, p := range e.peers {
		text := newText(e.size)
		for range c.Inflight {
			e.send(p, text, e.now())
		}
	}
	return nil
}

// send sends a message that is due at a time, in text. An error is the end of
// the session, of which its receiver tells.
func (e *echo) send(p *peer, text []byte, at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	message{e.tag + uint32(p.index), p.sent, at}.write(text)
	p.sent++
	e.sent.Add(1)
	if p.conn.Send(text) != nil {
		p.sent--
		e.sent.Add(-1)
	}
}

func (e *echo) receive(p *peer, text []byte) {
	m, ok := read(text)
	if !ok || m.tag != e.tag+uint32(p.index) || m.seq < p.next || len(text) != e.size {
		e.wrong.Add(1)
		return
	}
	p.next = m.seq + 1
	e.meter.receive(p.index, m.at)
	if e.closed && !e.stopping.Load() {
		e.send(p, text, e.now())
	}
}

func (e *echo) left(p *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.abandoned.Add(int64(p.sent - p.next))
}
