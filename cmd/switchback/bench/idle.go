package bench

import (
	"cmp"
	"errors"
	"math"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/alecthomas/kong"
)

type idleCommand struct {
	Flags       flags         `embed:""`
	Sessions    int           `default:"5000" help:"Sessions to hold."`
	Hold        time.Duration `default:"10s" help:"How long to hold them."`
	Texts       int64         `placeholder:"N" help:"Hold them no longer than until each has received so many texts, which others send."`
	Settle      time.Duration `default:"1s" help:"How long to wait before that."`
	Heartbeat   time.Duration `default:"25s" help:"The server's heartbeat delay, against which its heartbeats are late. They are seen when --hold is longer."`
	STOMP       bool          `name:"stomp" help:"Have each session connect by STOMP 1.2, without heart-beats of STOMP, and subscribe once."`
	Destination string        `placeholder:"NAME" help:"What to subscribe to with --stomp. The default is /topic/bench."`
}

// Help is the end of bench idle --help.
func (*idleCommand) Help() string {
	return `The memory of a session is what the server has more after --hold than before the first session, divided by their number. Start the server anew for each run: one that has served before has room for sessions already.

What others send to the sessions meanwhile is counted: how many texts in all, and from how few to how many for a session.

With --stomp, such as

    switchback bench idle http://127.0.0.1:8081/ws --stomp --transport xhr-streaming --pid PID

a session counts as opened when the receipt of its SUBSCRIBE has come.`
}

func (c *idleCommand) Validate() error {
	err := errors.Join(c.Flags.check(), atLeast("sessions", c.Sessions, 1),
		atLeast("hold", c.Hold, time.Millisecond), atLeast("texts", int(c.Texts), 0), atLeast("settle", c.Settle, 0), atLeast("heartbeat", c.Heartbeat, time.Millisecond))
	if c.Destination != "" && !c.STOMP {
		err = errors.Join(err, errors.New("--destination is for --stomp"))
	}
	return err
}

// Run holds the sessions.
func (c *idleCommand) Run(app *kong.Kong) error { return c.Flags.run(app, c.run) }

func (c *idleCommand) run(l *load) (*report, error) {
	n, err := l.fit(c.Sessions, 101)
	if err != nil {
		return nil, err
	}
	memory, err := newMemoryMeter(l.server)
	if err != nil {
		return nil, err
	}
	defer memory.stop()
	quiet := &quiet{meter: l.meter, delay: c.Heartbeat, late: newHistogram()}
	if err := l.open(n, c.role(l, quiet)); err != nil {
		return nil, err
	}
	l.wait(c.Settle, "settling", never)
	before, err := l.usage()
	if err != nil {
		return nil, err
	}
	held := l.now()
	l.wait(c.Hold, "holding", func() bool {
		t := l.texts()
		return c.Texts > 0 && t != nil && t.Fewest >= c.Texts
	})
	r := l.report("idle")
	if r.Memory, err = memory.measure(len(l.peers)); err != nil {
		return nil, err
	}
	after, err := l.usage()
	if err != nil {
		return nil, err
	}
	r.Hold = newHold(time.Duration(l.now()-held), after.since(before), l.server != 0)
	r.Heartbeats, r.Texts = quiet.heartbeats(l), l.texts()
	return r, nil
}

// role has sessions be quiet from the start, or after they have subscribed.
func (c *idleCommand) role(l *load, q *quiet) role {
	if !c.STOMP {
		return q
	}
	l.protocol = "STOMP"
	u, _ := url.Parse(l.flags.URL) // newLoad has checked it
	return &subscriber{q, u.Hostname(), cmp.Or(c.Destination, "/topic/bench"), l.options.OpenTimeout}
}

// quiet is the role of sessions on which this load sends nothing: what others send to them is
// counted.
type quiet struct {
	*meter
	delay time.Duration
	count atomic.Int64 // of heartbeats

	mu   sync.Mutex
	late *hdrhistogram.Histogram // in microseconds
}

func (q *quiet) receive(p *peer, _ []byte) {
	p.beat.Store(q.now())
	p.texts.Add(1)
}

func (q *quiet) left(*peer) {}

// heartbeat takes a heartbeat, which is due when nothing has come for the
// delay.
func (q *quiet) heartbeat(p *peer) {
	q.count.Add(1)
	now := q.now()
	q.record(time.Duration(now - p.beat.Swap(now)))
}

func (q *quiet) record(silence time.Duration) {
	late := max(silence-q.delay, 0)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.late.RecordValue(min(late, slowest).Microseconds())
}

// texts tells what has come. Where nothing has there is nothing to tell.
func (l *load) texts() *texts {
	t := &texts{Fewest: math.MaxInt64}
	for _, p := range l.peers {
		if !p.ended.Load() {
			n := p.texts.Load()
			t.Count, t.Fewest, t.Most = t.Count+n, min(t.Fewest, n), max(t.Most, n)
		}
	}
	if t.Count == 0 {
		return nil
	}
	return t
}

// heartbeats tells of those that came, and of those that have not though they
// are due. Without either there is nothing to tell.
func (q *quiet) heartbeats(l *load) *heartbeats {
	h := &heartbeats{Count: q.count.Load()}
	for _, p := range l.peers {
		silence := time.Duration(q.now() - p.beat.Load())
		if silence > q.delay && !p.ended.Load() {
			h.Overdue++
			q.record(silence)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	h.Late = newLatency(q.late)
	if h.Late == nil {
		return nil
	}
	return h
}

// A memoryMeter looks at the memory of the server while sessions open and are
// held.
type memoryMeter struct {
	server  process
	before  int64
	peak    atomic.Int64
	stopped chan struct{}
	looking sync.WaitGroup
}

// newMemoryMeter begins to look. There may be no server to look at.
func newMemoryMeter(server process) (*memoryMeter, error) {
	m := &memoryMeter{server: server, stopped: make(chan struct{})}
	if server == 0 {
		return m, nil
	}
	var err error
	if m.before, err = server.memory(); err != nil {
		return nil, err
	}
	m.looking.Go(m.look) // until stop
	return m, nil
}

// look keeps the most that it has seen.
func (m *memoryMeter) look() {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for {
		if now, err := m.server.roughMemory(); err == nil {
			m.peak.Store(max(m.peak.Load(), now))
		}
		select {
		case <-ticks.C:
		case <-m.stopped:
			return
		}
	}
}

func (m *memoryMeter) stop() {
	close(m.stopped)
	m.looking.Wait()
}

func (m *memoryMeter) measure(sessions int) (*memory, error) {
	if m.server == 0 {
		return nil, nil
	}
	now, err := m.server.memory()
	if err != nil {
		return nil, err
	}
	peak := max(m.peak.Load(), now)
	return &memory{
		Before:         m.before,
		After:          now,
		Peak:           peak,
		PerSession:     float64(now-m.before) / float64(sessions),
		PeakPerSession: float64(peak-m.before) / float64(sessions),
	}, nil
}
