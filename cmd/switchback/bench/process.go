package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A process is a process on this machine, by its id, as proc(5) shows it.
type process int

var errNoProc = errors.New("--pid needs a system with /proc, such as Linux")

// check tells why there is nothing to know about a process.
func (p process) check() error {
	if runtime.GOOS != "linux" {
		return errNoProc
	}
	_, err := p.cpu()
	return err
}

// read reads one of the files of the process.
func (p process) read(name string) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("--pid %d: there is no such process, or no longer", p)
	}
	return string(b), err
}

// tick is the unit of the times in stat: USER_HZ, which is 100 for every
// program on Linux.
const tick = 10 * time.Millisecond

// cpu is the time that all threads of the process have used.
func (p process) cpu() (time.Duration, error) {
	stat, err := p.read("stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name before may hold anything
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is not understood", p)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err, err2)
}

// memory is the resident set of the process, in bytes. It is exact where the
// system allows to count the pages: what status has may be off by as much as
// some processors have yet to add.
func (p process) memory() (int64, error) {
	if rollup, err := p.read("smaps_rollup"); err == nil {
		return kilobytes(rollup, "Rss:")
	}
	return p.roughMemory()
}

// roughMemory is memory as the system has it at hand.
func (p process) roughMemory() (int64, error) {
	status, err := p.read("status")
	if err != nil {
		return 0, err
	}
	return kilobytes(status, "VmRSS:")
}

// kilobytes is the value of a line such as "VmRSS:  1234 kB", in bytes.
func kilobytes(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc has no %s of the process", name)
}

// spareFiles is the number of files that the process may open yet.
func (p process) spareFiles() (int, error) {
	limits, err := p.read("limits")
	if err != nil {
		return 0, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(limits, "Max open files")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, fmt.Errorf("/proc/%d/limits is not understood", p)
	}
	limit, err := strconv.Atoi(fields[0])
	return limit - len(open), err
}
