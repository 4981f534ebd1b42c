// Package sqlite keeps history in a file, by SQLite.
//
// store.go opens it and has what all methods share, schema.go its tables and how they come to
// be; entries.go has the methods for topics and what is published, rooms.go those for rooms and
// what is read.
//
// # What limits appends
//
// BenchmarkAppend, with 100 publishers who wait for their entries, stores 9,400 to 10,300 a
// second on two cores; a batch is of about 55, since while it is stored the others gather.
// Half of that is the index of IDs: without it as many are stored in 0.5 to 0.6 of the time.
// Entries of a batch are beside each other in their topics, but their IDs are not: each
// publisher's changes a page of its own, and each page is written to the log with its checksum
// (walWriteOneFrame, 28 % of the time). To find an ID without a scan, any index that is in the
// order of IDs costs that. Batches of 80 instead of 55, which a pause before each gives, are
// worth a tenth to a third with the index.
package sqlite
