package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/alecthomas/kong"
)

type fanoutCommand struct {
	Flags    flags   `embed:""`
	Timing   timing  `embed:""`
	Sessions int     `default:"1000" help:"Sessions that receive."`
	Size     int     `default:"64" help:"Bytes of a message."`
	Publish  string  `placeholder:"URL" help:"Where the publisher's session is, another node of a cluster for one. The default is where the others are."`
	Rate     float64 `placeholder:"N" help:"Messages to publish per second. Without it, one is published when all have received the one before."`
}

// Help is the end of bench fanout --help.
func (*fanoutCommand) Help() string {
	return `One more session, over WebSocket, publishes. It receives what it publishes, like all the others, and that is counted, unless --publish has it elsewhere.

With --rate, latency counts from the time at which a message was due, even when it could not be published then.`
}

func (c *fanoutCommand) Validate() error {
	return errors.Join(c.Flags.check(), c.Timing.check(), atLeast("sessions", c.Sessions, 1),
		within("size", c.Size, headerSize, maxSize), atLeast("rate", c.Rate, 0))
}

// Run publishes the messages.
func (c *fanoutCommand) Run(app *kong.Kong) error { return c.Flags.run(app, c.run) }

func (c *fanoutCommand) run(l *load) (*report, error) {
	if c.Publish != "" {
		if _, err := c.Flags.target(c.Publish); err != nil {
			return nil, err
		}
	}
	n, err := l.fit(c.Sessions, 150)
	if err != nil {
		return nil, err
	}
	f := &fanout{load: l, url: cmp.Or(c.Publish, c.Flags.URL), tag: rand.Uint32(), size: c.Size, closed: c.Rate == 0, probing: true, complete: make(chan struct{}, 1)}
	if f.url != c.Flags.URL {
		f.apart = 1
	}
	if err := l.open(n, f); err != nil {
		return nil, err
	}
	if err := f.subscribe(); err != nil {
		return nil, err
	}
	offered := c.Rate * float64(f.receiving())
	sending := f.start(c)
	w, err := l.measure(&c.Timing)
	if err != nil {
		return nil, err
	}
	l.drain(sending)
	r := l.report("fanout")
	r.Flow = l.flow("delivery", w, sending)
	r.Flow.Published = int64(f.seq)
	r.Flow.Offered = offered
	return r, nil
}

// fanout is the role of sessions that one of them publishes to.
type fanout struct {
	*load
	url    string // where the publisher's session is
	apart  int    // sessions that are not counted: 1, the publisher's, where that is elsewhere
	tag    uint32 // of the messages; the probes before them have the next one
	size   int
	closed bool // a message is published when all have received the one before

	publisher *peer
	complete  chan struct{} // the last message has been received by all

	mu      sync.Mutex
	probing bool   // sessions may still become ready
	ready   int    // sessions that receive what is published
	seq     uint32 // the number of messages that were published
	missing int    // the sessions that have yet to receive the last of them
}

const (
	probeTime  = 10 * time.Second // in which all must begin to receive
	probePause = 100 * time.Millisecond
	stallTime  = 5 * time.Second // for which a message is waited for
)

// subscribe opens the publisher's session, and publishes probes until all
// sessions have received one: there is no other way to know that they will.
func (f *fanout) subscribe() error {
	if err := f.openPublisher(); err != nil {
		return err
	}
	text := newText(f.size)
	message{tag: f.tag + 1}.write(text)
	for end := time.Now().Add(probeTime); f.unready() > 0 && time.Now().Before(end); time.Sleep(probePause) {
		if err := f.publisher.conn.Send(text); err != nil {
			return fmt.Errorf("publish: %s", cause(err))
		}
		f.progress.say("waiting for %d sessions to receive", f.unready())
	}
	return f.endProbing()
}

// endProbing leaves out the sessions that have received nothing. That it is all
// but the publisher means that this is no broadcast.
func (f *fanout) endProbing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probing = false
	if f.ready < 2-f.apart {
		return fmt.Errorf("no session received what was published; is there a broadcast endpoint at %s?", f.flags.URL)
	}
	if n := int(f.live.Load()) - f.ready - f.apart; n > 0 {
		f.note("%d sessions received nothing within %v, and are not counted", n, probeTime)
	}
	return nil
}

// openPublisher opens one more session. That one is over WebSocket, so that
// publishing costs the same whatever carries the deliveries.
func (f *fanout) openPublisher() error {
	o := f.options
	o.Transports = []string{"websocket"}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	p, err := f.dial(ctx, f.url, f.asked, o)
	if err != nil {
		return fmt.Errorf("the publisher's session could not be opened: %s; is a SockJS endpoint served at %s, with websocket?",
			cause(err), f.url)
	}
	f.mu.Lock()
	f.publisher = p
	f.mu.Unlock()
	f.asked++
	f.add(p)
	return nil
}

func (f *fanout) receiving() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

func (f *fanout) unready() int { return int(f.live.Load()) - f.receiving() - f.apart }

// start begins to publish.
func (f *fanout) start(c *fanoutCommand) *pacer {
	text := newText(f.size)
	if c.Rate > 0 {
		return f.pace(c.Rate, func(at int64) { f.publish(text, at) })
	}
	return f.repeat(1, func(int) {
		f.publish(text, f.now())
		f.await()
	})
}

// publish publishes a message that is due at a time, in text. An error is the
// end of the publisher's session, of which its receiver tells.
func (f *fanout) publish(text []byte, at int64) {
	f.mu.Lock()
	message{f.tag, f.seq, at}.write(text)
	f.seq++
	f.missing = f.ready
	f.sent.Add(int64(f.ready))
	f.checkComplete()
	f.mu.Unlock()
	f.publisher.conn.Send(text)
}

// await waits until all sessions have received the last message. What is lost
// is not waited for too long.
func (f *fanout) await() {
	stalled := time.NewTimer(stallTime)
	defer stalled.Stop()
	select {
	case <-f.complete:
	case <-stalled.C:
	}
}

func (f *fanout) receive(p *peer, text []byte) {
	m, ok := read(text)
	switch {
	case ok && m.tag == f.tag+1:
		f.join(p)
	case !ok || m.tag != f.tag || len(text) != f.size || m.seq < p.next:
		f.wrong.Add(1)
	case p.ready: // else it is the publisher's, or came late
		p.next = m.seq + 1
		f.meter.receive(p.index, m.at)
		f.arrived(m.seq)
	}
}

// join counts a session among those that receive.
func (f *fanout) join(p *peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.probing && !p.ready && (p != f.publisher || f.apart == 0) {
		p.ready = true
		f.ready++
	}
}

// arrived takes that a session has received a message. Only closed loops wait
// for that.
func (f *fanout) arrived(seq uint32) {
	if !f.closed {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq+1 == f.seq {
		f.missing--
		f.checkComplete()
	}
}

// checkComplete is called with mu held.
func (f *fanout) checkComplete() {
	if f.missing > 0 {
		return
	}
	select {
	case f.complete <- struct{}{}:
	default: // nobody waited for the message before, which came too late
	}
}

func (f *fanout) left(p *peer) {
	if !p.ready {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready--
	f.abandoned.Add(int64(f.seq - p.next))
	if f.seq > p.next {
		f.missing--
		f.checkComplete()
	}
}
