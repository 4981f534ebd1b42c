package stomp

import "sync/atomic"

// counters are a broker's, from its start.
type counters struct {
	connects, frames, messages, dropped             atomic.Int64
	errors, broken, refused, late, silent           atomic.Int64
	frameLimit, subscriptionLimit, transactionLimit atomic.Int64
	destinationLimit, queueLimit, memoryLimit       atomic.Int64
	expired, handlerErrors                          atomic.Int64
	subscriptions, queued                           atomic.Int64
}

// Stats are a broker's counters. Those that are not "now" count from its start.
type Stats struct {
	Clients       int64 // sessions that are connected now
	Subscriptions int64 // now
	Queues        int64 // with messages or subscribers now
	Queued        int64 // messages in queues now, the unacknowledged included
	Memory        int64 // bytes of queues, transactions, subscriptions and incomplete frames now

	Connects int64 // clients that CONNECTED
	Frames   int64 // from clients
	Messages int64 // MESSAGE frames to clients
	Expired  int64 // messages of queues that were idle for QueueIdle
	Dropped  int64 // frames without effect: for a destination of no prefix or no function, say

	Errors            int64 // ERROR frames: all that follow, and what else a client may not do
	Broken            int64 // frames that are not STOMP
	Refused           int64 // CONNECT, SEND and SUBSCRIBE that a hook or the user table refused
	Silent            int64 // clients without heart-beat
	FrameLimit        int64 // frames over a limit
	SubscriptionLimit int64 // SUBSCRIBE over SubscriptionLimit or PatternLimit
	DestinationLimit  int64 // SEND and SUBSCRIBE with a destination over DestinationLimit
	TransactionLimit  int64 // BEGIN or a frame over a limit of transactions
	QueueLimit        int64 // SEND to a queue that is full, or is one too many
	MemoryLimit       int64 // frames over MemoryLimit
	Late              int64 // sessions without CONNECT within ConnectTimeout: closed without ERROR
	HandlerErrors     int64 // errors and panics of the application's functions
}

// Stats returns the counters as they are now.
func (b *Broker) Stats() Stats {
	s := &b.stats
	return Stats{
		Clients:           int64(b.users.count()),
		Subscriptions:     s.subscriptions.Load(),
		Queues:            int64(b.queues.count()),
		Queued:            s.queued.Load(),
		Memory:            b.memory.used.Load(),
		Connects:          s.connects.Load(),
		Frames:            s.frames.Load(),
		Messages:          s.messages.Load(),
		Expired:           s.expired.Load(),
		Dropped:           s.dropped.Load(),
		Errors:            s.errors.Load(),
		Broken:            s.broken.Load(),
		Refused:           s.refused.Load(),
		Silent:            s.silent.Load(),
		FrameLimit:        s.frameLimit.Load(),
		SubscriptionLimit: s.subscriptionLimit.Load(),
		DestinationLimit:  s.destinationLimit.Load(),
		TransactionLimit:  s.transactionLimit.Load(),
		QueueLimit:        s.queueLimit.Load(),
		MemoryLimit:       s.memoryLimit.Load(),
		Late:              s.late.Load(),
		HandlerErrors:     s.handlerErrors.Load(),
	}
}

// A budget is the memory that a broker may hold for its clients.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take takes n bytes, which give gives back. It returns false, and takes none,
// where that is over the limit.
func (m *budget) take(n int) bool {
	if m.used.Add(int64(n)) > m.limit {
		m.used.Add(-int64(n))
		return false
	}
	return true
}

func (m *budget) give(n int) { m.used.Add(-int64(n)) }
