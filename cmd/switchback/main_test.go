package main

import (
	"flag"
	"os"
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
	flag.Set("test.parallel", "8") // the tests that are parallel wait for most of their time
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		os.RemoveAll(builtDir)
		os.Exit(status)
	}))
}
