package engine

import (
	"encoding/binary"
	"errors"
	"sync"

	"switchback/session/memory"
)

// ErrFull is the error of a publication for which the outbox has no room: the server is away,
// or takes less than is published.
var ErrFull = errors.New("engine: the outbox is full")

// A Message is what a server passes on.
type Message struct {
	Channel string
	Data    []byte
}

// messageSize is about what keeping a message costs beside its bytes.
const messageSize = 64

// An outbox has what this node has published and not every other has confirmed. It numbers
// that from 1. What has been sent makes room for more where that is short, once a connection
// has been there for long enough for all to ask for what they miss: else nothing is dropped,
// and more is refused. Its bytes are those of package memory, too.
type outbox struct {
	limit int // bytes
	stats *Stats

	mu    sync.Mutex // guards the rest
	kept  []Message  // those with the numbers from first on; without data where no server takes it
	first uint64
	sent  uint64 // the last that was given to a connection
	bytes int
	drops bool // what has been sent makes room
	quiet int  // bytes that were sent since others were asked to confirm
}

func newOutbox(limit int, stats *Stats) *outbox { return &outbox{limit: limit, stats: stats, first: 1} }

func (m *Message) size() int { return messageSize + len(m.Channel) + len(m.Data) }

// add numbers a message, in the eight bytes at numberAt, and keeps it.
func (o *outbox) add(m Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.drops && m.size() <= o.limit && o.bytes+m.size() > o.limit && o.first <= o.sent {
		o.drop(1)
	}
	if o.bytes+m.size() > o.limit {
		o.stats.Refused.Add(1)
		return ErrFull
	}
	binary.BigEndian.PutUint64(m.Data[numberAt:], o.first+uint64(len(o.kept)))
	o.kept = append(o.kept, m)
	o.hold(m.size())
	return nil
}

// pass numbers what nobody is there to get, so that who comes back sees that there was
// something. It returns false where there is more that is yet to be sent.
func (o *outbox) pass() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sent+1-o.first < uint64(len(o.kept)) {
		return false
	}
	o.drop(len(o.kept))
	o.first++
	o.sent++
	return true
}

// hold counts bytes that are kept, or no more, with what is kept already. o.mu is held.
func (o *outbox) hold(bytes int) {
	o.bytes += bytes
	o.stats.Outbox.Store(int64(o.bytes))
	o.stats.Unconfirmed.Store(int64(len(o.kept)))
	memory.Add(bytes)
}

// close forgets all, and takes no more. It returns how many were not sent.
func (o *outbox) close() (left int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	left = len(o.kept) - int(o.sent+1-o.first)
	o.drop(len(o.kept))
	o.sent = o.first - 1
	o.limit = 0
	return left
}

// setDrops says whether what has been sent makes room.
func (o *outbox) setDrops(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drops = on
}

// drop forgets the first n. o.mu is held.
func (o *outbox) drop(n int) {
	bytes := 0
	for i := range n {
		bytes += o.kept[i].size()
		o.kept[i] = Message{}
	}
	o.kept = o.kept[n:]
	o.first += uint64(n)
	o.hold(-bytes)
}

// maxBatch is how many messages a connection is given at once.
const maxBatch = 256

// take appends what is to be sent next. What is larger than most, since this server takes
// less than the one before, is dropped: skipped tells so.
func (o *outbox) take(batch []Message, most int) (_ []Message, skipped bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	from := int(o.sent + 1 - o.first)
	to := min(from+maxBatch, len(o.kept))
	o.sent += uint64(to - from)
	for i := range o.kept[from:to] {
		if m := &o.kept[from+i]; o.fits(m, most) {
			o.quiet += m.size()
			batch = append(batch, *m)
		} else {
			skipped = true
		}
	}
	return batch, skipped
}

// fits tells whether the server takes a message that is kept, when it is sent again, too. It
// drops one that it does not. o.mu is held.
func (o *outbox) fits(m *Message, most int) bool {
	if m.Data != nil && len(m.Data)+resentSize > most {
		o.hold(-len(m.Data))
		m.Data = nil
		o.stats.Refused.Add(1)
	}
	return m.Data != nil
}

// asks tells whether others are to be asked to confirm, so that there is room.
func (o *outbox) asks() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.quiet < o.limit/8 {
		return false
	}
	o.quiet = 0
	return true
}

// last is the number of the last that was sent.
func (o *outbox) last() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

// since returns what was sent after a number and is no larger than most, and whether that is
// all of it.
func (o *outbox) since(number uint64, most int) (messages []Message, whole bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole = number >= o.first-1
	for n := max(number, o.first-1); n < o.sent; n++ {
		if m := &o.kept[n+1-o.first]; o.fits(m, most) {
			messages = append(messages, *m)
		} else {
			whole = false
		}
	}
	return messages, whole
}

// confirm forgets what was sent up to a number.
func (o *outbox) confirm(number uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if number = min(number, o.sent); number >= o.first {
		o.drop(int(number + 1 - o.first))
	}
}

// empty tells whether all is sent.
func (o *outbox) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent+1-o.first == uint64(len(o.kept))
}
