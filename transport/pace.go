package transport

import (
	"io"
	"net/http"
	"time"

	"switchback/session/memory"
	"switchback/transport/internal/http1"
)

// What a client must do with a message that it has begun, or with a body: whoever is
// on a slow link may take its time, and who sends a byte now and then, to hold what
// is kept for the rest, may not.
const (
	paceBytes = 15_000           // of it that must come
	paceTime  = 30 * time.Second // in each such time: 500 bytes a second
	paceLimit = 10 * time.Minute // for all of it, but paceTime where memory is scarce
)

// A pace says by when more of a message must have come: something within the body
// timeout, and enough for the limits above.
type pace struct {
	timeout time.Duration
	silence time.Time // by when something must have come, or a little later
	window  time.Time // by when paceBytes must have come
	size    int       // what has come of those
	begun   time.Time
	set     time.Time // the deadline that was told last
}

// begin starts a message, and returns its first deadline.
func (p *pace) begin(now time.Time, timeout time.Duration) time.Time {
	*p = pace{timeout: timeout, window: now.Add(paceTime), begun: now}
	deadline, _ := p.more(now, 0)
	return deadline
}

// more notes that n bytes have come, and returns by when the next must, and whether
// that has changed. It does not with each piece of a message: to set a deadline costs
// more than most pieces.
func (p *pace) more(now time.Time, n int) (deadline time.Time, changed bool) {
	if p.size += n; p.size >= paceBytes {
		p.size, p.window = 0, now.Add(paceTime)
	}
	if t := now.Add(p.timeout); t.After(p.silence) {
		p.silence = t.Add(p.timeout / 16)
	}
	end := p.begun.Add(paceLimit)
	if memory.Received.Scarce() {
		end = p.begun.Add(paceTime)
	}
	before := p.set
	p.set = p.silence
	for _, t := range []time.Time{p.window, end} {
		if t.Before(p.set) {
			p.set = t
		}
	}
	return p.set, !p.set.Equal(before)
}

// A pacedBody is a request's body whose deadlines are a pace's. It is counted as
// received, until its end, since its goroutine and buffers wait for it.
type pacedBody struct {
	io.Reader
	w       http.ResponseWriter
	pace    pace
	counted int // 0: it is here whole, and nobody waits for it
}

// paced begins to read a body, of at most limit bytes, until end is called. It may
// return outOfMemory.
func (e *Endpoint) paced(w http.ResponseWriter, r *http.Request, limit int64) (*pacedBody, error) {
	b := &pacedBody{Reader: http.MaxBytesReader(w, r.Body, limit), w: w}
	if !http1.HasBody(w) {
		if !memory.Received.Take(unfinished) {
			return nil, outOfMemory
		}
		b.counted = unfinished
		b.setDeadline(b.pace.begin(time.Now(), e.options.BodyTimeout))
	}
	return b, nil
}

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == nil && b.counted > 0 {
		if t, changed := b.pace.more(time.Now(), n); changed {
			b.setDeadline(t)
		}
	}
	return n, err
}

func (b *pacedBody) end() {
	if b.counted > 0 {
		b.setDeadline(time.Time{})
		memory.Received.Give(b.counted)
	}
}

func (b *pacedBody) setDeadline(t time.Time) { http.NewResponseController(b.w).SetReadDeadline(t) }
