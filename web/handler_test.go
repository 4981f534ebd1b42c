package web

import (
	"crypto/sha512"
	"encoding/base64"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestPageAndItsFiles(t *testing.T) {
	for _, c := range []struct{ path, contentType, holds string }{
		{"/", "text/html; charset=utf-8", "<title>Switchback"},
		{"/page.js", "text/javascript; charset=utf-8", "new window.SockJS("},
		{"/framelog.js", "text/javascript; charset=utf-8", "export class FrameLog"},
		{"/roundtrips.js", "text/javascript; charset=utf-8", "export class RoundTrips"},
		{"/transport.js", "text/javascript; charset=utf-8", "export function options"},
		{"/style.css", "text/css; charset=utf-8", "#frames"},
		{"/chat.html", "text/html; charset=utf-8", "<title>Chat"},
		{"/chat.js", "text/javascript; charset=utf-8", "new window.SockJS("},
		{"/rooms.js", "text/javascript; charset=utf-8", "export class Rooms"},
		{"/room.js", "text/javascript; charset=utf-8", "export class Room"},
		{"/messages.js", "text/javascript; charset=utf-8", "export class Messages"},
		{"/connection.js", "text/javascript; charset=utf-8", "export class Connection"},
		{"/chat.css", "text/css; charset=utf-8", "#messages"},
		{"/base.css", "text/css; charset=utf-8", "color-scheme: light dark"},
		{"/icon.svg", "image/svg+xml", "<svg "},
		{"/sockjs.min.js", "text/javascript; charset=utf-8", "a client"},
	} {
		t.Run(c.path, func(t *testing.T) {
			w := ask(newSite([]byte("a client")), http.MethodGet, c.path)
			hasStatus(t, w, http.StatusOK)
			hasHeader(t, w, "Content-Type", c.contentType)
			hasHeader(t, w, "Cache-Control", "no-cache")
			if !strings.Contains(w.Body.String(), c.holds) {
				t.Errorf("body does not hold %q", c.holds)
			}
		})
	}
}

// A file that is embedded and not served, or the other way about, is a mistake.
func TestEveryEmbeddedFileIsServed(t *testing.T) {
	s := newSite(nil)
	names, err := fs.Glob(pageFiles, "page/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := strings.TrimPrefix(name, "page")
		if path == "/index.html" {
			path = "/"
		}
		hasStatus(t, ask(s, http.MethodGet, path), http.StatusOK)
	}
	if len(s.files) != len(names) {
		t.Errorf("%d files are served, %d are embedded", len(s.files), len(names))
	}
}

// The pages, and the script of each.
var pages = map[string]string{"/": "/page.js", "/chat.html": "/chat.js"}

func TestPagesLoadTheEmbeddedClient(t *testing.T) {
	s := newSite([]byte("a client"))
	for page := range pages {
		has(t, clientTag(t, s, page), `src="/sockjs.min.js"`)
		hasNot(t, clientTag(t, s, page), "integrity")
		hasNot(t, ask(s, http.MethodGet, page).Header().Get("Content-Security-Policy"), "https:")
	}
}

func TestPagesLoadThePinnedClientOfTheCDN(t *testing.T) {
	s := newSite(nil)
	hasStatus(t, ask(s, http.MethodGet, localClientPath), http.StatusNotFound)
	for page := range pages {
		tag := clientTag(t, s, page)
		has(t, tag, `src="`+cdnURL+`"`)
		has(t, strings.ReplaceAll(tag, "&#43;", "+"), `integrity="`+cdnIntegrity+`"`)
		has(t, tag, `crossorigin="anonymous"`)
		has(t, ask(s, http.MethodGet, page).Header().Get("Content-Security-Policy"), "script-src 'self' "+cdnURL+";")
	}
}

// A page must be there before the client, to see whether it loads.
func TestPagesListenBeforeTheClientLoads(t *testing.T) {
	for page, script := range pages {
		body := ask(newSite(nil), http.MethodGet, page).Body.String()
		listens, client := strings.Index(body, script), strings.Index(body, `id="client"`)
		if listens < 0 || client < listens {
			t.Errorf("%s: %s at %d, the client at %d", page, script, listens, client)
		}
	}
}

func TestPagesOfferEachTransport(t *testing.T) {
	for page := range pages {
		body := ask(newSite(nil), http.MethodGet, page).Body.String()
		for _, transport := range append([]string{"automatic"}, transports...) {
			has(t, body, "<option>"+transport+"</option>")
		}
	}
}

// What others say must not become a part of the page.
func TestScriptsMakeNothingOfTexts(t *testing.T) {
	names, err := fs.Glob(pageFiles, "page/*.js")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d scripts: %v", len(names), err)
	}
	for _, name := range names {
		script := string(embedded(strings.TrimPrefix(name, "page/")))
		for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser", "createContextualFragment"} {
			if strings.Contains(script, way) {
				t.Errorf("%s has %s", name, way)
			}
		}
	}
}

