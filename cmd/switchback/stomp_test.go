package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"switchback/transport"
)

// What the file's stomp says of prefixes, as Spring's configuration says it, and
// what two subscribers of a destination get of what a third sends to it: all
// that Spring's simple broker gives them, unless the file asks for queues.
func TestPrefixesOfTheFileAreServed(t *testing.T) {
	for _, e := range []struct {
		spring, stomp, destination string
		want                       int // who get it
	}{
		{`enableSimpleBroker("/topic", "/queue")`, `{}`, "/topic/a", 2},
		{`enableSimpleBroker("/topic", "/queue")`, `{}`, "/queue/a", 2},
		{`enableSimpleBroker("/topic", "/queue")`, `{}`, "/queue/price.*", 2},
		{`enableSimpleBroker("/topic", "/queue")`, `{topics: [/topic, /queue]}`, "/queue/a", 2},
		{`enableSimpleBroker("/topic", "/queue")`, `{topics: [/topic, /queue], queues: []}`, "/queue/a", 2},
		{`enableSimpleBroker("/topic", "/queue/notice")`, `{topics: [/topic, /queue/notice]}`, "/queue/notice/1", 2},
		{`enableSimpleBroker("/topic", "/queues")`, `{topics: [/topic, /queues]}`, "/queues/1", 2},
		{`enableSimpleBroker("/topic", "/queue")`, `{topics: [/topic, /queue], queues: [/q]}`, "/queue/a", 2},
		{`enableSimpleBroker("/topic", "/queue")`, `{topics: [/topic, /queue], queues: [/work]}`, "/queue/a", 2},
		{`enableSimpleBroker("/sub"), setApplicationDestinationPrefixes("/pub")`, `{topics: [/sub], apps: [/pub]}`, "/sub/room/3", 2},
		{`enableSimpleBroker("/topic", "/app/public")`, `{topics: [/topic, /app/public]}`, "/app/public/1", 2},
		{`enableSimpleBroker("/topic/", "/alarm/")`, `{topics: [/topic/, /alarm/]}`, "/alarm/7", 2},
		{`enableSimpleBroker("/user")`, `{topics: [/user]}`, "/user/kim/alarm", 2},
		{`enableSimpleBroker("/topic", "/user")`, `{topics: [/topic, /user]}`, "/user/kim/alarm", 2},
		{`enableSimpleBroker("/")`, `{topics: [/]}`, "/anything/a", 2},
		{`enableSimpleBroker("/")`, `{topics: [/]}`, "/app/a", 2},
		{`enableSimpleBroker("/")`, `{topics: [/], apps: []}`, "/queue/a", 2},
		{`setApplicationDestinationPrefixes("/")`, `{apps: [/]}`, "/topic/a", 2},
		{`enableSimpleBroker("/topic")`, `{topics: [/topic]}`, "/topics/a", 2},
		{`setPathMatcher(new AntPathMatcher("."))`, `{separator: "."}`, "/topic/a.b", 2},
		{"", `{topics: [], apps: []}`, "/topic/a", 0},
		{"", `{queues: [/queue]}`, "/queue/a", 1},
		{"", `{queues: [/queue]}`, "/topic/a", 2},
		{"", `{topics: [/topic, /queue], queues: [/queue/work]}`, "/queue/work/1", 1},
		{"", `{topics: [/topic, /queue], queues: [/queue/work]}`, "/queue/a", 2},
		{"", `{topics: [/topic, /queue/notice], queues: [/queue]}`, "/queue/notice/1", 2},
	} {
		t.Run(e.stomp+" "+e.destination, func(t *testing.T) {
			if got := deliveries(t, e.stomp, e.destination); got != e.want {
				t.Errorf("%d get it, want %d (Spring: %s)", got, e.want, e.spring)
			}
		})
	}
}

