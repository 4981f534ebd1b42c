package storetest_test

import (
	"testing"

	"switchback/handler/history/memory"
	"switchback/handler/history/storetest"
)

// A store that is compared with another of its kind is the same.
func FuzzCompare(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(storetest.Script(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		storetest.Compare(t, script, memory.New(memory.Options{}), memory.New(memory.Options{}))
	})
}
