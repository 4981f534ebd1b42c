package main

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"switchback/handler/history"
	"switchback/handler/stomp"
	"switchback/session/option"
	"switchback/transport"
)

// An exampleKey is a key of the example that is no field of the options: its value, and a
// sentence. One whose value is no default begins with #.
type exampleKey struct{ key, value, sentence string }

// The keys of the example, by the mapping they are in, in order. A key without a value is a
// mapping of its own.
var exampleKeys = map[string][]exampleKey{
	"": {
		{"addr", "127.0.0.1:8081", "Where the server listens: host and port."},
		{"log_level", "info", "What is logged to stderr: debug, info, warn or error."},
		{"log_format", "text", "What a line of the log is: text, for people, or json."},
		{"shutdown_timeout", "10s", "Time that sessions have to end in when the server is told to stop."},
		{"memory_limit", "1GiB", "What clients may have the server hold, over all endpoints."},
		{"#page", "true", "The test page at / and the chat at /chat.html. The default is true where no endpoints are listed."},
		{"#client_url", "/sockjs.min.js", "The sockjs-client that iframes load, for all endpoints."},
		{"http", "", "Before an endpoint has a request."},
		{"#tls", "", "HTTPS, with these files; relative to the folder of this one. The default is plain HTTP."},
		{"#static", "{path: /, dir: ./public}", "Folders whose files are served, one or a list. The default is none."},
		{"#admin", "", "A listener for operators and other services, with metrics, health and the API. The default is none."},
		{"history", "", "What is kept of topics, for who comes late or comes back. The default is nothing."},
		{"#cluster", "", "Several nodes that serve the same topics: what they have in common."},
		{"#engine", "", "What carries publications between them. The default is one node alone."},
		{"#auth", "", "Who may open sessions. The default is everybody."},
		{"#rules", "", "Who may do what; the first that decides wins. The default is that everybody may do everything."},
		{"stomp", "", "The broker of all endpoints whose handler is stomp."},
		{"endpoints", "", "What is served. The default is the pages, with /echo, /broadcast and /chat."},
	},
	"http": {
		{"header_timeout", "10s", "In which a request's header must be complete."},
		{"idle_timeout", "120s", "After which a connection without a request is closed."},
		{"header_limit", "16KiB", "The size of a request's header."},
	},
	"tls": {
		{"#cert", "cert.pem", "The certificate, with its chain."},
		{"#key", "key.pem", "Its key. Both are read again when they change, and at SIGHUP."},
		{"#parked", "true", "false leaves TLS to Go's net/http, where an idle session costs 20 to 50 KiB."},
		{"#handshake_limit", "1024", "Handshakes that are under way; further clients wait their turn, and who has taken 5s gives way."},
	},
	"admin": {
		{"#addr", "127.0.0.1:8082", "Where it listens."},
		{"#token_file", "admin.token", "The file with the token that the API asks for."},
	},
	"history": {
		{"#store", "sqlite:history.db", "Where it is kept: memory:, sqlite:FILE or postgres://user@host/database. The default is memory:, which ends with the process."},
		{"#topics", "[{topics: \"/topic/**\", count: 1000, age: 720h, bytes: 64MiB, mode: durable, unread: false}]", "What is kept; the first that matches decides. mode: durable or fast."},
	},
	"cluster": {
		{"#name", "prod", "The name, which is the same on all nodes. The default is switchback."},
		{"#secret_file", "cluster.secret", "The file with the secret that nodes know each other by, of 32 characters or more. SWITCHBACK_CLUSTER_SECRET goes before it."},
	},
	"engine": {
		{"#nats", "embedded", "embedded, or the URLs of NATS: nats://host:4222."},
		{"#redis", "redis://host:6379", "The URL of Redis, in the place of nats."},
		{"#routes", "{listen: \"10.0.0.4:7401\", seeds: [\"10.0.0.5:7401\"]}", "Of nats: embedded: where other nodes connect, never a public address, and where some of them are."},
		{"#on_loss", "keep", "What becomes of sessions when publications may have been lost: keep or close. The default is keep."},
		{"#outbox", "8MiB", "What is kept of publications until all other nodes have confirmed them."},
	},
	"auth": {
		{"#jwt", "{jwks_url: \"https://id.example.com/keys\", issuer: \"https://id.example.com\", audience: chat}", "Whose tokens are accepted; or secret_file, key_file."},
		{"#tickets", "{life: 30s}", "How long a ticket, for which a token is exchanged, opens sessions."},
		{"#required", "true", "Whether everybody has to say who it is; an endpoint's own auth goes before."},
	},
	"rules": {
		{"#- {on", "subscribe, to: \"/alarm/{user}\", allow: authenticated}", "on: connect, subscribe, send, create, join or read; to: an Ant pattern; allow or deny: all, authenticated, anonymous, {role: admin} or {user: kim}."},
		{"#- {deny", "all}", "What no rule is about is refused, too. In the place of this line, allow: all is Spring's behaviour."},
	},
	"stomp": {
		{"#logins", "[{login: guest, passcode: guest}]", "Who may connect. The default is everybody."},
	},
	"endpoints": {
		{"path", "/chat", "Where it is; required."},
		{"handler", "broadcast", "What it serves: " + nameIn(handlers).want + "; required."},
		{"#chat", "{protocol: json, text_limit: 4KiB, member_limit: 1000}", "Of the handler chat, instead of broadcast: what it speaks, json or text, and its limits."},
		{"#auth", "optional", "required, optional or off. The default is auth.required."},
		{"implementation", "switchback", "What carries its sessions: switchback or igm."},
	},
}

