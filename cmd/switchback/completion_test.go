package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What a shell is told for a line that ends at the cursor.
func TestWordsAreCompleted(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Chdir(t.TempDir())
	for _, name := range []string{"chat.yaml", "other.yaml"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"switchback ":                                   "bench cluster completion config disconnect history publish serve sessions token version",
		"switchback se":                                 "serve sessions",
		"switchback x":                                  "",
		"switchback serve --log":                        "--log-format --log-level",
		"switchback serve --log-format ":                "json text",
		"switchback serve --log-level ":                 "debug error info warn",
		"switchback serve --addr :80 --log-level w":     "warn",
		"switchback serve --config ch":                  "chat.yaml",
		"switchback completion ":                        "bash fish zsh",
		"switchback bench ":                             "echo fanout idle open",
		"switchback bench echo --transport xhr":         "xhr-polling xhr-streaming",
		"switchback bench echo http://127.0.0.1/ --jso": "--json",
	} {
		cmd := command()
		cmd.Env = append(cmd.Env, "COMP_LINE="+line, "COMP_POINT="+strconv.Itoa(len(line)))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got := strings.Fields(string(out))
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// Each shell takes what is printed for it, and then asks the command. Those that are not
// on this machine are not asked; their script is.
func TestShellsAreToldToAskTheCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands")
	}
	t.Parallel()
	for shell, check := range map[string]string{
		"bash": `eval "$1" && complete -p switchback`,
		"zsh":  `autoload -U +X compinit && compinit -D; eval "$1" && print -r -- $_comps[switchback]`,
		"fish": `printf %s $argv[1] | source; complete -c switchback`,
	} {
		status, script, stderr := finish(t, "completion", shell)
		if status != 0 || stderr != "" || !strings.Contains(script, "complete ") || !strings.Contains(script, os.Args[0]) {
			t.Errorf("%s: %d\n%s%s", shell, status, script, stderr)
		}
		program, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		args := []string{"-c", check, shell, script}
		if shell == "fish" {
			args = []string{"-c", check, script}
		}
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), filepath.Base(os.Args[0])) && !strings.Contains(string(out), "_bash_complete") && !strings.Contains(string(out), "__complete_switchback") {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	if status, _, stderr := finish(t, "completion", "tcsh"); status != 2 || !strings.Contains(stderr, `"bash","zsh","fish"`) {
		t.Errorf("tcsh: %d\n%s", status, stderr)
	}
}
