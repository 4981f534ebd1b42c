package main

import (
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
	goleak.VerifyTestMain(m)
}
