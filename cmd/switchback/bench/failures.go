package bench

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"switchback/transport/client"
)

// failures counts what went wrong, by why. Its methods may be called from any
// goroutine.
type failures struct {
	mu     sync.Mutex
	counts map[string]int
}

// maxFailures is the number of reasons that are told apart.
const maxFailures = 16

func (f *failures) add(what string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	reason := what + ": " + cause(err)
	if _, known := f.counts[reason]; !known && len(f.counts) >= maxFailures {
		reason = what + ": other reasons"
	}
	if f.counts == nil {
		f.counts = map[string]int{}
	}
	f.counts[reason]++
}

func (f *failures) all() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}

// cause is what is at the bottom of an error, without the addresses and ports
// that make each of them different, and the code that a session ended with.
func cause(err error) string {
	var end *client.CloseError
	root := bottom(err)
	if !errors.As(err, &end) {
		return root.Error()
	}
	if root == error(end) {
		return fmt.Sprintf("%d %s", end.Code, end.Reason)
	}
	return fmt.Sprintf("%d %s: %v", end.Code, end.Reason, root)
}

// bottom follows the last of the errors that each one wraps.
func bottom(err error) error {
	for {
		var next error
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[len(all)-1]
			}
		}
		if next == nil {
			return err
		}
		err = next
	}
}