// deliveries counts who of two subscribers get a message for a destination.
func deliveries(t *testing.T, stomp, destination string) (n int) {
	t.Helper()
	conf := defaultConfig()
	text := "stomp: " + stomp + "\nendpoints: [{path: /ws, handler: stomp}]"
	if err := readYAML("conf.yaml", []byte(text), conf.settings("")); err != nil {
		t.Fatal(err)
	}
	s, err := newServer(conf, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.http.Handler)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.endpoints[0].(*transport.Endpoint).Shutdown(ctx)
		web.Close()
		s.broker.Close()
		s.hub.Close()
	})
	for range 2 {
		c := dial(t, web.URL+"/ws/websocket")
		send(t, c, "CONNECT\naccept-version:1.2\n\n\x00SUBSCRIBE\nid:0\ndestination:"+destination+"\nreceipt:1\n\n\x00")
		next(t, c)
		next(t, c) // RECEIPT: it has subscribed
		defer func() {
			send(t, c, "DISCONNECT\nreceipt:2\n\n\x00")
			if strings.HasPrefix(next(t, c), "MESSAGE") {
				n++
			}
		}()
	}
	sender := dial(t, web.URL+"/ws/websocket")
	send(t, sender, "CONNECT\naccept-version:1.2\n\n\x00SEND\ndestination:"+destination+"\nreceipt:1\n\nx\x00")
	next(t, sender)
	next(t, sender)
	return n
}

