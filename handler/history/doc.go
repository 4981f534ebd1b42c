// Package history keeps what is published on topics, so that who comes late finds it and who
// comes back misses nothing.
//
// A [Log] stands between publishers, a [Store] and a handler.Hub: Publish stores, by the
// [Policy] of a topic, and then delivers, and [Log.CatchUp] brings a subscriber up to the
// present, from which its [Cursor] takes on. The stores are packages of their own: memory,
// sqlite and postgres. Begin with [New], which is given one of them and a Hub, and with its
// example. Packages stomp and chat do all that for their clients.
//
// Several nodes may have one store, where it is PostgreSQL: each has a Log of its own over it,
// and the Hub's engine carries what one has stored to the others. Who subscribes by
// [Log.Subscribe] gets all of a topic in the order of its offsets, whatever the node. What is not
// there when something behind it is, is waited for, for 200 ms, and then read from the store; so
// is the last of all topics that have subscribers on a node when the engine tells it of a loss.
// While the store fails that waits, for a minute; then there is a gap, of which Cursors tell.
//
// history.go has what is kept and how it is named, store.go what keeps it, policy.go how
// much. log.go takes publications, commit.go stores them, topic.go delivers them in their
// order, follow.go those of all nodes, and mend.go fills what is missing between;
// cursor.go is for who comes late, outage.go for a store that fails, and keep.go removes
// what is old.
package history