// Values of options that have no default, or whose default is in code.
var exampleValues = map[string]string{
	"client_url": "/sockjs.min.js", "disabled_transports": "[" + strings.Join(transport.Transports(), ", ") + "]", "allowed_origins": "[\"https://example.com\"]", "trusted_proxies": "[10.0.0.0/8]",
	"hosts": "[chat.example.com]", "topics": "[/topic, /queue]", "queues": "[/work]", "apps": "[/app]",
	"address_limit": "100", "user_limit": "10", "message_rate": "100", "message_burst": "200", "byte_rate": "64KiB", "byte_burst": "256KiB",
	"publish_rate": "100", "publish_burst": "200", "heartbeat_send": "10s", "heartbeat_receive": "10s", "body_limit": "64KiB", "header_limit": "16KiB",
}

// exampleOf are the keys of a struct of options, with the first sentence of their docs.
func exampleOf(t *testing.T, file string, options reflect.Type, known map[string]setting) (keys []exampleKey) {
	for _, field := range optionsOf(t, file) {
		for _, name := range field.Names {
			key := snakeCase(name.Name)
			if _, there := known[key]; !there {
				continue // for programs in Go
			}
			f, _ := options.FieldByName(name.Name)
			value, active := f.Tag.Lookup("default")
			switch {
			case active:
			case f.Type.Kind() == reflect.Bool:
				value, active = "false", true
			default:
				value = exampleValues[key]
			}
			if value == "" {
				t.Errorf("say in exampleValues what %s may be", key)
			}
			keys = append(keys, exampleKey{mark(key, active), value, firstSentence(field.Doc.Text(), name.Name, options)})
		}
	}
	return keys
}

func mark(key string, active bool) string {
	if active {
		return key
	}
	return "#" + key
}

// firstSentence is that of an option's doc, as it is said of its key.
func firstSentence(doc, name string, options reflect.Type) string {
	sentence, _, _ := strings.Cut(strings.Join(strings.Fields(doc), " ")+" ", ". ")
	sentence = strings.TrimSuffix(strings.TrimSpace(sentence), ".")
	if sentence == "" {
		return "" // the doc before it tells of both
	}
	key := snakeCase(name)
	if rest, said := strings.CutPrefix(sentence, name+" "); said {
		sentence = key + " " + rest
	}
	for field := range options.Fields() {
		if !strings.Contains(snakeCase(field.Name), "_") {
			continue // as good as any word
		}
		sentence = regexp.MustCompile(`\b`+field.Name+`\b`).ReplaceAllString(sentence, snakeCase(field.Name))
	}
	for _, verb := range []string{" is ", " are "} {
		if rest, said := strings.CutPrefix(sentence, key+verb); said {
			sentence = strings.ToUpper(rest[:1]) + rest[1:]
		}
	}
	return sentence + "."
}

