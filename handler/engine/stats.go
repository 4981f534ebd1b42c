package engine

import "sync/atomic"

// Stats are an engine's counters, which are its own to change. All but the first four, which
// are of now, only rise.
type Stats struct {
	Connected   atomic.Int64 `metric:"gauge"`              // 1 while the server is connected, or 0
	Nodes       atomic.Int64 `metric:"gauge"`              // other nodes that are known
	Outbox      atomic.Int64 `metric:"gauge" unit:"bytes"` // bytes of publications that are kept: not sent, or not confirmed
	Unconfirmed atomic.Int64 `metric:"gauge"`              // publications that are kept: the lag of the slowest node

	Connections atomic.Int64 // connections to the server, so far
	Published   atomic.Int64 // publications taken for other nodes
	Received    atomic.Int64 // publications of other nodes that were delivered here
	Refused     atomic.Int64 // publications refused: the outbox was full, or they were too large for the server
	Resent      atomic.Int64 // publications sent again to a node that may have missed them
	Resyncs     atomic.Int64 // times that another node was asked for what may have been missed
	Late        atomic.Int64 // publications left out that had come before, or that are asked for
	Broken      atomic.Int64 // messages of others that are no packets of a node, or of a newer one
	Crowded     atomic.Int64 // announcements of nodes over the 256 that may be known
	Losses      atomic.Int64 // times that publications may have been missed for good
}
