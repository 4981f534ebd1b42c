package bench

import (
	"context"
	"errors"
	"time"

	"github.com/alecthomas/kong"

	"switchback/transport/client"
)

type openCommand struct {
	Flags  flags  `embed:""`
	Timing timing `embed:""`
}

// Help is the end of bench open --help.
func (*openCommand) Help() string {
	return `--concurrency sessions are being opened or closed at any time. Latency is from the first byte that is sent to the open frame.`
}

func (c *openCommand) Validate() error { return errors.Join(c.Flags.check(), c.Timing.check()) }

// Run opens and closes the sessions.
func (c *openCommand) Run(app *kong.Kong) error { return c.Flags.run(app, c.run) }

func (c *openCommand) run(l *load) (*report, error) {
	n, err := l.fit(c.Flags.Concurrency, 200)
	if err != nil {
		return nil, err
	}
	o := &opening{load: l}
	if err := l.open(1, o); err != nil {
		return nil, err
	}
	openers := o.start(n)
	w, err := l.measure(&c.Timing)
	openers.stop()
	if err != nil {
		return nil, err
	}
	r := l.report("open")
	r.Flow = l.flow("session", w, openers)
	r.Sessions.Asked = int(r.Flow.Sent) + 1
	r.Sessions.Opened = int(r.Flow.Received) + 1
	return r, nil
}

// opening is the role of the one session that stays.
type opening struct{ *load }

func (*opening) receive(*peer, []byte) {}
func (*opening) left(*peer)            {}

// start has n goroutines open and close sessions until the measured time is
// over.
func (o *opening) start(n int) *pacer {
	return o.repeat(n, func(worker int) {
		o.sent.Add(1)
		begun := o.now()
		c, err := client.Dial(context.Background(), o.flags.URL, o.options)
		if err != nil {
			o.failures.add("not opened", err)
			time.Sleep(failurePause)
			return
		}
		o.meter.receive(worker, begun)
		c.Close()
	})
}

// failurePause keeps a server that refuses from being asked all the time.
const failurePause = 10 * time.Millisecond
