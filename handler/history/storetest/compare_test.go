package storetest_test

import (
	"math/rand/v2"
	"testing"

	"switchback/handler/history/memory"
	"switchback/handler/history/storetest"
)

// A store that is compared with itself is the same; scripts reach it whole.
func TestCompare(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	script := make([]byte, 4000)
	for i := range script {
		script[i] = byte(random.Uint32())
	}
	storetest.Compare(t, script, memory.New(memory.Options{}), memory.New(memory.Options{}))
}
