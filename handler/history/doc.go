// Package history keeps what is published on topics, so that who comes late finds it and who
// comes back misses nothing.
//
// A [Log] stands between publishers, a [Store] and a handler.Hub: Publish stores, by the
// [Policy] of a topic, and then delivers, and [Log.CatchUp] brings a subscriber up to the
// present, from which its [Cursor] takes on. The stores are packages of their own.
//
// history.go has what is kept and how it is named, store.go what keeps it. log.go takes
// publications, commit.go stores them, topic.go delivers them in their order, cursor.go is for
// who comes late, outage.go for a store that fails, and keep.go removes what is old.
package history
