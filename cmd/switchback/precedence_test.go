package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"switchback/web"
)

// parse is what serve makes of its arguments.
func parse(t *testing.T, args ...string) (config, error) {
	t.Helper()
	var c commands
	app, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Parse(append([]string{"serve"}, args...)); err != nil {
		t.Fatal(err)
	}
	return c.Serve.config()
}

func mustParse(t *testing.T, args ...string) config {
	t.Helper()
	conf, err := parse(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagGoesBeforeEnvironmentBeforeFileBeforeDefault(t *testing.T) {
	file := writeFile(t, "file.yaml", `
addr: 127.0.0.1:3
client_url: /file.js
log_level: warn
log_format: text
shutdown_timeout: 3s
`)
	type row struct{ addr, clientURL, logLevel, logFormat, shutdown string }
	rows := []struct {
		name            string
		flag, env, file bool
		want            row
	}{
		{"nothing", false, false, false, row{"127.0.0.1:8081", "", "info", "text", "10s"}},
		{"file", false, false, true, row{"127.0.0.1:3", "/file.js", "warn", "text", "3s"}},
		{"environment", false, true, false, row{"127.0.0.1:2", "/env.js", "error", "json", "2s"}},
		{"environment and file", false, true, true, row{"127.0.0.1:2", "/env.js", "error", "json", "2s"}},
		{"flag and file", true, false, true, row{"127.0.0.1:1", "/flag.js", "debug", "text", "1s"}},
		{"all", true, true, true, row{"127.0.0.1:1", "/flag.js", "debug", "text", "1s"}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			var args []string
			if r.flag {
				args = append(args, "--addr=127.0.0.1:1", "--client-url=/flag.js", "--log-level=debug", "--log-format=text", "--shutdown-timeout=1s")
			}
			if r.env {
				t.Setenv("SWITCHBACK_ADDR", "127.0.0.1:2")
				t.Setenv("SWITCHBACK_CLIENT_URL", "/env.js")
				t.Setenv("SWITCHBACK_LOG_LEVEL", "error")
				t.Setenv("SWITCHBACK_LOG_FORMAT", "json")
				t.Setenv("SWITCHBACK_SHUTDOWN_TIMEOUT", "2s")
			}
			if r.file {
				args = append(args, "--config="+file)
			}
			conf := mustParse(t, args...)
			if got := (row{conf.addr, conf.clientURL, conf.logLevel.String(), conf.logFormat, conf.shutdownTimeout.String()}); got != r.want {
				t.Errorf("got %+v, want %+v", got, r.want)
			}
		})
	}
}

func TestEnvironmentNamesTheFile(t *testing.T) {
	t.Setenv("SWITCHBACK_CONFIG", writeFile(t, "file.yaml", "shutdown_timeout: 7s"))
	if conf := mustParse(t); conf.shutdownTimeout != 7*time.Second {
		t.Errorf("got %v", conf.shutdownTimeout)
	}
}

func TestClientURLOfTheFlagIsForEveryEndpoint(t *testing.T) {
	file := writeFile(t, "file.yaml", `
client_url: /all.js
endpoints:
  - {path: /a, handler: echo, client_url: /a.js}
  - {path: /b, handler: echo}
`)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--config", file}, []string{"/a.js", "/all.js"}},
		{[]string{"--config", file, "--client-url", "/flag.js"}, []string{"/flag.js", "/flag.js"}},
	} {
		conf := mustParse(t, c.args...)
		for i, e := range conf.allEndpoints() {
			if got := e.clientURL(conf.defaultClientURL()); got != c.want[i] {
				t.Errorf("%v: %s loads %q, want %q", c.args, e.path, got, c.want[i])
			}
		}
	}
}

func TestIframePagesLoadTheEmbeddedClientWhereThePageIs(t *testing.T) {
	demo, listed := mustParse(t), mustParse(t, "--config=../../testdata/conformance.yaml")
	if got, want := demo.defaultClientURL(), web.ClientPath(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := listed.defaultClientURL(); got != "" {
		t.Errorf("got %q where no page is", got)
	}
}

func TestBadFlagIsAUsageErrorThatSaysWhatIsAllowed(t *testing.T) {
	_, err := parse(t, "--addr", "localhost")
	const want = `--addr (or SWITCHBACK_ADDR) is "localhost"; it must be a host and port such as 127.0.0.1:8081, or :8081 for all interfaces`
	var usage usageError
	if !errors.As(err, &usage) || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
