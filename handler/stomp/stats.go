package stomp

import (
	"sync/atomic"

	"switchback/session/memory"
)

// Stats are a broker's counters, which are its own to change. All but the first five, which
// are of now, only rise.
type Stats struct {
	Clients       atomic.Int64 `metric:"gauge"`              // sessions that are connected
	Subscriptions atomic.Int64 `metric:"gauge"`              // of clients
	Queues        atomic.Int64 `metric:"gauge"`              // with messages or subscribers
	Queued        atomic.Int64 `metric:"gauge"`              // messages in queues, the unacknowledged included
	Memory        atomic.Int64 `metric:"gauge" unit:"bytes"` // bytes of queues, transactions, subscriptions and incomplete frames

	Connects atomic.Int64 // clients that CONNECTED
	Frames   atomic.Int64 // from clients
	Messages atomic.Int64 // MESSAGE frames to clients
	Expired  atomic.Int64 // messages of queues that were idle for QueueIdle
	Dropped  atomic.Int64 // frames without effect: for a destination of no prefix or no function, say
	Foreign  atomic.Int64 // publications of other nodes left out, since they are no MESSAGE

	Renewed  atomic.Int64 // identities by a token of a frame: see Options.Renew
	Expiries atomic.Int64 // clients that have ended with their identity

	Errors            atomic.Int64 // ERROR frames: all that follow, and what else a client may not do
	Broken            atomic.Int64 // frames that are not STOMP
	Refused           atomic.Int64 // CONNECT, SEND and SUBSCRIBE that Rules, a hook or the user table refused
	Silent            atomic.Int64 // clients without heart-beat
	FrameLimit        atomic.Int64 // frames over a limit
	UserLimit         atomic.Int64 // CONNECT over UserLimit
	PublishRate       atomic.Int64 // SEND over PublishRate
	SubscriptionLimit atomic.Int64 // SUBSCRIBE over SubscriptionLimit or PatternLimit
	DestinationLimit  atomic.Int64 // SEND and SUBSCRIBE with a destination over DestinationLimit
	TransactionLimit  atomic.Int64 // BEGIN or a frame over a limit of transactions
	QueueLimit        atomic.Int64 // SEND to a queue that is full, or is one too many
	Unavailable       atomic.Int64 // SEND and SUBSCRIBE refused since what is kept could not be stored or read
	MemoryLimit       atomic.Int64 // frames refused at the limit of package memory
	Late              atomic.Int64 // sessions without CONNECT within ConnectTimeout: closed without ERROR
	HandlerErrors     atomic.Int64 // errors and panics of the application's functions
}

// Stats are the broker's counters.
func (b *Broker) Stats() *Stats { return &b.stats }

// A budget is memory that a broker holds for its clients, within that of the process.
type budget struct {
	share *memory.Share
	used  *atomic.Int64 // of the broker's Stats
}

// take takes n bytes, which give gives back. It returns false, and takes none,
// where that is over the limit.
func (m *budget) take(n int) bool {
	if !m.share.Take(n) {
		return false
	}
	m.used.Add(int64(n))
	return true
}

func (m *budget) give(n int) {
	m.share.Give(n)
	m.used.Add(-int64(n))
}
