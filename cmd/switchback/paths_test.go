package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Several paths of an endpoint are one: sessions, limits and the room.
func TestEndpointIsOneAtAllItsPaths(t *testing.T) {
	t.Parallel()
	for _, implementation := range []string{"switchback", "igm"} {
		t.Run(implementation, func(t *testing.T) {
			limit := ", session_limit: 3"
			if implementation == "igm" {
				limit = ""
			}
			file := writeFile(t, "conf.yaml", "endpoints: [{path: [/a, /b/c, /], handler: broadcast, implementation: "+implementation+limit+"}]")
			p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", file)
			first := dial(t, p.url+"a/websocket")
			says(t, first, "first")
			for _, path := range []string{"b/c/websocket", "websocket"} {
				says(t, dial(t, p.url+path), path)
				if got := next(t, first); got != path {
					t.Errorf("the first path got %q", got)
				}
			}
			if implementation == "igm" {
				return // has no limits
			}
			if got := fetchPost(t, p.url+"b/c/0/fourth/xhr"); got != "503 Too many sessions\n" {
				t.Errorf("a fourth session, by another path: %q", got)
			}
			first.Close()
			for begun := time.Now(); ; {
				got := fetchPost(t, p.url+"b/c/0/fourth/xhr")
				if got == "200 o\n" {
					break
				}
				if time.Since(begun) > patience {
					t.Fatal(got)
				}
			}
			if got := fetchPost(t, p.url+"a/0/fourth/xhr_send"); got == "404 " {
				t.Error("there is no session at the first path that was opened at another")
			}
		})
	}
}

func fetchPost(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Post(url, "text/plain", strings.NewReader(`["x"]`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Status[:4] + string(body)
}
