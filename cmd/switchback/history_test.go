package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"switchback/handler/history/postgrestest"
)

const historyEndpoints = `
stomp: {topics: [/topic]}
endpoints: [{path: /ws, handler: stomp}]
history:
  store: sqlite:history.db
  topics: [{topics: "/topic/kept/*"}]
`

// The environment goes before the file, whose names are relative to its folder.
func TestEnvironmentNamesTheStore(t *testing.T) {
	file := writeFile(t, "conf.yaml", historyEndpoints)
	want := storeAddress{"sqlite", filepath.Join(filepath.Dir(file), "history.db")}
	if conf := mustParse(t, "--config", file); conf.history.store != want {
		t.Errorf("got %+v", conf.history.store)
	}
	t.Setenv("SWITCHBACK_HISTORY", "memory:")
	if conf := mustParse(t, "--config", file); conf.history.store != (storeAddress{"memory", ""}) {
		t.Errorf("got %+v", conf.history.store)
	}
	for _, wrong := range []string{"mysql:x", "sqlite:", "memory:x", "history.db"} {
		t.Setenv("SWITCHBACK_HISTORY", wrong)
		if _, err := parse(t); err == nil || !strings.Contains(err.Error(), "SWITCHBACK_HISTORY is no store; it must be memory:") || strings.Contains(err.Error(), "mysql") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// A file that another process has open is a fault at start, but none to config check.
func TestStoreIsOfOneProcess(t *testing.T) {
	file := writeFile(t, "conf.yaml", historyEndpoints)
	start(t, "serve", "--config", file, "--addr", "127.0.0.1:0")
	status, _, stderr := finish(t, "serve", "--config", file, "--addr", "127.0.0.1:0")
	if status != 1 || !strings.Contains(stderr, "history.store: ") || !strings.Contains(stderr, "another process has the file open") {
		t.Errorf("%d %s", status, stderr)
	}
	if status, _, stderr := finish(t, "config", "check", file); status != 0 || stderr != "" {
		t.Errorf("%d %s", status, stderr)
	}
}

// A database is named by its URL, whose password is in no message.
func TestStoreInPostgreSQL(t *testing.T) {
	db := postgrestest.Start(t)
	conf := writeFile(t, "conf.yaml", strings.ReplaceAll(historyEndpoints, "sqlite:history.db", strconv.Quote(db.URL)))
	start(t, "serve", "--config", conf, "--addr", "127.0.0.1:0")
	db.Kill()
	status, _, stderr := finish(t, "serve", "--config", conf, "--addr", "127.0.0.1:0")
	if status != 1 || !strings.Contains(stderr, "history.store: ") || strings.Contains(stderr, "s3cret") {
		t.Errorf("%d %s", status, stderr)
	}
}
