package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the file holds, it is read or it is told in lines of its own.
func FuzzConfigIsReadOrRefused(f *testing.F) {
	for _, pattern := range []string{"*.yaml", "config/*.yaml", "config/bad/*.yaml"} {
		files, err := filepath.Glob("../../testdata/" + pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(err, pattern)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Add("a: 1\n...\nb: 2\n")
	f.Add("%YAML 1.2\n---\naddr: :0\n")
	f.Add("--- &a\n<<: *a\n")
	f.Add("tls: !!map {cert: !!str x}\n")
	dir := f.TempDir() // of certificates that are not there
	f.Fuzz(func(t *testing.T, text string) {
		conf := defaultConfig()
		err := readYAML("f", []byte(text), conf.settings(dir))
		if err == nil {
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "f:") {
				t.Errorf("%q", line)
			}
		}
	})
}
