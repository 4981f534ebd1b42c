package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// A staticConfig is a folder whose files are served.
type staticConfig struct {
	where string // it is in the file, for messages
	path  string
	dir   string
}

// statics is one folder of files, or a list of them. Their names are relative to dir.
func statics(dst *[]staticConfig, dir string) setting {
	one := func(s *source, key string, n ast.Node) {
		c := staticConfig{where: fmt.Sprintf("%s:%d: %s", s.name, line(n), key)}
		s.read(key, n, c.settings(dir))
		for _, other := range *dst {
			if other.path == c.path && c.path != "" {
				s.fault(line(n), "%s.path is %q, which another folder has; it must be a path of its own", key, c.path)
			}
		}
		*dst = append(*dst, c)
	}
	keys := new(staticConfig).settings(dir).keys
	want := "a path and the dir of files, or a list of those"
	list := sequence(want, one)
	return setting{want: want, keys: keys, read: func(s *source, key string, n ast.Node) {
		if _, ok := n.(*ast.MappingNode); ok {
			one(s, key, n)
			return
		}
		list.read(s, key, n)
	}}
}

func (c *staticConfig) settings(dir string) setting {
	return mapping(map[string]setting{
		"path": required(scalar(&c.path, pathKind)),
		"dir":  required(folder(&c.dir, dir)),
	})
}

// folder is the name of a folder that is there.
func folder(dst *string, dir string) setting {
	name := scalar(dst, folderKind)
	return setting{want: folderKind.want, read: func(s *source, key string, n ast.Node) {
		before := len(s.faults)
		if name.read(s, key, n); len(s.faults) > before {
			return
		}
		*dst = in(dir, *dst)
		switch info, err := os.Stat(*dst); {
		case err != nil:
			s.fault(line(n), "%s: %v; it must be a folder, relative to this file's", key, err)
		case !info.IsDir():
			s.fault(line(n), "%s: %s is no folder; it must be one, relative to this file's", key, *dst)
		}
	}}
}

// handler serves the folder below the path, to GET and HEAD. Caches may keep a file, and
// have to ask each time whether it is still the same.
func (c staticConfig) handler() http.Handler {
	files := http.StripPrefix(prefixOf(c.path), taken(fileTimeout, http.FileServerFS(folderFS{c.dir})))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		case c.path != "/" && r.URL.Path == c.path: // from here relative links would lead beside the folder
			to := path.Base(c.path) + "/"
			if r.URL.RawQuery != "" {
				to += "?" + r.URL.RawQuery
			}
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusMovedPermanently)
		default:
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			files.ServeHTTP(w, r)
		}
	})
}

// fileTimeout is the time in which a client must take the next 32 KiB of a file. The
// server itself has no such limit: see httpServer.
const fileTimeout = 10 * time.Second

// taken is a handler whose answers the client must take, each piece within the timeout.
// http.Server takes the deadline off the connection once it has written all.
func taken(timeout time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(takenWriter{w, http.NewResponseController(w), timeout}, r)
	})
}

type takenWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (t takenWriter) Write(piece []byte) (int, error) {
	if err := t.control.SetWriteDeadline(time.Now().Add(t.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return t.ResponseWriter.Write(piece)
}

// A folderFS is what of a folder is served: files, and the index.html of folders, but
// nothing whose name begins with a dot and nothing that a symbolic link has outside of the
// folder. The folder is found anew for each file, so that another may take its place.
type folderFS struct{ dir string }

func (f folderFS) Open(name string) (fs.File, error) {
	file, err := f.open(name)
	if err == nil || passes(err) {
		return file, err
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// passes tells of errors that do not mean that the file is not there: FileServerFS makes
// 500 of them.
func passes(err error) bool {
	var number syscall.Errno
	return errors.As(err, &number) && number.Temporary()
}

func (f folderFS) open(name string) (fs.File, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part != "." && strings.HasPrefix(part, ".") {
			return nil, fs.ErrNotExist
		}
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err == nil && info.IsDir() {
		info, err = root.Stat(path.Join(name, "index.html"))
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // to open a named pipe would wait for its other end
		return nil, fs.ErrNotExist
	}
	return root.Open(name)
}
