package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// printMachine tells when, on what, and with which versions was measured.
func (o *options) printMachine(w io.Writer, servers []server) {
	facts := []string{
		time.Now().Format(time.DateOnly),
		fmt.Sprintf("%d cores shared by server and load, %s, %s/%s", runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH),
	}
	if info, err := buildinfo.ReadFile(o.Switchback); err == nil {
		facts = append(facts, "Go "+strings.TrimPrefix(info.GoVersion, "go"))
		for _, m := range info.Deps {
			if strings.HasPrefix(m.Path, "github.com/igm/sockjs-go") {
				facts = append(facts, "igm/sockjs-go "+m.Version)
			}
		}
	}
	if len(servers) > 2 {
		facts = append(facts, o.node(servers[2])...)
	}
	facts = append(facts, fmt.Sprintf("medians of %d", o.Runs))
	fmt.Fprintf(w, "\n%s.\n", strings.Join(facts, "; "))
}

// processor is the name of the CPU, where the system tells it.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

// node are the versions of Node and of sockjs-node.
func (o *options) node(s server) (facts []string) {
	if out, err := exec.Command(s.command[0], "--version").Output(); err == nil {
		facts = append(facts, "Node "+strings.TrimPrefix(strings.TrimSpace(string(out)), "v"))
	}
	var manifest struct{ Version string }
	text, err := os.ReadFile(filepath.Join(o.Data, "node_modules", "sockjs", "package.json"))
	if err == nil && json.Unmarshal(text, &manifest) == nil {
		facts = append(facts, "sockjs-node "+manifest.Version)
	}
	return facts
}
