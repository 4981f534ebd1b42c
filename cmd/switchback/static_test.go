package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// site makes a folder of files, beside one with a secret.
func site(t *testing.T) (dir string) {
	t.Helper()
	top := t.TempDir()
	dir = filepath.Join(top, "public")
	for name, text := range map[string]string{
		"secret.txt":                 "secret",
		"public/index.html":          "<title>home</title>",
		"public/app.js":              "let a = 1;",
		"public/style.css":           "a {}",
		"public/icon.svg":            "<svg/>",
		"public/data.json":           "{}",
		"public/with space.txt":      "space",
		"public/.env":                "secret",
		"public/.git/config":         "secret",
		"public/sub/index.html":      "<title>sub</title>",
		"public/sub/.hidden/a.txt":   "secret",
		"public/list/a.txt":          "a",
		"public/index/index.html/in": "deep",
	} {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"out.txt": "../secret.txt", "absolute.txt": filepath.Join(top, "secret.txt"), "up": "..", "inside.txt": "list/a.txt", "loop": "loop",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFilesOfAFolderAreServed(t *testing.T) {
	h := staticConfig{path: "/", dir: site(t)}.handler()
	for _, c := range []struct{ path, contentType, body string }{
		{"/", "text/html; charset=utf-8", "<title>home</title>"},
		{"/app.js", "text/javascript; charset=utf-8", "let a = 1;"},
		{"/style.css", "text/css; charset=utf-8", "a {}"},
		{"/icon.svg", "image/svg+xml", "<svg/>"},
		{"/data.json", "application/json", "{}"},
		{"/with%20space.txt", "text/plain; charset=utf-8", "space"},
		{"/sub/", "text/html; charset=utf-8", "<title>sub</title>"},
		{"/list/a.txt", "text/plain; charset=utf-8", "a"},
		{"/inside.txt", "text/plain; charset=utf-8", "a"}, // a link to what is in the folder
		{"/sub/../app.js", "text/javascript; charset=utf-8", "let a = 1;"},
	} {
		w := asked(h, http.MethodGet, c.path)
		if w.Code != 200 || w.Body.String() != c.body || w.Header().Get("Content-Type") != c.contentType {
			t.Errorf("%s: %d %q %q", c.path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		for name, want := range map[string]string{"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q", c.path, name, got)
			}
		}
	}
}

func TestWhatIsNotServedOfAFolder(t *testing.T) {
	h := staticConfig{path: "/", dir: site(t)}.handler()
	for _, path := range []string{
		"/nothing", "/list/", "/list", // no list of a folder's files
		"/.env", "/.git/config", "/.git/", "/%2eenv", "/sub/.hidden/a.txt", "/sub/../.env", // dotfiles
		"/out.txt", "/absolute.txt", "/up/secret.txt", "/up/", "/loop", // links that lead out, or nowhere
		"/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/sub/../../secret.txt",
		"/app.js/", "/app.js/below", "/index/", // index.html is a folder there
		"/app.js%00", "/" + strings.Repeat("x", 5000),
	} {
		w := asked(h, http.MethodGet, path)
		if w.Code == 301 && w.Header().Get("Location") == "../app.js" {
			continue // a file has no slash at its end
		}
		if w.Code != 404 || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%.40s: %d %.60q", path, w.Code, w.Body)
		}
	}
}

func TestAFolderHasOneURL(t *testing.T) {
	dir := site(t)
	for _, c := range []struct{ at, path, location string }{
		{"/", "/index.html", "./"},
		{"/", "/sub", "sub/"},
		{"/", "/sub/index.html", "./"},
		{"/docs/v1", "/docs/v1", "v1/"},
		{"/docs/v1", "/docs/v1?a=b&c", "v1/?a=b&c"},
		{"/docs/v1", "/docs/v1/sub?a=b", "sub/?a=b"},
	} {
		w := asked(staticConfig{path: c.at, dir: dir}.handler(), http.MethodGet, c.path)
		if w.Code != 301 || w.Header().Get("Location") != c.location {
			t.Errorf("%s: %d to %q, want %q", c.path, w.Code, w.Header().Get("Location"), c.location)
		}
	}
	w := asked(staticConfig{path: "/docs/v1", dir: dir}.handler(), http.MethodGet, "/docs/v1/")
	if w.Code != 200 || w.Body.String() != "<title>home</title>" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestFilesAreReadOnly(t *testing.T) {
	h := staticConfig{path: "/", dir: site(t)}.handler()
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "PROPFIND"} {
		if w := asked(h, method, "/app.js"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
	if w := asked(h, http.MethodHead, "/app.js"); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "10" {
		t.Errorf("HEAD: %d %q %q", w.Code, w.Body, w.Header())
	}
}

func TestUnchangedFileOfAFolderIsNotSentAgain(t *testing.T) {
	dir := site(t)
	h := staticConfig{path: "/", dir: dir}.handler()
	modified := asked(h, http.MethodGet, "/app.js").Header().Get("Last-Modified")
	if w := asked(h, http.MethodGet, "/app.js", "If-Modified-Since", modified); modified == "" || w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("%q: %d %q", modified, w.Code, w.Body)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "app.js"), later, later); err != nil {
		t.Fatal(err)
	}
	if w := asked(h, http.MethodGet, "/app.js", "If-Modified-Since", modified); w.Code != 200 {
		t.Errorf("changed: %d", w.Code)
	}
}

// A release takes the place of the one before: the server need not start again.
func TestFolderMayBeReplaced(t *testing.T) {
	dir := site(t)
	h := staticConfig{path: "/", dir: dir}.handler()
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if w := asked(h, http.MethodGet, "/app.js"); w.Code != 404 {
		t.Errorf("without a folder: %d", w.Code)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.js"), []byte("let a = 2;"), 0o644); err != nil {
		t.Fatal(err)
	}
	if w := asked(h, http.MethodGet, "/app.js"); w.Code != 200 || w.Body.String() != "let a = 2;" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// Who asks for a large file and takes nothing of it is cut; who takes it keeps the
// connection, though the time has passed since.
func TestFileMustBeTaken(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	const timeout, large = 200 * time.Millisecond, 64 << 20
	dir := site(t)
	if err := os.Truncate(filepath.Join(dir, "data.json"), large); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{}, 10)
	files := taken(timeout, http.FileServerFS(folderFS{dir}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" { // another handler's, which has no such limit
			io.WriteString(w, "0123456789")
			return
		}
		files.ServeHTTP(w, r)
		served <- struct{}{}
	}))
	defer server.Close()

	late, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if _, err := io.WriteString(late, "GET /data.json HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-served:
	case <-time.After(patience):
		t.Fatal("the file is still being written to a client that takes nothing")
	}
	if n, _ := io.Copy(io.Discard, late); n >= large {
		t.Errorf("%d bytes", n)
	}

	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	for _, want := range []int64{large, 10, large} {
		name := map[int64]string{large: "data.json", 10: "other"}[want]
		if _, err := io.WriteString(c, "GET /"+name+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, response.Body); n != want || err != nil || response.ContentLength != want {
			t.Errorf("%d bytes of %d, %v", n, want, err)
		}
		time.Sleep(2 * timeout)
	}
}

