// Package storetest is what every history.Store must pass: Run in its tests, Compare where
// it does as another does, and the benchmarks.
//
// run.go has the contract, compare.go arbitrary operations on two stores, bench.go what
// they cost.
package storetest