func send(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// What cannot be decided is refused, with its place in the file.
func TestPrefixesThatAreUnclearAreTold(t *testing.T) {
	const file = "conf.yaml"
	for text, want := range map[string]string{
		"stomp:\n  topics: [/topic, /queue]\n  queues:\n    - /queue\n": "conf.yaml:4: stomp.queues[0] is \"/queue\"; it must not be a prefix of topics, too: leave it out of one of the two",
		"stomp:\n  topics: [/topic]\n  apps: [/app, /topic]\n":          "conf.yaml:3: stomp.apps[1] is \"/topic\"; it must not be a prefix of topics, too: leave it out of one of the two",
		"stomp:\n  topics: [/]\n  apps: [/app]\n":                       "",
		"stomp:\n  topics: [/topic]\n  apps: [/topic/app]\n": "conf.yaml:3: stomp.apps[0] is \"/topic/app\"; it must not be within \"/topic\", a prefix of topics: " +
			"a frame goes to functions or to subscribers, not to both; choose another",
		"stomp:\n  topics: [/topic/**]\n":                   "conf.yaml:2: stomp.topics[0] is \"/topic/**\"; it must be the beginning of destinations, such as /topic, or / for all",
		"stomp:\n  topics: /topic\n":                        "conf.yaml:2: stomp.topics is \"/topic\"; it must be a list, each item the beginning of destinations, such as /topic, or / for all",
		"stomp:\n  topics:\n    - /a\n    - /a/\n":          "conf.yaml:4: stomp.topics[1] is \"/a/\"; it must not be given twice",
		"stomp:\n  queues: [/user/queue]\n":                 "conf.yaml:2: stomp.queues[0] is \"/user/queue\"; it must not be within \"/user\", the prefix of users: choose another",
		"stomp:\n  user_prefix: /me\n  apps: [/app, /me]\n": "conf.yaml:3: stomp.apps[1] is \"/me\"; it must not be a prefix of users, too: leave it out of one of the two",
		"stomp:\n  topics: [topic]\n  apps: [\"\"]\n":       "conf.yaml:2: stomp.topics[0] is \"topic\"; it must be the beginning of destinations, such as /topic, or / for all\nconf.yaml:3: stomp.apps[0] is \"\"; it must be the beginning of destinations, such as /topic, or / for all",
		"stomp:\n  topics: &all [/a]\n  queues: *all\n":     "conf.yaml:2: stomp.queues[0] is \"/a\"; it must not be a prefix of topics, too: leave it out of one of the two",
		"stomp:\n  user_prefix: /\n":                        "conf.yaml:2: stomp.user_prefix is \"/\"; it must be the beginning of destinations of users, such as /user",
		"stomp:\n  logins: []\n":                            "conf.yaml:2: stomp.logins is empty; list who may connect, or leave the key out to let everybody",
		"stomp:\n  topics:\n":                               "conf.yaml:2: stomp.topics has no value; it must be a list, each item the beginning of destinations, such as /topic, or / for all",
		"stomp: {topics: [/topic, /queue], queues: []}\n":   "",
		"endpoints: [{path: /a, handler: echo, allowed_origins: [], disabled_transports: [], trusted_proxies: []}]\n": "",
	} {
		conf := defaultConfig()
		got := ""
		if err := readYAML(file, []byte(text), conf.settings("")); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// A list that is empty is none, and not the default.
func TestEmptyListIsNone(t *testing.T) {
	conf := defaultConfig()
	text := "stomp: {topics: [], queues: [], apps: []}\nendpoints: [{path: /a, handler: echo, allowed_origins: [], disabled_transports: [], trusted_proxies: []}]"
	if err := readYAML("f", []byte(text), conf.settings("")); err != nil {
		t.Fatal(err)
	}
	o, e := conf.stomp.options, conf.endpoints[0].options
	for name, isNil := range map[string]bool{
		"topics": o.Topics == nil, "queues": o.Queues == nil, "apps": o.Apps == nil,
		"allowed_origins": e.AllowedOrigins == nil, "disabled_transports": e.DisabledTransports == nil, "trusted_proxies": e.TrustedProxies == nil,
	} {
		if isNil {
			t.Errorf("%s is as if it were not there", name)
		}
	}
}

// Keys of other servers.
func TestKeyThatIsMeantIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"stomp: {relay: x}":                                  "messages are not relayed to another broker",
		"relay: x":                                           "messages are not relayed to another broker",
		"endpoints: [{relay: x}]":                            "messages are not relayed to another broker",
		"stomp: {heartbeat: 10s}":                            "stomp.heartbeat_send and stomp.heartbeat_receive",
		"heartbeat: 10s":                                     "stomp.heartbeat_send and stomp.heartbeat_receive",
		"stomp: {setHeartbeatValue: [1, 2]}":                 "stomp.heartbeat_send and stomp.heartbeat_receive",
		"stomp: {app_prefixes: [/app]}":                      "stomp.apps lists",
		"app_prefixes: [/app]":                               "stomp.apps lists",
		"stomp: {applicationDestinationPrefixes: [/app]}":    "stomp.apps lists",
		"stomp: {setApplicationDestinationPrefixes: x}":      "stomp.apps lists",
		"stomp: {simple_broker: [/topic]}":                   "stomp.topics lists",
		"broker: {}":                                         "stomp.topics lists",
		"stomp: {destination_prefix: /topic}":                "stomp.topics, stomp.queues and stomp.apps list",
		"stomp: {user_destination_prefix: /me}":              "stomp.user_prefix is",
		"stomp: {users: []}":                                 "stomp.logins lists",
		"stomp: {user: a}":                                   "stomp.user_prefix is",
		"stomp: {rules: []}":                                 "it belongs at the top of the file, beside endpoints",
		"stomp: {topic: [/topic]}":                           "did you mean topics?",
		"stomp: {setUserPrefix: /me}":                        "did you mean user_prefix?",
		"stomp: {message_size_limit: 1}":                     "stomp.frame_limit",
		"port: 80":                                           "addr, beside endpoints, is a host and port",
		"resources: public":                                  "static, beside endpoints",
		"endpoints: [{path: /a, handler: stomp, static: .}]": "it belongs at the top of the file, beside endpoints",
		"endpoints: [{path: /a, handler: stomp, dir: .}]":    "it belongs under static",
		"ssl: {}":      "tls, beside endpoints",
		"sockjs: true": "raw_websocket: true adds native WebSocket",
		"cors: x":      "allowed_origins of an endpoint lists",
		"paths: [/a]":  "path is where an endpoint is: one, or a list",
		"endpoints: [{path: /a, handler: stomp, login: a}]": "stomp.logins lists",
		"token: x":                      "auth, beside endpoints, says who is asking",
		"auth: {jwt: {secret: x}}":      "auth.jwt.secret_file, key_file or jwks_url",
		"auth: {jwt: {jwk-set-uri: x}}": "auth.jwt.secret_file, key_file or jwks_url",
		"endpoints: [{path: /a, handler: stomp, allowed_origin_patterns: [x]}]": "allowed_origins of an endpoint lists origins, and patterns",
		"endpoints: [{path: /a, handler: stomp, setAllowedOriginPatterns: x}]":  "allowed_origins of an endpoint lists origins, and patterns",
		"endpoints: [{path: /a, handler: stomp, setAllowedOrigins: x}]":         "did you mean allowed_origins?",
		"endpoints: [{path: /a, handler: stomp, sockjs: true}]":                 "raw_websocket: true adds native WebSocket",
		"endpoints: [{path: /a, handler: stomp, with-sockjs: true}]":            "raw_websocket: true adds native WebSocket",
		"endpoints: [{path: /a, handler: stomp, withSockJS: true}]":             "raw_websocket: true adds native WebSocket",
	} {
		conf := defaultConfig()
		err := readYAML("f", []byte(text), conf.settings(""))
		if err == nil || !strings.Contains(err.Error(), " is not a known key; ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "the keys are") {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}

// A key in the wrong place is answered with all places where it is known; one that is
// as good as known here, with how it is written.
func TestKeyInTheWrongPlaceIsToldWhereItBelongs(t *testing.T) {
	t.Parallel()
	root := new(config).settings("").keys
	mappings := []struct {
		file, place string
		keys        map[string]setting
	}{
		{"%s: 1", "at the top of the file, beside endpoints", root},
		{"endpoints: [{%s: 1}]", "to an endpoint, an entry of endpoints", new(endpointConfig).settings().keys},
		{"stomp: {%s: 1}", "under stomp, beside endpoints", root["stomp"].keys},
		{"auth: {%s: 1}", "under auth, beside endpoints", root["auth"].keys},
		{"auth: {jwt: {%s: 1}}", "under auth.jwt", root["auth"].keys["jwt"].keys},
		{"auth: {tickets: {%s: 1}}", "under auth.tickets", root["auth"].keys["tickets"].keys},
		{"http: {%s: 1}", "under http, beside endpoints", root["http"].keys},
		{"tls: {%s: 1}", "under tls, beside endpoints", root["tls"].keys},
	}
	for _, from := range mappings {
		for _, to := range mappings {
			for key := range to.keys {
				want := "did you mean " + key + "?"
				for _, name := range []string{key, "set" + strings.ReplaceAll(key, "_", "-")} {
					if _, known := from.keys[key]; known && name == key {
						continue
					} else if !known {
						want = to.place
					}
					conf := defaultConfig()
					err := readYAML("f", fmt.Appendf(nil, from.file, name), conf.settings(""))
					if err == nil || !strings.Contains(err.Error(), name+" is not a known key; ") || !strings.Contains(err.Error(), want) {
						t.Errorf("%s in %s: %v; want %s", name, from.file, err, want)
					}
				}
			}
		}
	}
}

// No key that is known anywhere is answered as if it were not, and each has one answer.
func TestAdviceIsForUnknownKeysOnly(t *testing.T) {
	seen := map[string]bool{}
	for text, names := range advice {
		for _, name := range names {
			if where := belongs(name); where != "" || seen[fold(name)] {
				t.Errorf("%s: %s; in the table before: %v", name, where, seen[fold(name)])
			}
			seen[fold(name)] = true
			for _, file := range []string{"%s: 1", "endpoints: [{%s: 1}]", "stomp: {%s: 1}", "http: {%s: 1}", "stomp: {logins: [{%s: 1}]}"} {
				conf := defaultConfig()
				err := readYAML("f", fmt.Appendf(nil, file, name), conf.settings(""))
				if (err == nil || !strings.Contains(err.Error(), name+" is not a known key; "+text)) && (name != "login" && name != "passcode") {
					t.Errorf("%s in %s: %v", name, file, err)
				}
			}
		}
	}
}

// What is seldom meant is said once, when the server starts.
func TestOpenEndpointsAreToldAtStart(t *testing.T) {
	const apps, open = "the command has no functions", "every page there is may read and publish"
	for text, want := range map[string]string{
		"endpoints: [{path: /ws, handler: stomp}]":                                                                       "",
		"stomp: {topics: [/a]}\nendpoints: [{path: /ws, handler: stomp}]":                                                "",
		"stomp: {apps: []}\nendpoints: [{path: /ws, handler: stomp}]":                                                    "",
		"stomp: {apps: [/app]}\nendpoints: [{path: /ws, handler: stomp}]":                                                apps,
		"stomp: {apps: [/app]}\nendpoints: [{path: /ws, handler: echo}]":                                                 "",
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"*\"]}]":                                             open,
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"https://*\"]}]":                                     open,
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"https://*:[*]\"]}]":                                 open,
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"http://*\"]}]":                                      open,
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"wss://*\"]}]":                                       open,
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"HTTPS://*\"]}]":                                     open,
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"https://*/\"]}]":                                    open,
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"https://*:[*,443]\"]}]":                             open,
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"https://a.example\", \"null\"]}]":                   open,
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"https://any.example.com\"]}]":                       "",
		"endpoints: [{path: /ws, handler: stomp, allowed_origins: [\"https://*.example.com\"]}]":                         "",
		"endpoints: [{path: /ws, handler: echo, allowed_origins: [\"*\"]}]":                                              "",
		"stomp: {logins: [{login: a, passcode: b}]}\nendpoints: [{path: /ws, handler: stomp, allowed_origins: [\"*\"]}]": "",
	} {
		core, logs := observer.New(zapcore.WarnLevel)
		conf := defaultConfig()
		if err := readYAML("f", []byte(text), conf.settings("")); err != nil {
			t.Fatal(err)
		}
		s, err := newServer(conf, zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		s.broker.Close()
		s.hub.Close()
		switch all := logs.All(); {
		case want == "" && len(all) == 0:
		case want != "" && len(all) == 1 && strings.HasPrefix(all[0].Message, want):
		default:
			t.Errorf("%s\ngot %v, want %s", text, all, want)
		}
	}
}

// A misspelt destination, and who gave a wrong password, are in the log of the
// command as it starts.
func TestCommandLogsWhatClientsGetWrong(t *testing.T) {
	file := writeFile(t, "conf.yaml", "stomp: {logins: [{login: a, passcode: b}]}\nendpoints: [{path: /ws, handler: stomp}]")
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", file)
	wrong := dial(t, p.url+"ws/websocket")
	send(t, wrong, "CONNECT\naccept-version:1.2\nlogin:eve\npasscode:hunter2\n\n\x00")
	p.logs(`"login": "eve"`)
	right := dial(t, p.url+"ws/websocket")
	send(t, right, "CONNECT\naccept-version:1.2\nlogin:a\npasscode:b\n\n\x00SEND\ndestination:/topik/x\n\nx\x00")
	p.logs("Unknown destination: /topik/x")
	if strings.Contains(p.stderr.String(), "hunter2") {
		t.Errorf("the log has a password: %s", p.stderr.String())
	}
}

// The same broker is served by either implementation, whatever frames it lets through.
func TestStompIsServedByEitherImplementation(t *testing.T) {
	t.Parallel()
	for _, implementation := range []string{"switchback", "igm"} {
		for _, limit := range []string{"64KiB", "2MiB"} {
			conf := writeFile(t, "conf.yaml", "stomp: {frame_limit: "+limit+"}\nendpoints: [{path: /ws, handler: stomp, implementation: "+implementation+"}]")
			p := start(t, "serve", "--config", conf, "--addr", "127.0.0.1:0")
			c := dial(t, p.url+"ws/websocket")
			for _, frame := range []string{"CONNECT\naccept-version:1.2\n\n\x00", "SUBSCRIBE\nid:0\ndestination:/topic/a\nreceipt:1\n\n\x00"} {
				if err := c.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
					t.Fatal(err)
				}
				next(t, c)
			}
			body := strings.Repeat("x", 60<<10)
			if err := c.WriteMessage(websocket.TextMessage, []byte("SEND\ndestination:/topic/a\n\n"+body+"\x00")); err != nil {
				t.Fatal(err)
			}
			if got := next(t, c); !strings.HasSuffix(got, "\n\n"+body+"\x00") {
				t.Errorf("%s, %s: got %.200s", implementation, limit, got)
			}
		}
	}
}
