package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
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
