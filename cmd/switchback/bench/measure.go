package bench

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A usage is the time on a processor that the server and this process have
// used.
type usage struct{ server, client time.Duration }

func (l *load) usage() (u usage, err error) {
	if l.server == 0 {
		return u, nil
	}
	var err2 error
	u.server, err = l.server.cpu()
	u.client, err2 = process(os.Getpid()).cpu()
	return u, errors.Join(err, err2)
}

func (u usage) since(earlier usage) usage {
	return usage{u.server - earlier.server, u.client - earlier.client}
}

// A window is what went on within the measured time.
type window struct {
	took     time.Duration
	received int64
	usage    usage
}

// measure lets the load run for a time, and then measures it for another.
func (l *load) measure(t *timing) (window, error) {
	l.wait(t.Warmup, "warming up", never)
	before, err := l.usage()
	if err != nil {
		return window{}, err
	}
	received, from := l.received(), l.now()
	l.from.Store(from)
	l.wait(t.Time, "measuring", never)
	until := l.now()
	l.until.Store(until)
	received = l.received() - received
	after, err := l.usage()
	return window{time.Duration(max(until-from, 1)), received, after.since(before)}, err
}

// drainTime is what messages have that are on their way when the measured time
// ends.
const drainTime = 10 * time.Second

// drain waits until all that is to be sent was sent, and has arrived, or a
// time has passed. Then sending, which may be nil, is over.
func (l *load) drain(sending *pacer) {
	for end := time.Now().Add(drainTime); time.Now().Before(end) && l.live.Load() > 0; time.Sleep(5 * time.Millisecond) {
		n := l.outstanding()
		if n <= 0 && sending.over() {
			break
		}
		l.progress.say("waiting for %d messages", n)
	}
	sending.stop()
}

// A pacer sends until the measured time is over, on goroutines of its own.
type pacer struct {
	running sync.WaitGroup
	active  atomic.Int32 // goroutines
	stopped atomic.Bool
	unsent  int64 // messages that were due when it was stopped
}

// begin runs send on n goroutines, which end when stopped is set at the latest.
func (p *pacer) begin(n int, send func(worker int)) {
	p.active.Store(int32(n))
	for worker := range n {
		p.running.Go(func() {
			defer p.active.Add(-1)
			send(worker)
		})
	}
}

// repeat calls send on n goroutines, again and again until the measured time is
// over.
func (l *load) repeat(n int, send func(worker int)) *pacer {
	p := new(pacer)
	p.begin(n, func(worker int) {
		for l.now() < l.until.Load() && !p.stopped.Load() {
			send(worker)
		}
	})
	return p
}

// pace calls send for each message that is due before the measured time is
// over, however late that is.
func (l *load) pace(rate float64, send func(at int64)) *pacer {
	p := new(pacer)
	begun := l.now()
	due := func(i int64) int64 { return begun + int64(float64(i)/rate*float64(time.Second)) }
	p.begin(1, func(int) {
		i := int64(0)
		for due(i) < l.until.Load() && !p.stopped.Load() {
			if wait := due(i) - l.now(); wait > 0 {
				sleep(min(time.Duration(wait), maxNap))
				continue
			}
			send(due(i))
			i++
		}
		for ; due(i) < l.until.Load(); i++ {
			p.unsent++
		}
	})
	return p
}

// maxNap is how long a pacer sleeps before it sees that it was stopped.
const maxNap = 50 * time.Millisecond

// over tells whether there is nothing more to send.
func (p *pacer) over() bool { return p == nil || p.active.Load() == 0 }

// stop returns when nothing is being sent any more.
func (p *pacer) stop() {
	if p != nil {
		p.stopped.Store(true)
		p.running.Wait()
	}
}
