//go:build unix

package main

import (
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
)

// To open a named pipe would wait until somebody writes into it.
func TestNamedPipeIsNotServed(t *testing.T) {
	dir := site(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if w := asked(staticConfig{path: "/", dir: dir}.handler(), http.MethodGet, "/pipe"); w.Code != 404 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}
