package main

import (
	"os"
	"testing"
)

// asCommand, set in the environment, makes the test binary the command itself.
const asCommand = "SWITCHBACK_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}
