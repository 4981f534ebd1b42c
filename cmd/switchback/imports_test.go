package main

import (
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// imports are the packages of this module, and of others, that a package may
// import. Handlers and transports never meet.
var imports = map[string][]string{
	"session/option":             {},
	"session/frame":              {},
	"session/limit":              {},
	"session/memory":             {},
	"session":                    {"session/frame", "session/limit", "session/memory"},
	"session/auth":               {"session", "session/option", "github.com/golang-jwt/jwt/v5", "github.com/MicahParks/jwkset"},
	"session/sessiontest":        {"session"},
	"transport":                  {"session", "session/option", "session/frame", "session/limit", "session/memory", "transport/internal/guard", "transport/internal/http1", "transport/internal/netpoll", "github.com/rs/cors"},
	"transport/internal/guard":   {"session"},
	"transport/internal/http1":   {"session/memory", "transport/internal/netpoll"},
	"transport/internal/netpoll": {"session/memory", "golang.org/x/sys/unix"},
	"transport/client":           {"session/option", "session/frame", "github.com/gorilla/websocket"},
	"transport/igm":              {"session", "transport", "transport/internal/guard", "github.com/gorilla/websocket", "github.com/igm/sockjs-go/v3/sockjs"},
	"handler":                    {"session", "session/memory"},
	"handler/history":            {"handler", "session/memory", "session/option", "handler/stomp/antpath"},
	"handler/chat":               {"session", "session/memory", "session/option", "handler", "handler/history", "handler/presence", "handler/rules"},
	"handler/presence":           {"session/memory", "session/option"},
	"handler/engine":             {"session/memory", "session/option", "handler"},
	"handler/engine/enginetest":  {"handler"},
	"handler/engine/nats":        {"handler/engine", "github.com/nats-io/nats.go"},
	"handler/engine/natsserver":  {"handler/engine/nats", "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2/server"},
	"handler/engine/redis":       {"handler/engine", "github.com/redis/rueidis"},
	"handler/rules":              {"session", "handler/stomp/antpath"},
	"handler/stomp/frame":        {},
	"handler/stomp/antpath":      {},
	"handler/stomp":              {"session", "session/limit", "session/option", "session/memory", "handler", "handler/history", "handler/rules", "handler/stomp/frame", "handler/stomp/antpath"},
	"web":                        {},
	"web/admin": {
		"session", "session/auth", "session/option", "session/memory", "handler", "handler/chat", "handler/engine", "handler/history", "handler/rules", "handler/stomp", "transport", "web/admin/client",
		"github.com/prometheus/client_golang/prometheus", "github.com/prometheus/client_golang/prometheus/collectors",
		"github.com/prometheus/client_golang/prometheus/promhttp",
	},
	"web/admin/client": {"handler/stomp"},

	"handler/history/internal/plan": {"handler/history"},
	"handler/history/memory":        {"session/option", "handler/history", "handler/history/internal/plan"},
	"handler/history/sqlite":        {"session/option", "handler/history", "handler/history/internal/plan", "github.com/gofrs/flock", "modernc.org/sqlite", "modernc.org/sqlite/lib"},
	"handler/history/storetest":     {"handler/history"},
	"handler/history/postgrestest":  {"github.com/jackc/pgx/v5"},
	"handler/history/postgres": {
		"session/option", "handler/history", "handler/history/internal/plan",
		"github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/pgconn", "github.com/jackc/pgx/v5/pgxpool",
	},
}

// without are packages of the standard library that a package does without.
var without = map[string][]string{
	"transport/internal/netpoll": {"net/http"},
}

func TestWhoImportsWhom(t *testing.T) {
	t.Parallel()
	const module = "switchback/"
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], module)
		if strings.HasPrefix(name, "cmd/") {
			continue
		}
		allowed, known := imports[name]
		if !known {
			t.Errorf("%s is not in the table", name)
		}
		for _, path := range fields[1:] {
			path = strings.TrimPrefix(path, module)
			if outside(path) && !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", name, path)
			}
			if slices.Contains(without[name], path) {
				t.Errorf("%s imports %s, which it does without", name, path)
			}
		}
	}
}

// outside tells packages that are not of the standard library, the module's
// own among them.
func outside(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") || slices.Contains([]string{"session", "transport", "handler", "web", "cmd"}, first)
}

// Package comments say which file is which: what they name is there.
func TestPackageCommentsNameFilesThatThereAre(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "switchback/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b[a-z0-9_]+\.go\b`)
	found := 0
	for dir := range strings.Lines(string(out)) {
		dir = strings.TrimSpace(dir)
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range named.FindAllString(parsed.Doc.Text(), -1) {
				found++
				// park.go may be park_linux.go and park_other.go.
				variants, err := filepath.Glob(filepath.Join(dir, strings.TrimSuffix(name, ".go")+"_*.go"))
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(files, filepath.Join(dir, name)) && len(variants) == 0 {
					t.Errorf("%s names %s, which is not there", file, name)
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("package comments name only %d files", found)
	}
}
