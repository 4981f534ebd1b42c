// Package storetest is what every history.Store must pass: Run in its tests, Compare where
// it does as another does, and the benchmarks.
//
// run.go has the contract's parts: entries.go, topics.go and rooms.go by what they are about,
// all.go what holds for every method; store.go is the store as they ask it. compare.go has
// arbitrary operations on two stores, bench.go what they cost.
package storetest
