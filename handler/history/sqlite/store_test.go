package sqlite_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/handler/history/sqlite"
	"switchback/handler/history/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, file string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), file, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (history.Store, func() history.Store) {
		file := filepath.Join(t.TempDir(), "history.db")
		s := open(t, file)
		return s, func() history.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, file)
			return s
		}
	})
}

func FuzzCompare(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(storetest.Script(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		storetest.Compare(t, script, open(t, filepath.Join(t.TempDir(), "history.db")), memory.New(memory.Options{}))
	})
}

func BenchmarkAppend(b *testing.B) {
	storetest.BenchAppend(b, open(b, filepath.Join(b.TempDir(), "history.db")))
}

func BenchmarkTrim(b *testing.B) {
	storetest.BenchTrim(b, open(b, filepath.Join(b.TempDir(), "history.db")))
}

func BenchmarkRead(b *testing.B) {
	storetest.BenchRead(b, open(b, filepath.Join(b.TempDir(), "history.db")))
}
