package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

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
	t.Parallel()
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
	t.Parallel()
	db := postgrestest.Start(t)
	conf := writeFile(t, "conf.yaml", strings.ReplaceAll(historyEndpoints, "sqlite:history.db", strconv.Quote(db.URL)))
	start(t, "serve", "--config", conf, "--addr", "127.0.0.1:0")
	db.Kill()
	status, _, stderr := finish(t, "serve", "--config", conf, "--addr", "127.0.0.1:0")
	if status != 1 || !strings.Contains(stderr, "history.store: ") || strings.Contains(stderr, "s3cret") {
		t.Errorf("%d %s", status, stderr)
	}
}

// A file of the store is relative to that of the configuration, and what is published on
// topics that it names is there for the commands, and after a kill.
func TestCommandsReadAndTrimHistory(t *testing.T) {
	t.Parallel()
	_, url := startAdmin(t, historyEndpoints)
	for _, text := range []string{"one & <two>", "three", "four\n5"} {
		if status, _, stderr := administer(t, url, text, "publish", "/topic/kept/a", "--text"); status != 0 {
			t.Fatal(stderr)
		}
	}
	administer(t, url, "", "publish", "/topic/else", "1")
	ask := func(args ...string) string {
		t.Helper()
		status, stdout, stderr := administer(t, url, "", append([]string{"history"}, args...)...)
		if status != 0 || stderr != "" {
			t.Errorf("%v: %d %s", args, status, stderr)
		}
		return stdout
	}
	expect := func(what, got, want string) {
		t.Helper()
		if !regexp.MustCompile(`^(?s:` + want + `)$`).MatchString(got) {
			t.Errorf("%s:\n%s\nwant %s", what, got, want)
		}
	}
	expect("topics", ask(), `TOPIC +MESSAGES +BYTES +LAST\n/topic/kept/a +3 +\d+ +\w+/3\n`)
	expect("topics as JSON", ask("--json"), `\{"topic":"/topic/kept/a","first":"\w+/1","last":"\w+/3","count":3,"bytes":\d+\}\n`)
	expect("a topic", ask("/topic/kept/a", "--last", "2"), `OFFSET +AT +USER +TEXT\n\w+/2 +20\S+Z +- +"three"\n\w+/3 +20\S+Z +- +"four\\n5"\n`)
	expect("an export", ask("/topic/kept/a", "--json"), `\{"offset":"\w+/1",.*one & <two>.*\n\{"offset":"\w+/2",.*\n\{"offset":"\w+/3",[^\n]*\n`)
	expect("the end of one", ask("/topic/kept/a", "--json", "--last", "1"), `\{"offset":"\w+/3",[^\n]*\n`)
	expect("a trim", ask("/topic/kept/a", "--keep-count", "2"), `kept 2 messages, \d+ bytes\n`)

	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"/topic/else"}, 1, "Nothing is kept of that topic"},
		{[]string{"--last", "1"}, 2, "name it"},
		{[]string{"/topic/kept/a", "--keep-age", "1h", "--json"}, 2, "leave --last and --json out"},
		{[]string{"/topic/kept/a", "--last=-1"}, 2, `--last is "-1"; it must be a whole number from 1`},
		{[]string{"/topic/kept/a", "--keep-age", "5"}, 2, `--keep-age is "5"; it must be a duration such as 10s or 1m30s`},
		{[]string{"/topic/kept/a", "--keep-bytes", "5K"}, 2, `--keep-bytes is "5K"; it must be a number of bytes from 1, such as 4096 or 128KiB`},
	} {
		if status, _, stderr := administer(t, url, "", append([]string{"history"}, c.args...)...); status != c.status || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d %s", c.args, status, stderr)
		}
	}

}

// Who names a topic that nothing keeps is told, and nobody else.
func TestTopicsOfWhichNothingIsKeptAreTold(t *testing.T) {
	t.Parallel()
	for topics, want := range map[string]bool{
		"/alarm/*": true, "/broadcast": true, "/app/x": true, "/chats/r": true, "/alarm": true,
		"/topic/a": false, "/topic/**": false, "/queue/{x}": false, "/**": false, "/t*/x": false,
		"/user/{user}/queue/**": false, "/user/kim/queue/a": false, "/chat/*": false, "/chat/lobby": false, "/talk": false,
	} {
		conf := defaultConfig()
		file := "history: {topics: [{topics: '" + topics + "'}]}\nendpoints: [{path: /ws, handler: stomp}, {path: /broadcast, handler: broadcast}, " +
			"{path: /chat, handler: chat}, {path: /talk, handler: chat, chat: {protocol: text}}]"
		if err := conf.readFile(writeFile(t, "conf.yaml", file)); err != nil {
			t.Fatal(err)
		}
		conf.history.dry = true
		var log bytes.Buffer
		s, err := newServer(conf, newLogger(&log, "text", zapcore.WarnLevel))
		if err != nil {
			t.Fatal(err)
		}
		s.shutdown()
		if got := strings.Contains(log.String(), "nothing is kept"); got != want {
			t.Errorf("%s: %v\n%s", topics, got, log.String())
		}
	}
}
