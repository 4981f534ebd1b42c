package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"switchback/handler/engine/enginetest"
)

// Whatever the README puts in the file, the command reads.
func TestReadmeMapsSpringToKeysThatThereAre(t *testing.T) {
	table := readmePart(t, "\n### From Spring\n", "\n## ")
	snippet := regexp.MustCompile("`([a-z_]+: [^`]+)`")
	rows, found := 0, 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		columns := strings.Split(line, "|")
		if len(columns) != 5 {
			t.Fatalf("%d columns: %s", len(columns)-2, line)
		}
		rows++
		for _, m := range snippet.FindAllStringSubmatch(columns[2], -1) {
			found++
			var errs []string
			for _, file := range []string{"%", "stomp: {%}", "endpoints: [{path: /a, handler: stomp, %}]", "endpoints: [{handler: stomp, %}]"} {
				conf := defaultConfig()
				if err := readYAML("f", []byte(strings.Replace(file, "%", m[1], 1)), conf.settings(".")); err != nil {
					errs = append(errs, err.Error())
				}
			}
			if len(errs) == 4 {
				t.Errorf("%s: %s", m[1], strings.Join(errs, "\n"))
			}
		}
	}
	if rows < 30 || found < 20 {
		t.Errorf("%d rows, %d snippets", rows, found)
	}
}

// The login that the README shows is the one that is compiled.
func TestReadmeShowsTheExampleOfALogin(t *testing.T) {
	shown := readmePart(t, "```go\ntype claims struct", "```")
	compiled, err := os.ReadFile("../../handler/stomp/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	indented := strings.ReplaceAll("\ttype claims struct"+strings.TrimSpace(shown), "\n", "\n\t")
	if !strings.Contains(string(compiled), strings.ReplaceAll(indented, "\n\t\n", "\n\n")) {
		t.Errorf("ExampleLoginFunc has not:\n%s", indented)
	}
}

// Whoever has the binary and the README sees a message arrive: the file and the commands
// are run as they stand, but for the ports, and the page opens in a browser that we can ask.
func TestReadmesFirstTryEndsOnThePage(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("not run: the README's first try, because there is no openssl; apt-get install openssl")
	}
	try := readmePart(t, "\n## A first try\n", "\n## ")
	_, file, _ := strings.Cut(try, "```yaml\n")
	file, _, _ = strings.Cut(file, "```")
	var commands []string
	for line := range strings.Lines(try) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			commands = append(commands, command)
		}
	}
	if len(commands) != 5 {
		t.Fatalf("%d commands, not five: %q", len(commands), commands)
	}
	var ports []string
	for _, standing := range []string{"127.0.0.1:8081", "127.0.0.1:8082"} {
		ports = append(ports, standing, enginetest.FreeAddress(t))
	}
	ours := strings.NewReplacer(ports...)

	dir, programs := t.TempDir(), t.TempDir()
	opened := filepath.Join(t.TempDir(), "opened")
	for name, text := range map[string]string{
		filepath.Join(dir, "try.yaml"):      ours.Replace(file),
		filepath.Join(programs, "xdg-open"): "#!/bin/sh\necho \"$1\" >" + opened + "\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	shell := func(script string) string {
		t.Helper()
		out, err := os.Create(filepath.Join(t.TempDir(), "out")) // a pipe would stay open with the server
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd := exec.Command("bash", "-e", "-c", script)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
		cmd.Env = []string{"PATH=" + programs + ":" + filepath.Dir(binaryFile(t)) + ":" + os.Getenv("PATH")}
		err = cmd.Run()
		text, _ := os.ReadFile(out.Name())
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return string(text)
	}
	t.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(dir, "pid")); err == nil {
			shell("kill " + string(text))
		}
	})
	shell(ours.Replace(strings.Join(commands[:4], "")) + "echo $! >pid\n")
	url, err := os.ReadFile(opened)
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", ports[3]); err == nil { // the second to listen
			c.Close()
			break
		} else if time.Since(begun) > patience {
			t.Fatal(err)
		}
	}
	p := openPage(t, browser, strings.TrimSpace(string(url)))
	p.is("open")
	if got := shell(ours.Replace("curl() { command curl -sS \"$@\"; }\n" + commands[4])); got != `{"published":1}`+"\n" {
		t.Errorf("got %q", got)
	}
	p.see("message", "Hello")
	p.quiet()
	if got := fetch(t, http.DefaultClient, "http://"+ports[1]+"/broadcast/0/s/eventsource"); !strings.HasPrefix(got, "401 ") {
		t.Errorf("without a token: %q", got)
	}
}

// readmePart is what is between two texts.
func readmePart(t *testing.T, begin, end string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("no %q", begin)
	}
	part, _, _ = strings.Cut(part, end)
	return part
}