func TestClientPathTellsWhetherTheClientIsEmbedded(t *testing.T) {
	want := http.StatusNotFound
	if ClientPath() != "" {
		want = http.StatusOK
	}
	hasStatus(t, ask(Handler(), http.MethodGet, localClientPath), want)
}

func TestEmbeddedClientIsThePinnedOne(t *testing.T) {
	client := embeddedClient()
	if client == nil {
		t.Skip("not run: the hash of sockjs-client, because it is not embedded; make puts it into web/client")
	}
	sum := sha512.Sum384(client)
	if got := "sha384-" + base64.StdEncoding.EncodeToString(sum[:]); got != cdnIntegrity {
		t.Errorf("the embedded client is %s, the CDN's is %s", got, cdnIntegrity)
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	for _, path := range []string{"/", "/chat.html", "/page.js", "/nothing"} {
		w := ask(newSite(nil), http.MethodGet, path)
		hasHeader(t, w, "X-Content-Type-Options", "nosniff")
		hasHeader(t, w, "Referrer-Policy", "same-origin")
		policy := w.Header().Get("Content-Security-Policy")
		has(t, policy, "default-src 'none';")
		has(t, policy, "frame-ancestors 'none'")
		hasNot(t, policy, "unsafe")
	}
}

func TestPagesHaveNoInlineScriptOrStyle(t *testing.T) {
	for page := range pages {
		body := ask(newSite(nil), http.MethodGet, page).Body.String()
		for _, inline := range []string{`<script>`, `<style`, ` style=`, ` onclick=`, `javascript:`} {
			hasNot(t, body, inline)
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	s := newSite(nil)
	tag := ask(s, http.MethodGet, "/style.css").Header().Get("ETag")
	if !regexp.MustCompile(`^"[0-9a-f]{32}"$`).MatchString(tag) {
		t.Fatalf("ETag %q", tag)
	}
	w := ask(s, http.MethodGet, "/style.css", "If-None-Match", tag)
	hasStatus(t, w, http.StatusNotModified)
	if w.Body.Len() != 0 {
		t.Errorf("%d bytes with 304", w.Body.Len())
	}
	hasStatus(t, ask(s, http.MethodGet, "/style.css", "If-None-Match", `"other"`), http.StatusOK)
}

func TestHeadAnswersLikeGetWithoutBody(t *testing.T) {
	get, head := ask(newSite(nil), http.MethodGet, "/"), ask(newSite(nil), http.MethodHead, "/")
	hasStatus(t, head, http.StatusOK)
	hasHeader(t, head, "Content-Length", get.Header().Get("Content-Length"))
	if head.Body.Len() != 0 {
		t.Errorf("%d bytes for HEAD", head.Body.Len())
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		w := ask(newSite(nil), method, "/")
		hasStatus(t, w, http.StatusMethodNotAllowed)
		hasHeader(t, w, "Allow", "GET, HEAD")
	}
}

func TestElsewhereIsNothing(t *testing.T) {
	for _, path := range []string{
		"/index.html", "/page/", "/page/index.html", "/client/", "/client/.gitkeep", "/client/sockjs.min.js",
		"/package.json", "/echo", "//", "/../handler.go", "/./page.js", "/favicon.ico",
	} {
		hasStatus(t, ask(newSite([]byte("a client")), http.MethodGet, path), http.StatusNotFound)
	}
}

// ask sends one request; headers are names and values in turn.
func ask(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1/", nil)
	r.URL.Path = path
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func clientTag(t *testing.T, s *site, page string) string {
	t.Helper()
	tag := regexp.MustCompile(`<script [^>]*id="client"[^>]*>`).FindString(ask(s, http.MethodGet, page).Body.String())
	if tag == "" {
		t.Fatal("the page has no script for the client")
	}
	return tag
}

func hasStatus(t *testing.T, w *httptest.ResponseRecorder, want int) {
	t.Helper()
	if w.Code != want {
		t.Errorf("status %d, want %d", w.Code, want)
	}
}

func hasHeader(t *testing.T, w *httptest.ResponseRecorder, name, want string) {
	t.Helper()
	if got := w.Header().Get(name); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

func has(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q is not in %q", part, text)
	}
}

func hasNot(t *testing.T, text, part string) {
	t.Helper()
	if strings.Contains(text, part) {
		t.Errorf("%q is in %q", part, text)
	}
}
