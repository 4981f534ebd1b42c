package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// asCommand, set in the environment, makes the test binary the command itself.
const asCommand = "SWITCHBACK_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	if run := os.Getenv(asPublisher); run != "" {
		publish(run)
		return
	}
	linked = errors.Join(goleak.Find(), noFiles())
	flag.Set("test.parallel", "8") // the tests that are parallel wait for most of their time
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		os.RemoveAll(builtDir)
		os.Exit(status)
	}))
}

// linked is what the packages that the command has have begun by themselves.
var linked error

// Engines, stores and all else that the command has start no goroutine and open no file and no
// listener before they are asked to.
func TestLinkingStartsNothing(t *testing.T) {
	if linked != nil {
		t.Error(linked)
	}
}

// noFiles returns an error that tells of files of this process, but for those that it has from
// its parent, and the runtime's.
func noFiles() error {
	files := func(process string) map[string]string { // by number
		names := make(map[string]string)
		numbers, _ := os.ReadDir("/proc/" + process + "/fd") // none where there is no such directory
		for _, n := range numbers {
			if name, err := os.Readlink("/proc/" + process + "/fd/" + n.Name()); err == nil {
				names[n.Name()] = name
			}
		}
		return names
	}
	inherited := slices.Collect(maps.Values(files(strconv.Itoa(os.Getppid()))))
	var errs []error
	for number, name := range files("self") {
		switch {
		case number == "0", number == "1", number == "2", slices.Contains(inherited, name):
		case strings.HasPrefix(name, "anon_inode:[event"), strings.HasPrefix(name, "/sys/fs/cgroup/"): // of the runtime
		default:
			errs = append(errs, fmt.Errorf("a file is open: %s", name))
		}
	}
	return errors.Join(errs...)
}
