// Package history keeps what is published on topics, so that who comes late finds it and who
// comes back misses nothing.
//
// history.go has what is kept and how it is named, store.go what keeps it. The stores are
// packages of their own: memory, sqlite and postgres.
package history
