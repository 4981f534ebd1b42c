package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"switchback/handler/history"
	"switchback/handler/history/sqlite"
)

func appendTo(s history.Store, topic, id string, data []byte) error {
	return s.Append(context.Background(), []*history.Append{{Topic: topic, Entry: history.Entry{ID: id, Data: data}}})
}

// raw opens a file as another program does.
func raw(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec1(t *testing.T, db interface {
	Exec(string, ...any) (sql.Result, error)
}, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

func TestFileNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b.db", "100%.db", "a%20b.db", "who?.db", "#1.db", "ä.db", "a&b=c.db"} {
		file := filepath.Join(dir, name)
		s := open(t, file)
		if err := appendTo(s, "a", "", nil); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
		s.Close()
		if _, err := os.Stat(file + "-wal"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: its log is left over: %v", name, err)
		}
	}
}

func TestNotOpened(t *testing.T) {
	dir := t.TempDir()
	used := filepath.Join(dir, "used.db")
	open(t, used)
	newer := filepath.Join(dir, "newer.db")
	open(t, newer).Close()
	exec1(t, raw(t, newer), "pragma user_version = 99")
	other := filepath.Join(dir, "other.db")
	exec1(t, raw(t, other), "create table cookies (name)")
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		used:                                 "another process has the file open",
		newer:                                "the file has version 99, of a newer switchback; this one knows up to 1",
		other:                                "the file is a database of something else",
		text:                                 "file is not a database",
		filepath.Join(dir, "none", "new.db"): "its folder: stat " + filepath.Join(dir, "none") + ": no such file or directory",
		dir:                                  "is a directory",
	} {
		s, err := sqlite.Open(t.Context(), file, sqlite.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, not %s", file, err, want)
		}
		if err == nil {
			s.Close()
		}
	}
	if _, err := sqlite.Open(t.Context(), filepath.Join(dir, "new.db"), sqlite.Options{Readers: -1}); err == nil {
		t.Error("-1 readers are taken")
	}
}

// Commits wait for the disk, which no end of a process shows.
func TestDurable(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "history.db"))
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2"} {
		if got, err := s.Pragma(t.Context(), name); got != want {
			t.Errorf("%s is %q, not %q: %v", name, got, want, err)
		}
	}
}

// Another program has locked the file: who writes is told so, who reads is not hindered.
func TestLocked(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a second")
	}
	t.Parallel()
	file := filepath.Join(t.TempDir(), "history.db")
	s := open(t, file)
	if err := appendTo(s, "a", "", []byte("x")); err != nil {
		t.Fatal(err)
	}
	db := raw(t, file)
	db.SetMaxOpenConns(1)
	exec1(t, db, "begin immediate")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Append(ctx, []*history.Append{{Topic: "a"}})
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("at the end of the context: %v", err)
	}
	if err := appendTo(s, "a", "", nil); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("locked: %v", err)
	}
	if got, err := s.Read(t.Context(), "a", history.Range{Limit: 9}); err != nil || len(got) != 1 {
		t.Errorf("read %v: %v", got, err)
	}
	exec1(t, db, "rollback")
	if err := appendTo(s, "a", "", nil); err != nil {
		t.Errorf("not locked any more: %v", err)
	}
	if topic, err := s.Topic(t.Context(), "a"); err != nil || topic.Last != 2 {
		t.Errorf("%+v: %v", topic, err)
	}
}

// A disk that takes no more, here by the limit of this process for files.
func TestFull(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history.db")
	s := open(t, file)
	data := make([]byte, 100<<10)
	if err := appendTo(s, "a", "", data); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	stored := 1
	var err error
	for ; stored < 50; stored++ {
		if err = appendTo(s, "a", "", data); err != nil {
			break
		}
	}
	if !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("full: %v", err)
	}
	for range 3 {
		if err := appendTo(s, "b", "", data); !errors.Is(err, history.ErrUnavailable) {
			t.Errorf("full: %v", err)
		}
	}
	if got, err := s.Read(t.Context(), "a", history.Range{Limit: 99}); err != nil || len(got) != stored {
		t.Errorf("%d of %d entries are read: %v", len(got), stored, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := appendTo(s, "a", "", data); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if topic, err := s.Topic(t.Context(), "a"); err != nil || topic.Last != uint64(stored+1) || topic.Count != int64(topic.Last) {
		t.Errorf("%d stored: %+v: %v", stored+1, topic, err)
	}
	if _, err := s.Topic(t.Context(), "b"); !errors.Is(err, history.ErrNoTopic) {
		t.Errorf("what is refused is stored: %v", err)
	}
}

func TestCorrupt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history.db")
	s := open(t, file)
	var batch []*history.Append
	for i := range 3000 {
		batch = append(batch, &history.Append{Topic: "a", Entry: history.Entry{ID: fmt.Sprint(i), Data: make([]byte, 100)}})
	}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	s.Close()
	bytes, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 10 * 4096; i < len(bytes); i++ {
		bytes[i] ^= 0x55
	}
	if err := os.WriteFile(file, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, file)
	if _, err := s.Read(t.Context(), "a", history.Range{Limit: 5000}); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
	if err := appendTo(s, "a", "new", nil); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
}

// What is acknowledged outlives kill -9.
func TestKilled(t *testing.T) {
	if file := os.Getenv("HISTORY_FILE"); file != "" {
		s, err := sqlite.Open(context.Background(), file, sqlite.Options{})
		for i := 0; err == nil; i++ {
			err = appendTo(s, "a", fmt.Sprint(i), make([]byte, 1000))
			fmt.Println("stored", i)
		}
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "history.db")
	for round, before := 1, 0; round <= 3; round++ {
		child := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
		child.Env = append(os.Environ(), "HISTORY_FILE="+file)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		stored, lines := 0, bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "stored") {
				if stored++; stored == before+50 {
					child.Process.Kill()
				}
			}
		}
		child.Wait()
		s := open(t, file)
		topic, err := s.Topic(t.Context(), "a")
		if err != nil || int(topic.Last) < stored || int(topic.Last) > stored+1 || stored < before+50 {
			t.Fatalf("%d acknowledged, %d before: %+v: %v", stored, before, topic, err)
		}
		got, err := s.Read(t.Context(), "a", history.Range{Limit: 1 << 20})
		if err != nil || len(got) != int(topic.Last) {
			t.Errorf("%d entries of %+v: %v", len(got), topic, err)
		}
		for i, e := range got {
			if e.Offset != uint64(i+1) || e.ID != fmt.Sprint(i) {
				t.Fatalf("entry %d is %d, %s", i, e.Offset, e.ID)
			}
		}
		before = stored
		s.Close()
	}
}

// No page, count or ID is looked for by reading all entries, topics or members.
func TestPlans(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history.db")
	open(t, file)
	rows := raw(t, file)
	for _, query := range sqlite.Queries {
		args := make([]any, strings.Count(query, "?"))
		if strings.Contains(query, "?3") {
			args = make([]any, 3)
		}
		plan, err := rows.Query("explain query plan "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		for plan.Next() {
			var id, parent, unused int
			var detail string
			if err := plan.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "(subquery") || strings.Contains(detail, "TEMP B-TREE") {
				t.Errorf("%s: %s", query, detail)
			}
		}
	}
}
