package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestHelpSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := finish(t, "--help")
	if status != 0 || stderr != "" || !strings.Contains(stdout, "serve") || !strings.Contains(stdout, "version") {
		t.Errorf("%d\n%s%s", status, stdout, stderr)
	}
	status, stdout, stderr = finish(t, "serve", "--help")
	for _, flag := range []string{"addr", "config", "client-url", "log-level", "log-format", "shutdown-timeout"} {
		variable := "$SWITCHBACK_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		if !strings.Contains(stdout, "--"+flag) || !strings.Contains(stdout, variable) {
			t.Errorf("no --%s or no %s", flag, variable)
		}
	}
	if status != 0 || stderr != "" {
		t.Errorf("%d\n%s", status, stderr)
	}
}

func TestVersionNamesTheBuild(t *testing.T) {
	status, stdout, stderr := finish(t, "version")
	if status != 0 || stderr != "" || !regexp.MustCompile(`^switchback \S+ \(go1\.\S+, \w+/\w+\)\n$`).MatchString(stdout) {
		t.Errorf("%d\n%s%s", status, stdout, stderr)
	}
}

func TestWrongUseExitsWithTwo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Parallel()
	for _, args := range [][]string{
		{}, {"sreve"}, {"serve", "--bogus"}, {"serve", "file.yaml"}, {"serve", "--addr", "localhost"}, {"serve", "--shutdown-timeout", "0"}, {"serve", "--log-format", "xml"},
	} {
		status, stdout, stderr := finish(t, args...)
		if status != 2 || stdout != "" || !strings.HasPrefix(stderr, "switchback: ") || !strings.Contains(stderr, "--help") {
			t.Errorf("%q: %d\n%s%s", args, status, stdout, stderr)
		}
	}
}

func TestAddressThatCannotBeSaysWhatToDo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nodes := writeFile(t, "nodes.yaml", "cluster: {secret_file: "+writeFile(t, "secret", clusterSecret)+"}\nengine: {nats: embedded}\nendpoints: [{path: /ws, handler: stomp}]")
	taken, elsewhere := ln.Addr().String(), "192.0.2.1:8081" // RFC 5737
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--addr", taken}, taken + " is in use by another program; stop it, or choose another address with --addr, " +
			"SWITCHBACK_ADDR or addr in the configuration"},
		{[]string{"--addr", elsewhere}, elsewhere + " is no address of this machine; choose one that is with --addr, " +
			"SWITCHBACK_ADDR or addr in the configuration"},
		{[]string{"--addr", "127.0.0.1:0", "--admin-addr", taken}, taken + " is in use by another program; stop it, or choose another address with --admin-addr, " +
			"SWITCHBACK_ADMIN_ADDR or admin.addr in the configuration"},
		{[]string{"--addr", "127.0.0.1:0", "--cluster-listen", taken, "--config", nodes}, taken + " is in use by another program; stop it, or choose another address with --cluster-listen, " +
			"SWITCHBACK_CLUSTER_LISTEN or engine.routes.listen in the configuration"},
	} {
		if status, stdout, stderr := finish(t, append([]string{"serve"}, c.args...)...); status != 1 || stdout != "" || stderr != "switchback: "+c.want+"\n" {
			t.Errorf("%q: %d\n%s%s", c.args, status, stdout, stderr)
		}
	}
}

// What only the endpoint itself can refuse is told with its place, too.
func TestBadConfigEndsTheCommandBeforeItListens(t *testing.T) {
	t.Chdir(t.TempDir())
	for text, want := range map[string]string{
		"adr: :80": "conf.yaml:1: adr is not a known key; did you mean addr?\n",
		"page: true\nendpoints:\n  - {path: /, handler: echo}": "conf.yaml:3: endpoints[0]: " +
			"the path / is the page's; choose another, or set page to false\n",
		"endpoints:\n  - {path: /a, handler: echo, implementation: igm, queue_limit: 1}\n  - {path: /b, handler: echo, implementation: igm, batch_limit: 1}": "" +
			"conf.yaml:2: endpoints[0]: igm: this implementation has no QueueLimit\nswitchback: conf.yaml:3: endpoints[1]: igm: this implementation has no BatchLimit\n",
	} {
		if err := os.WriteFile("conf.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := finish(t, "serve", "--config", "conf.yaml", "--addr", "127.0.0.1:0")
		if status != 1 || stdout != "" || stderr != "switchback: "+want {
			t.Errorf("%s\n%d\n%s%s", text, status, stdout, stderr)
		}
	}
	if status, _, stderr := finish(t, "serve", "--config", filepath.Join("nowhere", "conf.yaml")); status != 1 ||
		stderr != "switchback: configuration: open nowhere/conf.yaml: no such file or directory\n" {
		t.Errorf("%d\n%s", status, stderr)
	}
}
