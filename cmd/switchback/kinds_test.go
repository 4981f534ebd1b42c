package main

import (
	"fmt"
	"testing"
)

func TestKindsTakeWhatTheySay(t *testing.T) {
	check(t, "address", addressKind,
		[]string{"127.0.0.1:8081", ":0", "localhost:65535", "[::1]:80"},
		[]string{"", "8081", "localhost", "localhost:http", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "http://localhost:80"})
	check(t, "client URL", clientURLKind,
		[]string{"https://cdn.example.com/sockjs.js", "http://localhost:3000/s.js?v=1", "//cdn.example.com/s.js", "/s.js"},
		[]string{"", "s.js", "javascript:alert(1)", "https://", "https:///s.js", "data:text/javascript,1", "/s.js\">", "/a b.js", "/%zz"})
	check(t, "level", levelKind, []string{"debug", "info", "warn", "error"}, []string{"", "loud", "fatal", "panic", "0"})
	check(t, "bool", boolKind, []string{"true", "false"}, []string{"", "yes", "1", "True"})
	check(t, "duration", durationKind, []string{"1ns", "25s", "1m30s", "1.5h"}, []string{"", "0", "0s", "25", "-5s", "soon", "1d"})
	check(t, "heartbeat", heartbeatKind, []string{"25s", "off"}, []string{"", "0", "-1s", "never"})
	check(t, "count", countKind, []string{"1", "1_000", "0x10"}, []string{"", "0", "-1", "1.5", "1e3", "many", "9223372036854775808"})
	check(t, "size", sizeKind, []string{"1", "4096", "128KiB", "1 MiB", "2GiB"}, []string{"", "0", "-1KiB", "1KB", "1.5MiB", "KiB", "9223372036854775807KiB"})
	check(t, "prefix", prefixKind, []string{"10.0.0.0/8", "10.0.0.1", "::1", "2001:db8::/32"}, []string{"", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "example.com"})
	check(t, "path", pathKind,
		[]string{"/", "/echo", "/v1.0/echo", "/a-b_c~d"},
		[]string{"", "echo", "/echo/", "//echo", "/a//b", "/a/../b", "/a/.", "/a b", "/a%20b", "/a?b", "/a#b", "/é", "/a\n"})
	check(t, "origin", originKind,
		[]string{"*", "null", "https://example.com", "http://localhost:3000", "https://*.example.com:[8080,8081]", "chrome-extension://abc", "null", "file://", "https://example.com/", "wss://example.com"},
		[]string{"", "example.com", "https://", "file:", "file:///home/page", "https://example.com//", "https://example.com/page", "https://a b", "//example.com"})
	check(t, "host", hostKind,
		[]string{"localhost", "chat.example.com", "Chat.Example.com.", "xn--bcher-kva.example", "127.0.0.1", "::1", "[::1]"},
		[]string{"", ".", "https://example.com", "example.com:8081", "[::1]:80", "*.example.com", "a b", "a/b", "a,b", "é.example"})
	check(t, "one of", oneOf("a", "b"), []string{"a", "b"}, []string{"", "A", "ab"})
}

func check[T any](t *testing.T, name string, k kind[T], good, bad []string) {
	t.Helper()
	for _, text := range good {
		if _, ok := k.parse(text); !ok {
			t.Errorf("%s: %q is refused", name, text)
		}
	}
	for _, text := range bad {
		if v, ok := k.parse(text); ok {
			t.Errorf("%s: %q is taken, as %v", name, text, v)
		}
	}
}

func TestSizesHaveUnits(t *testing.T) {
	for text, want := range map[string]int{"7": 7, "1KiB": 1024, "3MiB": 3 << 20, "2GiB": 2 << 30} {
		if got, _ := sizeKind.parse(text); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

func TestAlternativesReadAsASentence(t *testing.T) {
	for want, names := range map[string][]string{"": nil, "a": {"a"}, "a or b": {"a", "b"}, "a, b or c": {"a", "b", "c"}} {
		if got := alternatives(names); got != want {
			t.Errorf("%v: got %q", names, got)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"path", "path", 0}, {"pth", "path", 1}, {"adr", "addr", 1}, {"dealy", "delay", 2}, {"kitten", "sitting", 3}} {
		t.Run(fmt.Sprintf("%s-%s", c.a, c.b), func(t *testing.T) {
			if got := editDistance(c.a, c.b); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
