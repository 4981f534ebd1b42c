package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is far more than anything here takes, also on a machine that has much else to do.
const patience = time.Minute

// A process is the command, run as a process of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	ready  string // the line that says so
	url    string // with a slash at its end
	stderr lockedBuffer
}

// start runs the command and waits until it is ready.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startCommand(t, command(args...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd}
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	kill := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	p.ready, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("not ready: %v\n%s", err, p.stderr.String())
	}
	p.url = regexp.MustCompile(`https?://\S+`).FindString(p.ready)
	return p
}

// command is the test binary as the command itself, with nothing of the
// environment that it reads. The race detector would have it sleep for a second at its end.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = []string{asCommand + "=1", "GORACE=atexit_sleep_ms=10"}
	return cmd
}

// finish runs the command to its end.
func finish(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer kill.Stop()
	return exitStatus(t, cmd.Wait()), out.String(), errs.String()
}

// wait waits for the process to end, and returns its status (-1: by a signal)
// and the time that it took.
func (p *process) wait() (status int, took time.Duration) {
	p.t.Helper()
	begun := time.Now()
	kill := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	return exitStatus(p.t, p.cmd.Wait()), time.Since(begun)
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// logs waits until the process has logged text.
func (p *process) logs(text string) {
	p.t.Helper()
	for begun := time.Now(); !strings.Contains(p.stderr.String(), text); time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			p.t.Fatalf("did not log %q:\n%s", text, p.stderr.String())
		}
	}
}

func exitStatus(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode()
	}
	return 0
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*lockedBuffer)(nil)

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
