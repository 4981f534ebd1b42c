package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// A server is one of those that are compared.
type server struct {
	name    string
	command []string
}

// A process is a server that serves.
type process struct {
	cmd *exec.Cmd
	url string // without a slash at its end
}

// startTime is what a server has until it says that it serves.
const startTime = 20 * time.Second

var urlPattern = regexp.MustCompile(`http://\S+`)

// start starts the server as a new process, which ctx ends at the latest, and
// waits for the line that says where it serves.
func (s server) start(ctx context.Context) (*process, error) {
	var stderr bytes.Buffer
	p := &process{cmd: exec.CommandContext(ctx, s.command[0], s.command[1:]...)}
	p.cmd.Stderr = &stderr
	p.cmd.Env = append(p.cmd.Environ(), "NODE_ENV=production")
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	late := time.AfterFunc(startTime, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	p.url = strings.TrimSuffix(urlPattern.FindString(line), "/")
	if err != nil || p.url == "" {
		p.stop()
		return nil, fmt.Errorf("%s does not serve: %q %v\n%s", s.name, line, err, stderr.String())
	}
	return p, nil
}

// stop ends the process at once: there is nothing more to learn from it.
func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}