// comment writes a sentence in lines of no more than 100 bytes.
func comment(b *strings.Builder, indent, sentence string) {
	line := indent + "#"
	for word := range strings.FieldsSeq(sentence) {
		if len(line)+len(word) >= 100 {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

// buildExample writes the example.
func buildExample(t *testing.T) string {
	root := new(config).settings("").keys
	endpoint := new(endpointConfig).settings().keys
	all := maps.Clone(exampleKeys)
	all["stomp"] = slices.Concat(exampleOf(t, "../../handler/stomp/options.go", reflect.TypeFor[stomp.Options](), root["stomp"].keys), all["stomp"])
	all["history"] = slices.Concat(all["history"], exampleOf(t, "../../handler/history/log.go", reflect.TypeFor[history.Options](), root["history"].keys))
	all["endpoints"] = slices.Concat(all["endpoints"], exampleOf(t, "../../transport/options.go", reflect.TypeFor[transport.Options](), endpoint))
	for where, keys := range map[string]map[string]setting{
		"": root, "http": root["http"].keys, "tls": root["tls"].keys, "history": root["history"].keys, "stomp": root["stomp"].keys, "endpoints": endpoint,
	} {
		for key := range keys {
			if !slices.ContainsFunc(all[where], func(k exampleKey) bool { return strings.TrimPrefix(k.key, "#") == key }) {
				t.Errorf("%q of %q is not in the example: say what it may be in exampleKeys", key, where)
			}
		}
	}
	var b strings.Builder
	b.WriteString("# Every key of a configuration, with its default. A key behind #, at once, has no default, or\n" +
		"# another way to say it: what follows is an example. Leave out what you do not change.\n")
	var write func(where, indent string)
	write = func(where, indent string) {
		for i, k := range all[where] {
			name, commented := strings.CutPrefix(k.key, "#")
			front := indent
			if where == "endpoints" {
				if front = indent + "  "; i == 0 {
					front = indent + "- "
				}
			}
			if k.sentence != "" {
				if where == "" {
					b.WriteByte('\n')
				}
				comment(&b, strings.Repeat(" ", len(front)), k.sentence)
			}
			b.WriteString(strings.TrimRight(front+mark(name, !commented)+": "+k.value, " ") + "\n")
			if k.value == "" {
				write(name, indent+"  ")
			}
		}
	}
	write("", "")
	return b.String()
}

// behindMark is a key that the example has as a comment.
var behindMark = regexp.MustCompile(`(?m)^( *(?:- )?)#(\S)`)

func TestExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	golden(t, "example.yaml", buildExample(t))
	text, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := finish(t, "config", "example")
	if !*update && (status != 0 || stdout != string(text) || stderr != "") { // what is embedded is as before
		t.Errorf("%d\n%s%s", status, stdout, stderr)
	}
	// As it is it says nothing new.
	conf := defaultConfig()
	if err := readYAML("example.yaml", text, conf.settings("")); err != nil {
		t.Fatal(err)
	}
	same := func(what string, options, complete any, err error) {
		if err != nil || !reflect.DeepEqual(options, complete) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", what, err, options, complete)
		}
	}
	e, err := conf.endpoints[0].options.Complete()
	e.Logger = nil
	usual, _ := transport.Options{}.Complete()
	usual.Logger = nil
	same("endpoint", e, usual, err)
	s, err := conf.stomp.options.Complete()
	s.Logger = nil
	plain, _ := stomp.Options{}.Complete()
	plain.Logger = nil
	same("stomp", s, plain, err)
	var keeping history.Options
	option.SetDefaults(&keeping)
	keeping.Separator = ""
	same("history", conf.history.options, keeping, nil)
	conf.stomp, conf.endpoints, conf.history = stompConfig{}, nil, historyConfig{}
	same("the rest", conf, defaultConfig(), nil)

	file := writeFile(t, "example.yaml", string(text))
	if status, stdout, stderr := finish(t, "config", "check", file); status != 0 || stderr != "" {
		t.Errorf("%d\n%s%s", status, stdout, stderr)
	}
	// What is behind # is right, too, but for files that are not here.
	whole := behindMark.ReplaceAllString(string(text), "$1$2")
	conf = defaultConfig()
	err = readYAML("example.yaml", []byte(whole), conf.settings(""))
	if err == nil {
		t.Fatal("files that are not here are")
	}
	for line := range strings.Lines(err.Error()) {
		if !strings.Contains(line, "no such file") && !strings.Contains(line, "chat is of the handler chat") {
			t.Errorf("got %s", line)
		}
	}
	if len(conf.rules.list) != 2 || conf.endpoints[0].options.MessageBurst == 0 {
		t.Errorf("got %+v", conf)
	}
}
