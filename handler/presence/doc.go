// Package presence knows who is in a topic: a user is, from the first of their sessions
// that joins it until the last has left.
//
// presence.go has what is asked for, local.go keeps it for one node.
package presence
