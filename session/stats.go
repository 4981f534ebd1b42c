package session

import (
	"sync/atomic"
)

// Stats are a registry's counters, which are its own to change. All but the first two
// only rise. Tags say so to package web/admin, which makes metrics of the fields.
type Stats struct {
	Sessions atomic.Int64 `metric:"gauge"`              // that live now, those included that have closed less than the disconnect delay ago
	Memory   atomic.Int64 `metric:"gauge" unit:"bytes"` // bytes in all queues and inboxes now, without the first 512 of each session
	Opened   atomic.Int64 // sessions opened
	Closed   Codes        // sessions closed, by close code
	Refused  atomic.Int64 // sessions refused for a limit, or while shutting down
	Slow     atomic.Int64 // sessions closed at QueueLimit: their clients did not read
	Stuck    atomic.Int64 // sessions closed at InboxTimeout: their handlers did not end
	Crowded  atomic.Int64 // sessions refused for UserLimit, which are among those Refused
	Fast     atomic.Int64 // sessions closed at MessageRate, ByteRate or PublishRate: their clients sent too much
	Full     atomic.Int64 // messages refused at the limit of package memory: from clients of busy handlers, and to clients
	Handler  Histogram    `unit:"seconds"` // how long handlers took for a message, of one a second
	Delivery Histogram    `unit:"seconds"` // from when a publication is given out until the socket of each client has taken it, of one a second

	HeartbeatsLate atomic.Int64 // heartbeats that left over a second after they were due, or not at all: the server is busy, or the client does not read

	SessionLimit atomic.Int64 // sessions refused for SessionLimit, as Refused counts, too
	AddressLimit atomic.Int64 // sessions refused for AddressLimit, as Refused counts, too
}
