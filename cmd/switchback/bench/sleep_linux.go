package bench

import (
	"syscall"
	"time"
)

// sleep is time.Sleep, whose end is up to a millisecond late where nothing else goes on: the
// runtime waits for files, in whole milliseconds. A short one has a thread of its own.
func sleep(d time.Duration) {
	if d >= time.Millisecond {
		time.Sleep(d - time.Millisecond)
		return
	}
	t := syscall.NsecToTimespec(int64(d))
	syscall.Nanosleep(&t, nil)
}
