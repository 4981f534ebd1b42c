package transport

import (
	"io"
	"net/http"
	"time"

	"switchback/session/memory"
)

// What a client must do with a message that it has begun, or with a body: whoever is
// on a slow link may take its time, and who sends a byte now and then, to hold what
// is kept for the rest, may not.
const (
	paceBytes = 15_000           // of it that must come
	paceTime  = 30 * time.Second // in each such time: 500 bytes a second
	paceLimit = 10 * time.Minute // for all of it
)

// A pace says by when more of a message must have come: something within the body
// timeout, and enough for the limits above.
type pace struct {
	timeout time.Duration
	silence time.Time // by when something must have come, or a little later
	window  time.Time // by when paceBytes must have come
	size    int       // what has come of those
	end     time.Time // by when all must have come
	set     time.Time // the deadline that was told last
}

// begin starts a message, and returns its first deadline.
func (p *pace) begin(now time.Time, timeout time.Duration) time.Time {
	*p = pace{timeout: timeout, window: now.Add(paceTime), end: now.Add(paceLimit)}
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
	before := p.set
	p.set = p.silence
	for _, t := range []time.Time{p.window, p.end} {
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
	w    http.ResponseWriter
	pace pace
}

// paced begins to read a body, of at most limit bytes, until end is called. It may
// return outOfMemory.
func (e *Endpoint) paced(w http.ResponseWriter, r *http.Request, limit int64) (*pacedBody, error) {
	if !memory.Received.Take(unfinished) {
		return nil, outOfMemory
	}
	b := &pacedBody{Reader: http.MaxBytesReader(w, r.Body, limit), w: w}
	b.setDeadline(b.pace.begin(time.Now(), e.options.BodyTimeout))
	return b, nil
}

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == nil {
		if t, changed := b.pace.more(time.Now(), n); changed {
			b.setDeadline(t)
		}
	}
	return n, err
}

func (b *pacedBody) end() {
	b.setDeadline(time.Time{})
	memory.Received.Give(unfinished)
}

func (b *pacedBody) setDeadline(t time.Time) { http.NewResponseController(b.w).SetReadDeadline(t) }