func TestEndpointsGoBeforeFilesBeforeThePage(t *testing.T) {
	dir := site(t)
	file := writeFile(t, "conf.yaml", `
page: true
static:
  - {path: /ws-docs, dir: `+dir+`}
  - {path: /a, dir: `+dir+`}
endpoints:
  - {path: [/echo, /a/sub], handler: echo}
  - {path: /broadcast, handler: broadcast}
`)
	p := start(t, "serve", "--config", file, "--addr", "127.0.0.1:0")
	if want := "switchback: serving /echo /a/sub /broadcast and the page and the files below /ws-docs /a at " + p.url + "\n"; p.ready != want {
		t.Errorf("got %q", p.ready)
	}
	for path, want := range map[string]string{
		"":           "200 <!DOCTYPE html>",
		"page.js":    "200 ",
		"a/":         "200 <title>home</title>",
		"a/app.js":   "200 let a = 1;",
		"a/sub":      "200 Welcome to SockJS!\n",
		"a/sub/":     "200 Welcome to SockJS!\n",
		"a/sub/info": `200 {"websocket":true`,
		"ws-docs/":   "200 <title>home</title>",
		"ws-docs":    "200 <title>home</title>", // redirected
		"ws":         "404 404 page not found\n",
	} {
		if got := fetch(t, http.DefaultClient, p.url+path); !strings.HasPrefix(got, want) {
			t.Errorf("/%s: got %.60q, want %q", path, got, want)
		}
	}
}

// Whoever lists files has a service of their own.
func TestFilesAtTheRootTakeThePlaceOfThePage(t *testing.T) {
	p := start(t, "serve", "--config", writeFile(t, "conf.yaml", "static: {path: /, dir: "+site(t)+"}"), "--addr", "127.0.0.1:0")
	for path, want := range map[string]string{
		"": "200 <title>home</title>", "app.js": "200 let a = 1;", "page.js": "404 404 page not found\n", "echo": "200 Welcome to SockJS!\n",
	} {
		if got := fetch(t, http.DefaultClient, p.url+path); got != want {
			t.Errorf("/%s: got %.60q, want %q", path, got, want)
		}
	}
}

func TestFilesThatNothingCouldReachAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"static: {path: /ws/docs, dir: .}\nendpoints: [{path: [/a, /ws], handler: echo}]": "1: static: the path /ws/docs is at or below /ws, which is an endpoint's; choose another",
		"static: [{path: /ws, dir: .}]\nendpoints: [{path: /ws, handler: echo}]":          "1: static[0]: the path /ws is at or below /ws, which is an endpoint's; choose another",
		"static: {path: /, dir: .}\nendpoints: [{path: /, handler: echo}]":                "1: static: the path / is at or below /, which is an endpoint's; choose another",
		"page: true\nstatic: {path: /, dir: .}":                                           "2: static: the path / is the page's; choose another, or leave page out",
		"page: true\nendpoints: [{path: [/a, /], handler: echo}]":                         "2: endpoints[0]: the path / is the page's; choose another, or set page to false",
	} {
		file := writeFile(t, "conf.yaml", text)
		status, stdout, stderr := finish(t, "serve", "--config", file, "--addr", "127.0.0.1:0")
		if status != 1 || stdout != "" || stderr != "switchback: "+file+":"+want+"\n" {
			t.Errorf("%s\n%d\n%s%s", text, status, stdout, stderr)
		}
	}
}

// asked answers one request, for the path as it is; headers are names and values in turn.
func asked(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
