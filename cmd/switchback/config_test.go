package main

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"switchback/transport"
)

var update = flag.Bool("update", false, "rewrite the expected messages in testdata/config/bad")

// read reads a file of testdata over the defaults.
func read(t *testing.T, name string) (config, error) {
	t.Helper()
	t.Chdir(filepath.Join("..", "..", "testdata", filepath.Dir(name)))
	conf := defaultConfig()
	err := conf.readFile(filepath.Base(name))
	return conf, err
}

func mustRead(t *testing.T, name string) config {
	t.Helper()
	conf, err := read(t, name)
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

func TestConfigHoldsWhatTheFileSays(t *testing.T) {
	page := true
	want := config{
		addr:            ":9000",
		clientURL:       "/client.js",
		logLevel:        zapcore.DebugLevel,
		logFormat:       "json",
		page:            &page,
		shutdownTimeout: 90 * time.Second,
		memoryLimit:     6 << 30,
		http:            httpConfig{headerTimeout: 5 * time.Second, idleTimeout: 30 * time.Second, headerLimit: 8 << 10},
		endpoints: []endpointConfig{{
			where: "full.yaml:16: endpoints[0]", path: "/notify/v2", aliases: []string{"/notify"}, handler: "broadcast", implementation: "igm",
			options: transport.Options{
				ClientURL:          "https://cdn.example.com/sockjs.js",
				HeartbeatDelay:     20 * time.Second,
				DisconnectDelay:    6 * time.Second,
				ResponseLimit:      4096,
				DisabledTransports: []string{"websocket", "jsonp-polling"},
				RawWebSocket:       true,
				Hixie76:            true,
				CookieNeeded:       true,
				AllowedOrigins:     []string{"https://example.com", "https://*.example.com:[8080,8081]"},
				TrustedProxies: []netip.Prefix{
					netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
				},
				Forwarded:        "x-forwarded",
				Hosts:            []string{"chat.example.com", "::1"},
				MessageLimit:     1000,
				BodyLimit:        2 << 20,
				BatchLimit:       100,
				SessionLimit:     200,
				AddressLimit:     300,
				QueueLimit:       4096,
				InboxLimit:       5000,
				BodyTimeout:      1 * time.Second,
				WriteTimeout:     2 * time.Second,
				HandshakeTimeout: 3 * time.Second,
				CloseTimeout:     4 * time.Second,
				InboxTimeout:     5 * time.Second,
			},
		}},
		static: []staticConfig{
			{where: "full.yaml:47: static[0]", path: "/alarm", dir: "../apps/alarm"},
			{where: "full.yaml:48: static[1]", path: "/config", dir: "."},
		},
	}
	if got := mustRead(t, "config/full.yaml"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEndpointsShareSettingsByAnchor(t *testing.T) {
	origins := []string{"https://example.com"}
	want := []endpointConfig{
		{where: "shared.yaml:3: endpoints[0]", path: "/echo", handler: "echo", implementation: "switchback",
			options: transport.Options{HeartbeatDelay: -1, AllowedOrigins: origins}},
		{where: "shared.yaml:8: endpoints[1]", path: "/second", handler: "echo", implementation: "switchback",
			options: transport.Options{HeartbeatDelay: 10 * time.Second, AllowedOrigins: origins}},
		{where: "shared.yaml:11: endpoints[2]", path: "/third", handler: "close", implementation: "switchback",
			options: transport.Options{AllowedOrigins: origins}},
	}
	if got := mustRead(t, "config/shared.yaml").endpoints; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestConformanceConfigDiffersFromTheDefaultsOnlyWhereTheSuiteAsks(t *testing.T) {
	conf := mustRead(t, "conformance.yaml")
	want := map[string]transport.Options{
		"/echo":                    {ResponseLimit: 4096, RawWebSocket: true, Hixie76: true},
		"/disabled_websocket_echo": {DisabledTransports: []string{"websocket"}},
		"/cookie_needed_echo":      {CookieNeeded: true},
		"/close":                   {},
		"/amplify":                 {},
		"/broadcast":               {},
	}
	got := map[string]transport.Options{}
	for _, e := range conf.endpoints {
		if !reflect.DeepEqual(e.options.AllowedOrigins, []string{"*"}) {
			t.Errorf("%s allows %q", e.path, e.options.AllowedOrigins)
		}
		e.options.AllowedOrigins = nil
		got[e.path] = e.options
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	conf.endpoints = nil
	if !reflect.DeepEqual(conf, defaultConfig()) {
		t.Errorf("got %+v beside the endpoints", conf)
	}
}

func TestPageIsServedWhereNoEndpointsAreListed(t *testing.T) {
	for name, want := range map[string]bool{
		"config/empty.yaml":    true,
		"config/settings.yaml": true,
		"config/shared.yaml":   false,
		"config/full.yaml":     true, // says so
	} {
		t.Run(name, func(t *testing.T) {
			if conf := mustRead(t, name); conf.servesPage() != want {
				t.Errorf("serves the page: %v", !want)
			}
		})
	}
}

func TestBadConfigNamesFileLineKeyAndWhatIsAllowed(t *testing.T) {
	files, err := filepath.Glob("../../testdata/config/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, "no files")
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			_, err := read(t, "config/bad/"+name)
			if err == nil {
				t.Fatal("no error")
			}
			golden(t, strings.TrimSuffix(name, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestMissingConfigIsNamed(t *testing.T) {
	_, err := read(t, "config/nowhere.yaml")
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("got %v", err)
	}
}
