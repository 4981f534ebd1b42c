// Package sqlite keeps history in a file, by SQLite.
//
// store.go opens it and has what all methods share, schema.go its tables and how they come to
// be; entries.go has the methods for topics and what is published, rooms.go those for rooms and
// what is read.
package sqlite
