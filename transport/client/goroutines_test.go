package client

import (
	"runtime"
	"strings"
)

// goroutines is the number of goroutines with a function in their stack whose
// name contains part.
func goroutines(part string) (n int) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, g := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(g, part) {
			n++
		}
	}
	return n
}
