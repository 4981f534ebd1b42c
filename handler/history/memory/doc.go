// Package memory keeps history in memory, bounded: it ends with the process.
//
// store.go has what all methods share, and what is counted; entries.go has the methods for
// topics and what is published, rooms.go those for rooms and what is read.
package memory
