package history

import (
	"sync/atomic"
	"time"
)

// Stats are a Log's counters. All but the first three, which are of now, only rise.
type Stats struct {
	Pending atomic.Int64 `metric:"gauge" unit:"bytes"` // bytes of publications that wait for the store
	Topics  atomic.Int64 `metric:"gauge"`              // topics that the log knows at the moment
	Held    atomic.Int64 `metric:"gauge" unit:"bytes"` // bytes of publications that wait for those before them, of other nodes

	Stored     atomic.Int64 // publications that the store has taken
	Batches    atomic.Int64 // calls to the store that took them
	Duplicates atomic.Int64 // publications whose ID their topic had already
	Filled     atomic.Int64 // publications delivered late: stored, though the store had reported an error
	Lost       atomic.Int64 // publications of fast topics that were delivered, and refused by the store
	Trimmed    atomic.Int64 // publications that are no longer kept
	CatchUps   atomic.Int64 // subscribers that were brought up to the present
	CaughtUp   atomic.Int64 // publications that those were given
	Gaps       atomic.Int64 // of those subscribers: told that they have missed something

	Holes     atomic.Int64 // times that a publication came before one of another node that has the offset before
	Fetched   atomic.Int64 // publications that were read from the store, since they had not come from their node
	Abandoned atomic.Int64 // holes that could not be filled, since the store failed or had nothing: who follows is told of a gap

	Outages     atomic.Int64 // of the store: from its first error until it takes publications again
	Errors      atomic.Int64 // calls to the store that failed
	Uncarried   atomic.Int64 // stored publications that the engine did not take to other nodes
	Busy        atomic.Int64 // publications refused at PendingLimit or TopicLimit
	Full        atomic.Int64 // publications refused by a store that is full
	Unavailable atomic.Int64 // publications refused while the store fails
}

// Stats are the log's counters.
func (l *Log) Stats() *Stats { return &l.stats }

// Lag is how long the oldest publication that has been delivered, and is of a fast topic,
// waits for the store; 0: none does.
func (l *Log) Lag() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.late) == 0 {
		return 0
	}
	return time.Since(l.late[0].given)
}
