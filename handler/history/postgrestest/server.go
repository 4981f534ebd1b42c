// Package postgrestest starts PostgreSQL for tests.
package postgrestest

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Password is that of the server's user, with what a URL has to escape.
const Password = "s3cret:/?#@%&"

// A Server is a PostgreSQL of a test, with its own data, on 127.0.0.1. It ends with the test.
type Server struct {
	// URL is of its database, for a user who may do all.
	URL string

	t          testing.TB
	bin, dir   string
	port       int
	settings   []string
	credential *syscall.Credential // nil: that of the test
	process    *os.Process
	ended      <-chan struct{} // process has
	log        bytes.Buffer    // of process, once it has ended
}

// Start starts a server with settings, NAME=VALUE. It does not wait for the disk unless that is
// one of them (fsync=on): what is lost by that is lost when the machine ends, not the server.
// Without PostgreSQL, and with -short, the test is skipped.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a database")
	}
	s := &Server{t: t, bin: find(), settings: append([]string{"fsync=off"}, settings...)}
	if s.bin == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("PostgreSQL is not here")
		}
		t.Skip("PostgreSQL is not here (apt-get install postgresql)")
	}
	// Not t.TempDir, which is below a directory that another user may not enter.
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.leaveRoot()

	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o644); err != nil {
		t.Fatal(err)
	}
	init := s.command("initdb", "--pgdata", filepath.Join(dir, "data"), "--username", "switchback", "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	s.URL = (&url.URL{
		Scheme: "postgres", User: url.UserPassword("switchback", Password), Path: "/postgres",
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), RawQuery: "sslmode=disable",
	}).String()
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// find returns where the programs of the newest PostgreSQL are, or nothing.
func find() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // Debian's place
	if len(found) == 0 {
		return ""
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }))
}

// leaveRoot has the server run as its own user, since it does not run as root.
func (s *Server) leaveRoot() {
	if os.Getuid() != 0 {
		return
	}
	owner, err := user.Lookup("postgres")
	if err != nil {
		s.t.Fatalf("root cannot run PostgreSQL: %v", err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	if err := os.Chown(s.dir, uid, gid); err != nil {
		s.t.Fatal(err)
	}
	s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	return c
}

// Start starts the server again, on the data that it had, and returns when it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.run()
	for until := time.Now().Add(30 * time.Second); !s.answers(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			s.Kill()
			s.t.Fatalf("PostgreSQL does not start:\n%s", &s.log)
		}
		select {
		case <-s.ended: // as processes of one that was killed are there for a moment
			s.run()
		default:
		}
	}
}

func (s *Server) run() {
	s.t.Helper()
	s.log.Reset()
	args := []string{"-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.port), "-h", "127.0.0.1", "-k", ""}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	c := s.command("postgres", args...)
	c.Stdout, c.Stderr = &s.log, &s.log
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // until Kill
		c.Wait()
		close(ended)
	}()
	s.process, s.ended = c.Process, ended
}

func (s *Server) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return false
	}
	c.Close(ctx)
	return true
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
		<-s.ended
	}
}
