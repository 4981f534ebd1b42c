package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"switchback/handler/chat"
	"switchback/transport"
)

// Each field that a file can hold is set by the key of its name, and nothing else is:
// numbers, durations and switches without a line here or in the settings.
func TestEveryOptionHasAKeyOfItsName(t *testing.T) {
	texts := map[string]string{
		"client_url": "/a.js", "forwarded": "forwarded", "hosts": "[localhost]", "trusted_proxies": "[10.0.0.0/8]",
		"disabled_transports": "[websocket]", "allowed_origins": "[https://example.com]",
		"topics": "[/t]", "queues": "[/q]", "apps": "[/a]", "user_prefix": "/me", "separator": ".",
		"read_destination": "/app/seen",
	}
	for file, options := range map[string]func(c *config) reflect.Value{
		"endpoints: [{path: /, handler: echo, %s: %s}]":         func(c *config) reflect.Value { return reflect.ValueOf(&c.endpoints[0].options).Elem() },
		"endpoints: [{path: /, handler: chat, chat: {%s: %s}}]": func(c *config) reflect.Value { return reflect.ValueOf(&c.endpoints[0].chat).Elem() },
		"stomp: {%s: %s}": func(c *config) reflect.Value { return reflect.ValueOf(&c.stomp.options).Elem() },
	} {
		for field := range options(&config{endpoints: make([]endpointConfig, 1)}).Type().Fields() {
			if slices.Contains([]reflect.Kind{reflect.Func, reflect.Interface, reflect.Pointer, reflect.Struct}, field.Type.Kind()) {
				continue // for programs in Go
			}
			if field.Name == "TokenHeader" || field.Name == "Path" {
				continue // auth.jwt.header is for all endpoints; the path is the endpoint's
			}
			key := snakeCase(field.Name)
			text := texts[key]
			want := text
			switch {
			case field.Type == reflect.TypeFor[chat.Protocol]():
				text, want = "text", fmt.Sprint(chat.Text)
			case field.Type.Kind() == reflect.Bool:
				text, want = "true", "true"
			case field.Type == reflect.TypeFor[time.Duration]():
				text, want = "7s", "7s"
			case field.Tag.Get("unit") == "bytes":
				text, want = "7KiB", "7168"
			case text == "":
				text, want = "7", "7"
			}
			rate, isBurst := strings.CutSuffix(field.Name, "Burst")
			if rate += "Rate"; isBurst { // and is nothing without it
				text += ", " + snakeCase(rate) + ": 7"
			}
			var conf config
			if err := readYAML("f", fmt.Appendf(nil, file, key, text), conf.settings("")); err != nil {
				t.Error(err)
				continue
			}
			set := options(&conf)
			if got := fmt.Sprint(set.FieldByIndex(field.Index)); got != want {
				t.Errorf("%s: %s: %s is %s", key, text, field.Name, got)
			}
			if isBurst {
				set.FieldByName(rate).SetZero()
			}
			if set.FieldByIndex(field.Index).SetZero(); !set.IsZero() {
				t.Errorf("%s sets more than %s: %+v", key, field.Name, set)
			}
		}
	}
}

func TestKeysAreSnakeCase(t *testing.T) {
	for name, want := range map[string]string{"ClientURL": "client_url", "Hixie76": "hixie76", "RawWebSocket": "raw_websocket", "HeaderCountLimit": "header_count_limit"} {
		if got := snakeCase(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

var (
	quantity = regexp.MustCompile(`^([0-9]+)([A-Za-z]*)$`)
	thousand = regexp.MustCompile(`([0-9])([0-9]{3})(,|$)`)
)

// written is the default of a tag as prose has it.
func written(tag, quote string, units map[string]string) string {
	m := quantity.FindStringSubmatch(tag)
	if m == nil {
		return quote + tag + quote
	}
	n := m[1]
	for thousand.MatchString(n) {
		n = thousand.ReplaceAllString(n, "$1,$2$3")
	}
	if m[2] == "" {
		return n
	}
	return n + " " + units[m[2]]
}

func TestDocsOfOptionsSayWhatTheTagsSay(t *testing.T) {
	units := map[string]string{"ms": "milliseconds", "s": "seconds", "h": "hours", "KiB": "KiB", "MiB": "MiB", "GiB": "GiB"}
	for _, file := range []string{"transport/options.go", "transport/client/options.go", "handler/stomp/options.go", "handler/chat/chat.go", "handler/history/log.go", "handler/engine/engine.go", "session/auth/verifier.go"} {
		var doc string
		for _, field := range optionsOf(t, "../../"+file) {
			var tags reflect.StructTag
			if field.Tag != nil {
				tags = reflect.StructTag(strings.Trim(field.Tag.Value, "`"))
			}
			if field.Doc != nil { // otherwise the one before it tells of both
				doc = strings.Join(strings.Fields(field.Doc.Text()), " ")
			}
			if inBytes.MatchString(doc) && tags.Get("unit") != "bytes" {
				t.Errorf("%s: the doc of %s says that it is in bytes, and no tag does", file, field.Names[0])
			}
			tag, has := tags.Lookup("default")
			want := written(tag, `"`, units)
			if strings.HasPrefix(want, "1 ") {
				want = strings.TrimSuffix(want, "s")
			}
			if has && !regexp.MustCompile(`The default(s are| is)( [^.]*)? `+regexp.QuoteMeta(want)+`[ .;,]`).MatchString(doc+" ") {
				t.Errorf("%s: the doc of %s does not say that its default is %s", file, field.Names[0], want)
			}
		}
	}
}

var inBytes = regexp.MustCompile(` is the (size|length) .*in bytes| is the number of bytes`)

// optionsOf are the fields of a file's type Options.
func optionsOf(t *testing.T, file string) (fields []*ast.Field) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == "Options" {
			fields = spec.Type.(*ast.StructType).Fields.List
		}
		return true
	})
	return fields
}

func TestReadmeHasARowOfEachOptionOfAnEndpoint(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Options\n")
	rows := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Z]\w+) \| ([^|]+) \| [^|]+ \|$`).FindAllStringSubmatch(table, -1) {
		rows[m[1]] = m[2]
	}
	units := map[string]string{"s": "s", "KiB": "KiB", "MiB": "MiB"}
	for field := range reflect.TypeFor[transport.Options]().Fields() {
		got, there := rows[field.Name]
		tag, has := field.Tag.Lookup("default")
		if want := written(tag, "`", units); !there || has && got != want {
			t.Errorf("%s: %q; want %s", field.Name, got, want)
		}
		if field.Type.Kind() == reflect.Bool && got != "off" {
			t.Errorf("%s: %q; want off", field.Name, got)
		}
		delete(rows, field.Name)
	}
	if len(rows) > 0 {
		t.Errorf("no option: %v", slices.Collect(maps.Keys(rows)))
	}
}
