package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestRouterTakesTheLongestPrefix(t *testing.T) {
	routes := &router{rest: http.NotFoundHandler()}
	for _, prefix := range []string{"/echo", "/echo/more/still", "/echo/more", "/e"} {
		routes.add(prefix, named(prefix))
	}
	for path, want := range map[string]string{
		"/echo":                  "/echo /echo",
		"/echo/":                 "/echo /echo/",
		"/echo/info":             "/echo /echo/info",
		"/echo//a/xhr":           "/echo /echo//a/xhr", // not redirected
		"/echo/../info":          "/echo /echo/../info",
		"/echo/a%2Fb/xhr":        "/echo /echo/a/b/xhr",
		"/%65cho/info":           "/echo /echo/info",
		"/echo/mor":              "/echo /echo/mor",
		"/echo/more":             "/echo/more /echo/more",
		"/echo/more/still":       "/echo/more/still /echo/more/still",
		"/echo/more/still/below": "/echo/more/still /echo/more/still/below",
		"/echo/more/stillborn":   "/echo/more /echo/more/stillborn",
		"/e/x":                   "/e /e/x",
		"/":                      notFoundBody,
		"/ech":                   notFoundBody,
		"/echoes":                notFoundBody,
		"//echo":                 notFoundBody,
		"/x/echo":                notFoundBody,
	} {
		if got := get(t, routes, path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestRouterTakesTheRootLast(t *testing.T) {
	routes := &router{rest: http.NotFoundHandler()}
	routes.add("", named("root"))
	routes.add("/echo", named("/echo"))
	for path, want := range map[string]string{
		"/":          "root /",
		"/info":      "root /info",
		"/echo/info": "/echo /echo/info",
	} {
		if got := get(t, routes, path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// A handler is asked for the prefix that it knows; the request is left as it is.
func TestRouterKnowsAHandlerByOtherPrefixes(t *testing.T) {
	routes := &router{rest: http.NotFoundHandler()}
	routes.add("/echo", named("/echo"))
	routes.addAlias("/other/way", "/echo", named("alias"))
	routes.addAlias("", "/echo", named("root"))
	for path, want := range map[string]string{
		"/echo/info":           "/echo /echo/info",
		"/other/way":           "alias /echo",
		"/other/way/":          "alias /echo/",
		"/other/way//a/xhr":    "alias /echo//a/xhr",
		"/%6fther/way/0/1/xhr": "alias /echo/0/1/xhr",
		"/other":               "root /echo/other",
		"/":                    "root /echo/",
	} {
		if got := get(t, routes, path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/other/way/info?t=1", nil)
	routes.ServeHTTP(httptest.NewRecorder(), r)
	if r.URL.Path != "/other/way/info" {
		t.Errorf("the request is now for %s", r.URL.Path)
	}
}

// The target of OPTIONS * and of CONNECT is no path.
func TestRouterHasNothingForTargetsWithoutPath(t *testing.T) {
	routes := &router{rest: http.NotFoundHandler()}
	routes.add("", named("root"))
	for _, path := range []string{"*", "x"} {
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, &http.Request{Method: http.MethodOptions, URL: &url.URL{Path: path}})
		if w.Code != http.StatusNotFound {
			t.Errorf("%q: got %d", path, w.Code)
		}
	}
}

const notFoundBody = "404 page not found\n"

// named answers with its name and the path that it was given.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", name, r.URL.Path)
	})
}

func get(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
