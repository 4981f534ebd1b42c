// Package postgres keeps history in PostgreSQL, where several nodes may share it.
//
// store.go connects and has what all methods share, schema.go the tables and how they come to
// be; entries.go has the methods for topics and what is published, rooms.go those for rooms and
// what is read.
package postgres
