package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/session"
	"switchback/session/memory"
	"switchback/transport"
)

// Each request is made with what stands in its row, and answered so. "*" in an answer
// is anything.
var requests = []struct {
	name         string
	method, path string
	body         string
	status       int
	answer       string
}{
	{"a number", "POST", "/api/publish", `{"destination":"/topic/a","payload":1}`, 200, `{"published":1}`},
	{"null is a payload", "POST", "/api/publish", `{"destination":"/topic/a","payload":null}`, 200, `{"published":1}`},
	{"an empty text", "POST", "/api/publish", `{"destination":"/topic/a","text":""}`, 200, `{"published":1}`},
	{"bytes", "POST", "/api/publish", `{"destination":"/topic/a","base64":"AP8="}`, 200, `{"published":1}`},
	{"to a user", "POST", "/api/publish", `{"destination":"/user/ann/queue/x","text":"x"}`, 200, `{"published":1}`},
	{"to a broadcast", "POST", "/api/publish", `{"destination":"/chat","text":"x","id":"7"}`, 200, `{"published":1}`},
	{"a batch", "POST", "/api/publish", `{"batch":[{"destination":"/topic/a","payload":1},{"destination":"/chat","text":"x"}]}`, 200, `{"published":2}`},

	{"no body", "POST", "/api/publish", ``, 400, `{"error":{"code":"body","message":"The body is no JSON, or not all of it."}}`},
	{"no JSON", "POST", "/api/publish", `destination=/topic/a`, 400, `{"error":{"code":"body","message":"The body is not what it should be: invalid character 'd' looking for beginning of value."}}`},
	{"half of it", "POST", "/api/publish", `{"destination":`, 400, `{"error":{"code":"body","message":"The body is no JSON, or not all of it."}}`},
	{"an array", "POST", "/api/publish", `[]`, 400, `{"error":{"code":"body","message":"The body is no object; it must be."}}`},
	{"two of it", "POST", "/api/publish", `{"destination":"/topic/a","payload":1} {}`, 400, `{"error":{"code":"body","message":"The body goes on after its JSON."}}`},
	{"not UTF-8", "POST", "/api/publish", "{\"destination\":\"/topic/a\",\"text\":\"\xff\"}", 400, `{"error":{"code":"body","message":"The body is not UTF-8."}}`},
	{"a field that is not known", "POST", "/api/publish", `{"destination":"/topic/a","payload":1,"ttl":3}`, 400, `{"error":{"code":"body","message":"The body is not what it should be: unknown field \"ttl\"."}}`},
	{"a field of another type", "POST", "/api/publish", `{"destination":7,"payload":1}`, 400, `{"error":{"code":"body","message":"destination is no text; it must be."}}`},
	{"base64 of another", "POST", "/api/publish", `{"destination":"/topic/a","base64":7}`, 400, `{"error":{"code":"body","message":"base64 is no text; it must be."}}`},
	{"headers of another", "POST", "/api/publish", `{"destination":"/topic/a","text":"x","headers":["a"]}`, 400, `{"error":{"code":"body","message":"headers is no object; it must be."}}`},
	{"a batch of another", "POST", "/api/publish", `{"batch":{}}`, 400, `{"error":{"code":"body","message":"batch is no list; it must be."}}`},
	{"a code of another", "POST", "/api/disconnect", `{"user":"ann","code":1.5}`, 400, `{"error":{"code":"body","message":"code is no whole number; it must be."}}`},
	{"broken base64", "POST", "/api/publish", `{"destination":"/topic/a","base64":"?"}`, 400, `{"error":{"code":"body","message":"*"}}`},
	{"neither payload nor text", "POST", "/api/publish", `{"destination":"/topic/a"}`, 400, `{"error":{"code":"payload","message":"A publication has one of payload, text and base64; this has 0."}}`},
	{"both", "POST", "/api/publish", `{"destination":"/topic/a","payload":1,"text":"x"}`, 400, `{"error":{"code":"payload","message":"A publication has one of payload, text and base64; this has 2."}}`},
	{"no destination", "POST", "/api/publish", `{"payload":1}`, 400, `{"error":{"code":"destination","message":"destination is missing: /topic/news, say."}}`},
	{"a destination of nobody", "POST", "/api/publish", `{"destination":"/nowhere","payload":1}`, 400, `{"error":{"code":"unknown_destination","message":"\"/nowhere\" begins with no prefix of stomp.topics or stomp.queues, is no user's, and no path of a broadcast."}}`},
	{"a destination of functions", "POST", "/api/publish", `{"destination":"/app/x","payload":1}`, 400, `{"error":{"code":"unknown_destination","message":"*"}}`},
	{"a destination with NUL", "POST", "/api/publish", `{"destination":"/topic/a\u0000","payload":1}`, 400, `{"error":{"code":"destination","message":"destination must not hold NUL."}}`},
	{"a header with NUL", "POST", "/api/publish", `{"destination":"/topic/a","payload":1,"headers":{"a":"\u0000"}}`, 400, `{"error":{"code":"headers","message":"*"}}`},
	{"a header without name", "POST", "/api/publish", `{"destination":"/topic/a","payload":1,"headers":{"":"x"}}`, 400, `{"error":{"code":"headers","message":"*"}}`},
	{"a header that is no text", "POST", "/api/publish", `{"destination":"/topic/a","payload":1,"headers":{"a":1}}`, 400, `{"error":{"code":"body","message":"*"}}`},
	{"headers for a broadcast", "POST", "/api/publish", `{"destination":"/chat","payload":1,"headers":{"a":"b"}}`, 400, `{"error":{"code":"headers","message":"headers are of STOMP only: \"/chat\" is a broadcast."}}`},
	{"octets for a broadcast", "POST", "/api/publish", `{"destination":"/chat","base64":"AP8="}`, 400, `{"error":{"code":"payload","message":"*"}}`},
	{"a long id", "POST", "/api/publish", `{"destination":"/chat","payload":1,"id":"` + strings.Repeat("x", 256) + `"}`, 400, `{"error":{"code":"id","message":"id has at most 255 bytes, and no control characters."}}`},
	{"an id for STOMP", "POST", "/api/publish", `{"destination":"/topic/a","payload":1,"id":"7"}`, 200, `{"published":1}`},
	{"an id of two lines", "POST", "/api/publish", `{"destination":"/topic/a","payload":1,"id":"7\n8"}`, 400, `{"error":{"code":"id","message":"*"}}`},
	{"an empty batch", "POST", "/api/publish", `{"batch":[]}`, 400, `{"error":{"code":"batch","message":"A batch has 1 to 1000 publications; this has 0."}}`},
	{"a batch too large", "POST", "/api/publish", `{"batch":[` + strings.Repeat("{},", 1000) + `{}]}`, 400, `{"error":{"code":"batch","message":"A batch has 1 to 1000 publications; this has 1001."}}`},
	{"a batch beside others", "POST", "/api/publish", `{"destination":"/topic/a","batch":[{}]}`, 400, `{"error":{"code":"batch","message":"A body with batch has nothing beside it."}}`},
	{"a batch in a batch", "POST", "/api/publish", `{"batch":[{"batch":[]}]}`, 400, `{"error":{"code":"body","message":"*","index":0}}`},
	{"a batch whose second is wrong", "POST", "/api/publish", `{"batch":[{"destination":"/topic/a","payload":1},{"destination":"/nowhere","payload":1}]}`, 400, `{"error":{"code":"unknown_destination","message":"*","index":1}}`},
	{"too large", "POST", "/api/publish", `{"destination":"/topic/a","text":"` + strings.Repeat("x", 1<<20) + `"}`, 413, `{"error":{"code":"too_large","message":"The body is over 1048576 bytes."}}`},

	{"to a user's sessions", "POST", "/api/publish-user", `{"user":"ann","destination":"/queue/x","payload":{}}`, 200, `{"published":1}`},
	{"to a user who is not here", "POST", "/api/publish-user", `{"user":"zoe","destination":"queue/x","text":""}`, 200, `{"published":1}`},
	{"no user", "POST", "/api/publish-user", `{"destination":"/queue/x","payload":1}`, 400, `{"error":{"code":"user","message":"user is missing: the name of a user."}}`},
	{"no destination of a user", "POST", "/api/publish-user", `{"user":"ann","payload":1}`, 400, `{"error":{"code":"destination","message":"*"}}`},
	{"nothing for a user", "POST", "/api/publish-user", `{"user":"ann","destination":"/queue/x"}`, 400, `{"error":{"code":"payload","message":"*"}}`},
	{"an id for a user", "POST", "/api/publish-user", `{"user":"ann","destination":"/queue/x","payload":1,"id":"x"}`, 200, `{"published":1}`},
	{"a user's that is no JSON", "POST", "/api/publish-user", `{`, 400, `{"error":{"code":"body","message":"*"}}`},
	{"a user's too large", "POST", "/api/publish-user", `{"user":"` + strings.Repeat("x", 1<<20) + `"}`, 413, `{"error":{"code":"too_large","message":"*"}}`},

	{"sessions, of which there are none", "GET", "/api/sessions", ``, 200, `{"sessions":[]}`},
	{"sessions of all filters", "GET", "/api/sessions?endpoint=/ws&user=ann&transport=websocket&limit=1000&after=x", ``, 200, `{"sessions":[]}`},
	{"an endpoint that there is not", "GET", "/api/sessions?endpoint=/x", ``, 400, `{"error":{"code":"query","message":"There is no endpoint \"/x\" that lists its sessions."}}`},
	{"sessions of no transport", "GET", "/api/sessions?transport=xhr_polling", ``, 400, `{"error":{"code":"query","message":"transport is \"xhr_polling\"; it must be websocket, xhr-polling, xhr-streaming, eventsource, htmlfile, jsonp-polling or raw-websocket."}}`},
	{"a parameter that is not known", "GET", "/api/sessions?usr=ann", ``, 400, `{"error":{"code":"query","message":"The query may have each of endpoint, user, transport, limit, after once; \"usr\" is not so."}}`},
	{"one that is there twice", "GET", "/api/sessions?user=ann&user=bob", ``, 400, `{"error":{"code":"query","message":"*"}}`},
	{"a limit of none", "GET", "/api/sessions?limit=0", ``, 400, `{"error":{"code":"query","message":"limit is \"0\"; it must be a number from 1 to 1000."}}`},
	{"a limit over the limit", "GET", "/api/topics?limit=1001", ``, 400, `{"error":{"code":"query","message":"*"}}`},
	{"a broken query", "GET", "/api/topics?limit=%zz", ``, 400, `{"error":{"code":"query","message":"*"}}`},
	{"topics, of which there are none", "GET", "/api/topics", ``, 200, `{"topics":[]}`},

	{"a session that is not here", "POST", "/api/disconnect", `{"session":"x"}`, 200, `{"closed":0}`},
	{"a user who is not here", "POST", "/api/disconnect", `{"user":"zoe","code":4001,"reason":"bye"}`, 200, `{"closed":0}`},
	{"nobody", "POST", "/api/disconnect", `{}`, 400, `{"error":{"code":"session","message":"*"}}`},
	{"a session and a user", "POST", "/api/disconnect", `{"session":"x","user":"ann"}`, 400, `{"error":{"code":"session","message":"*"}}`},
	{"a code that cannot be sent", "POST", "/api/disconnect", `{"user":"ann","code":1006}`, 400, `{"error":{"code":"code","message":"1006 is no code that a session may be closed with: 1000, or 3000 to 4999, say."}}`},
	{"a disconnection too large", "POST", "/api/disconnect", `{"user":"` + strings.Repeat("x", 1<<20) + `"}`, 413, `{"error":{"code":"too_large","message":"*"}}`},
	{"a ticket for a user", "POST", "/api/tickets", `{"user":"7","claims":{"roles":["admin"]}}`, 200, `{"ticket":"*Z"}`},
	{"a ticket for nobody", "POST", "/api/tickets", `{}`, 400, `{"error":{"code":"token","message":"*"}}`},
	{"a ticket for a token and a user", "POST", "/api/tickets", `{"user":"7","token":"x"}`, 400, `{"error":{"code":"token","message":"*"}}`},
	{"a ticket for a broken token", "POST", "/api/tickets", `{"token":"x.y.z"}`, 400, `{"error":{"code":"token","message":"*"}}`},
	{"a ticket for a token with claims", "POST", "/api/tickets", `{"token":"x","claims":{}}`, 400, `{"error":{"code":"claims","message":"*"}}`},
	{"a ticket, too large", "POST", "/api/tickets", `{"user":"` + strings.Repeat("x", 1<<20) + `"}`, 413, `{"error":{"code":"too_large","message":"*"}}`},
	{"a ticket, once there are many", "POST", "/api/tickets", `{"user":"8"}`, 503, `{"error":{"code":"tickets","message":"*"}}`},
	{"what is kept", "GET", "/api/history/topics", ``, 200, `{"topics":[{"topic":"/kept/a","first":"*/3","count":3,"bytes":7},{"topic":"/kept/b","*"count":1,"bytes":1}]}`},
	{"what is kept, in pages", "GET", "/api/history/topics?limit=1", ``, 200, `{"topics":[{"topic":"/kept/a",*}],"next":"/kept/a"}`},
	{"the last page of it", "GET", "/api/history/topics?after=/kept/b", ``, 200, `{"topics":[]}`},
	{"topics of the topic", "GET", "/api/history/topics?topic=x", ``, 400, `{"error":{"code":"query","message":"The query may have each of limit, after once; \"topic\" is not so."}}`},
	{"a history", "GET", "/api/history?topic=/kept/a", ``, 200, `{"topic":"/kept/a","first":"*"text":"1 & 2"},{*"id":"7","user":"ann","base64":"/w=="},{*"text":"3"}]}`},
	{"the last of it", "GET", "/api/history?topic=/kept/a&limit=1", ``, 200, `{"topic":"/kept/a",*"entries":[{*"text":"3"}]}`},
	{"the first of it", "GET", "/api/history?topic=/kept/a&limit=1&after=0", ``, 200, `{"topic":"/kept/a",*"entries":[{*"text":"1 & 2"}]}`},
	{"a history of no topic", "GET", "/api/history", ``, 400, `{"error":{"code":"topic","message":"topic is missing: one that /api/history/topics lists."}}`},
	{"a history of a topic that is not kept", "GET", "/api/history?topic=/topic/a", ``, 400, `{"error":{"code":"unknown_topic","message":"*"}}`},
	{"a history after and before", "GET", "/api/history?topic=/kept/a&after=0&before=a/1", ``, 400, `{"error":{"code":"query","message":"A page is after an offset or before one, not both."}}`},
	{"a history after nothing", "GET", "/api/history?topic=/kept/a&after=x", ``, 400, `{"error":{"code":"offset","message":"\"x\" is no offset; *"}}`},
	{"a history before another epoch", "GET", "/api/history?topic=/kept/a&before=1/2", ``, 400, `{"error":{"code":"offset","message":"\"1/2\" is of another epoch of the topic, which is *"}}`},
	{"a history of a parameter too many", "GET", "/api/history?topic=/kept/a&user=x", ``, 400, `{"error":{"code":"query","message":"*"}}`},
	{"a trim of no topic", "POST", "/api/history/trim", `{"count":1}`, 400, `{"error":{"code":"topic","message":"*"}}`},
	{"a trim to nothing", "POST", "/api/history/trim", `{"topic":"/kept/a"}`, 400, `{"error":{"code":"count","message":"count, age and bytes say how much is kept; give one of them at least, over 0."}}`},
	{"a trim to less", "POST", "/api/history/trim", `{"topic":"/kept/a","count":-1}`, 400, `{"error":{"code":"count","message":"*"}}`},
	{"a trim to a text", "POST", "/api/history/trim", `{"topic":"/kept/a","bytes":"1"}`, 400, `{"error":{"code":"body","message":"bytes is no whole number; it must be."}}`},
	{"a trim to no duration", "POST", "/api/history/trim", `{"topic":"/kept/a","age":"30d"}`, 400, `{"error":{"code":"age","message":"age is \"30d\"; it must be a duration such as 720h."}}`},
	{"a trim of a topic that is not kept", "POST", "/api/history/trim", `{"topic":"/topic/a","count":1}`, 400, `{"error":{"code":"unknown_topic","message":"*"}}`},
	{"a trim that leaves it all", "POST", "/api/history/trim", `{"topic":"/kept/a","count":3,"age":"1h","bytes":7}`, 200, `{"topic":"/kept/a",*"count":3,"bytes":7}`},
	{"a trim", "POST", "/api/history/trim", `{"topic":"/kept/a","count":1}`, 200, `{"topic":"/kept/a",*/3","count":1,"bytes":1}`},
	{"a trim that is too large", "POST", "/api/history/trim", `{"topic":"` + strings.Repeat("x", 1<<20) + `"}`, 413, `{"error":{"code":"too_large","message":"*"}}`},
	{"a server alone", "GET", "/api/cluster", ``, 400, `{"error":{"code":"cluster","message":"This server is alone: no engine is configured."}}`},
	{"the description", "GET", "/api/openapi.json", ``, 200, `{"openapi":"3.1.0"*`},

	{"a path that there is not", "GET", "/api/nothing", ``, 404, `{"error":{"code":"not_found","message":"*"}}`},
	{"another method", "GET", "/api/publish", ``, 405, `{"error":{"code":"method","message":"This path takes POST."}}`},
}

// seen are the statuses that tests have got from each path.
var seen = map[string][]int{}

func see(path string, status int) {
	path, _, _ = strings.Cut(path, "?")
	seen[path] = append(seen[path], status)
}

func TestAPI(t *testing.T) {
	s := open(t, nil)
	s.keep("/kept/a", &handler.Publication{Text: []byte("1 & 2")})
	s.keep("/kept/a", &handler.Publication{Text: []byte("\xff"), ID: "7", User: "ann"})
	s.keep("/kept/a", &handler.Publication{Text: []byte("3")})
	s.keep("/kept/b", &handler.Publication{Text: []byte("4")})
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			status, answer := s.ask(r.method, r.path, r.body)
			see(r.path, status)
			want := strings.ReplaceAll(regexp.QuoteMeta(r.answer), `\*`, ".*")
			if answer = strings.TrimSpace(answer); status != r.status || !regexp.MustCompile("^"+want+"$").MatchString(answer) || !json.Valid([]byte(answer)) {
				t.Errorf("got  %d %.300s\nwant %d %s", status, answer, r.status, r.answer)
			}
		})
	}
}

func TestTokenIsAskedFor(t *testing.T) {
	s, without := open(t, nil), open(t, func(o *Options) { o.Token = "" })
	paths := []string{"/debug/pprof/", "/debug/pprof/goroutine", "/api/nothing", "/nothing"}
	for _, c := range calls {
		paths = append(paths, c.path)
	}
	for _, path := range paths {
		method := http.MethodGet
		if i := slices.IndexFunc(calls, func(c call) bool { return c.path == path }); i >= 0 {
			method = calls[i].method
		}
		for _, authorization := range []string{"", "Bearer", "Bearer x", "Bearer " + token + "x", "Basic " + token, token, "Bearer  " + token} {
			status, answer := s.askAs(authorization, method, path, "{}")
			see(path, status)
			if status != 401 || !strings.HasPrefix(answer, `{"error":{"code":"unauthorized",`) {
				t.Errorf("%s with %q: %d %s", path, authorization, status, answer)
			}
		}
		for _, authorization := range []string{"", "Bearer ", "Bearer x"} {
			status, answer := without.askAs(authorization, method, path, "{}")
			see(path, status)
			if status != 403 || !strings.Contains(answer, "SWITCHBACK_ADMIN_TOKEN") {
				t.Errorf("%s without a token: %d %s", path, status, answer)
			}
		}
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if status, _ := without.askAs("", "GET", path, ""); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, _ := s.askAs("bearer "+token, "GET", "/api/topics", ""); status != 200 {
		t.Errorf("schemes have no case (RFC 9110, section 11.1): %d", status)
	}
}

// Documents that claim what the handlers do not do are worse than none.
func TestOpenAPIIsWhatTheHandlersDo(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody *struct {
				Content map[string]struct{ Schema map[string]any }
			}
			Parameters []map[string]string
			Responses  map[string]any
		}
		Components struct {
			Parameters map[string]struct{ Name string }
			Schemas    map[string]struct {
				Required   []string
				Properties map[string]any
			}
		}
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	TestAPI(t) // for what it sees, where this test runs alone
	TestTokenIsAskedFor(t)
	TestMemoryAtItsLimitIsToldSo(t)
	TestHistoryThatIsNotAvailable(t)
	TestCluster(t)
	if len(doc.Paths) != len(calls) {
		t.Errorf("%d paths, want %d", len(doc.Paths), len(calls))
	}
	for _, c := range calls {
		operation, ok := doc.Paths[c.path][strings.ToLower(c.method)]
		if !ok || len(doc.Paths[c.path]) != 1 {
			t.Errorf("%s %s is not described, or not alone", c.method, c.path)
		}
		for status := range operation.Responses {
			var n int
			fmt.Sscan(status, &n)
			if !slices.Contains(seen[c.path], n) {
				t.Errorf("%s: no test gets %s", c.path, status)
			}
		}
		for _, n := range seen[c.path] {
			if _, described := operation.Responses[fmt.Sprint(n)]; !described && n != 405 {
				t.Errorf("%s: %d is not described", c.path, n)
			}
		}
		if (operation.RequestBody != nil) != (c.method == http.MethodPost) {
			t.Errorf("%s: a request body, or none", c.path)
		}
	}
	// Each parameter is taken.
	s := open(t, nil)
	s.keep("/kept/a", &handler.Publication{Text: []byte("1")})
	for path, operations := range doc.Paths {
		for _, p := range operations["get"].Parameters {
			name := doc.Components.Parameters[strings.TrimPrefix(p["$ref"], "#/components/parameters/")].Name
			value := map[string]string{"limit": "1", "endpoint": "/ws", "transport": "websocket", "topic": "/kept/a"}[name]
			query := "?" + name + "=" + value
			if path == "/api/history" && name != "topic" {
				query += "&topic=/kept/a"
			}
			if status, answer := s.ask("GET", path+query, ""); status != 200 {
				t.Errorf("%s%s: %d %s", path, query, status, answer)
			}
		}
	}
	// Each field that is required is missed, and each that there is is known.
	full := map[string]string{
		"Publication":     `{"destination":"/topic/a","payload":1}`,
		"UserPublication": `{"user":"ann","destination":"/queue/a","payload":1}`,
		"Batch":           `{"batch":[{"destination":"/topic/a","payload":1}]}`,
		"Trim":            `{"topic":"/kept/a","count":1}`,
	}
	at := map[string]string{"Publication": "/api/publish", "UserPublication": "/api/publish-user", "Batch": "/api/publish", "Disconnection": "/api/disconnect", "TicketRequest": "/api/tickets", "Trim": "/api/history/trim"}
	for name, text := range full {
		for _, field := range doc.Components.Schemas[name].Required {
			var body map[string]any
			json.Unmarshal([]byte(text), &body)
			delete(body, field)
			less, _ := json.Marshal(body)
			if status, _ := s.ask("POST", at[name], string(less)); status != 400 {
				t.Errorf("%s without %s: %d", name, field, status)
			}
		}
		if status, answer := s.ask("POST", at[name], text); status != 200 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	for name, path := range at {
		for field := range doc.Components.Schemas[name].Properties {
			if _, answer := s.ask("POST", path, `{"`+field+`":null}`); strings.Contains(answer, "unknown field") {
				t.Errorf("%s: %s", name, answer)
			}
		}
	}
}

func TestDocumentsHaveEveryCall(t *testing.T) {
	for file, row := range map[string]string{
		"doc.go":          `(?m)^//\t%s +%s  `,
		"../../README.md": "(?m)^\\| %s \\| (`[^|]*`, )?`%s`",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			if !regexp.MustCompile(fmt.Sprintf(row, c.method, regexp.QuoteMeta(c.path))).Match(text) {
				t.Errorf("%s has no row of %s %s", file, c.method, c.path)
			}
		}
	}
}

func TestPublicationsArrive(t *testing.T) {
	s := open(t, nil)
	ann, bob, chat := s.stomp("ann", "a", "/topic/*", "/user/queue/x"), s.stomp("bob", "b", "/work/a"), s.dial("/chat")
	chat.send("hello") // it has subscribed once it gets that
	chat.want("hello")
	for _, body := range []string{
		`{"destination":"/topic/a","payload": {"n" : 1.0} }`,
		`{"destination":"/topic/a","text":"{\"n\"}","headers":{"b":"2","a":"1:\n","destination":"/x","content-length":"7"}}`,
		`{"destination":"/topic/a","text":"<a/>","headers":{"content-type":"application/xml"}}`,
		`{"batch":[{"destination":"/chat","payload": [1, 2]},{"destination":"/work/a","base64":"YQBi"},{"destination":"/chat","text":"é"}]}`,
	} {
		if status, answer := s.ask("POST", "/api/publish", body); status != 200 {
			t.Errorf("%d %s", status, answer)
		}
	}
	if status, answer := s.ask("POST", "/api/publish-user", `{"user":"ann","destination":"/queue/x","payload":"hi"}`); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
	frame := func(front string, body string) func(got string) bool {
		return func(got string) bool {
			head, rest, _ := strings.Cut(got, "\n\n")
			return strings.HasPrefix(head, "MESSAGE\n"+front+"\nsubscription:") && rest == body+"\x00"
		}
	}
	for i, want := range []func(string) bool{
		frame("destination:/topic/a\ncontent-type:application/json", `{"n" : 1.0}`),
		frame(`destination:/topic/a`+"\n"+`content-type:text/plain;charset=UTF-8`+"\n"+`a:1\c\n`+"\nb:2", `{"n"}`),
		frame("destination:/topic/a\ncontent-type:application/xml", `<a/>`),
		frame("destination:/user/queue/x\ncontent-type:application/json", `"hi"`),
	} {
		if got := ann.next(); !want(got) {
			t.Errorf("%d: got %q", i, got)
		}
	}
	if got := bob.next(); !frame("destination:/work/a\ncontent-type:application/octet-stream", "a\x00b")(got) {
		t.Errorf("got %q", got)
	}
	chat.want("[1, 2]", "é")
}

func TestFullQueueIsToldSo(t *testing.T) {
	s := open(t, nil)
	item := `{"destination":"/work/a","payload":1}`
	status, answer := s.ask("POST", "/api/publish", `{"batch":[`+item+`,`+item+`,`+item+`]}`)
	want := `{"error":{"code":"queue_full","message":"The queue \"/work/a\" is full, or one queue too many; publish again later.","index":2},"published":2}` + "\n"
	if status != 503 || answer != want {
		t.Errorf("%d %s", status, answer)
	}
}

func TestMemoryAtItsLimitIsToldSo(t *testing.T) {
	s := open(t, nil)
	before := memory.SetLimit(1)
	defer memory.SetLimit(before)
	for path, body := range map[string]string{
		"/api/publish":      `{"destination":"/topic/a","payload":1}`,
		"/api/publish-user": `{"user":"ann","destination":"/queue/x","payload":1}`,
	} {
		status, answer := s.ask("POST", path, body)
		see(path, status)
		if status != 503 || !strings.Contains(answer, `"code":"memory"`) {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}

// A store that has been closed is as one that is away; without one there is nothing to ask.
func TestHistoryThatIsNotAvailable(t *testing.T) {
	closed, without := open(t, nil), open(t, func(o *Options) { o.History = nil })
	closed.past.Store().Close()
	for _, r := range []struct{ method, path, body string }{
		{"GET", "/api/history/topics", ""}, {"GET", "/api/history?topic=/kept/a", ""}, {"POST", "/api/history/trim", `{"topic":"/kept/a","count":1}`},
	} {
		status, answer := closed.ask(r.method, r.path, r.body)
		see(r.path, status)
		if status != 503 || !strings.Contains(answer, `"unavailable"`) {
			t.Errorf("%s: %d %s", r.path, status, answer)
		}
		if status, answer = closed.ask("POST", "/api/publish", `{"destination":"/topic/stored","payload":1}`); status != 503 || !strings.Contains(answer, `"store"`) {
			t.Errorf("publishing: %d %s", status, answer)
		}
		if status, answer = without.ask(r.method, r.path, r.body); status != 400 || !strings.Contains(answer, `"history"`) {
			t.Errorf("%s without history: %d %s", r.path, status, answer)
		}
	}
}

func TestSessionsAreListedInPages(t *testing.T) {
	s := open(t, nil)
	begun := time.Now().Add(-2 * time.Second)
	s.stomp("ann", "a")
	s.stomp("a/b", "c", "/topic/a", "/topic/b")
	s.dial("/chat").want()
	all := map[string]string{} // transport and user by id
	for after, pages := "", 0; ; pages++ {
		status, answer := s.ask("GET", "/api/sessions?limit=2&after="+after, "")
		var page struct {
			Sessions []struct {
				ID, Endpoint, Transport, Address, User string
				Opened                                 time.Time
				Queued                                 *int
			}
			Next string
		}
		if err := json.Unmarshal([]byte(answer), &page); status != 200 || err != nil {
			t.Fatal(status, answer)
		}
		for _, x := range page.Sessions {
			all[x.ID] = x.Endpoint + " " + x.Transport + " " + x.User
			if x.Address != "127.0.0.1" || x.Queued == nil || x.Opened.Before(begun) || x.Opened.After(time.Now()) {
				t.Errorf("%+v", x)
			}
		}
		if after = page.Next; after == "" {
			if pages != 1 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
	}
	got := []string{}
	for _, x := range all {
		got = append(got, x)
	}
	slices.Sort(got)
	if want := []string{"/chat raw-websocket ", "/ws raw-websocket a/b", "/ws raw-websocket ann"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for query, want := range map[string]int{
		"user=ann": 1, "user=a%2Fb&endpoint=/ws": 1, "user=ann&endpoint=/chat": 0, "endpoint=/chat": 1,
		"transport=raw-websocket": 3, "transport=websocket": 0, "user=zoe": 0,
	} {
		if _, answer := s.ask("GET", "/api/sessions?"+query, ""); strings.Count(answer, `"id":`) != want {
			t.Errorf("%s: %s", query, answer)
		}
	}
}

// A user is who has opened the session, whatever it speaks. Those that have closed are not
// listed while they wait to be forgotten.
func TestUserWhoHasOpenedTheSession(t *testing.T) {
	var e *transport.Endpoint
	s := open(t, func(o *Options) {
		var err error
		if e, err = transport.NewEndpoint("/own", known{session.Shared(handler.Echo{})}, transport.Options{Logger: o.Logger}); err != nil {
			t.Fatal(err)
		}
		o.Endpoints["/own"] = e
	})
	server := httptest.NewServer(e)
	defer server.Close()
	defer e.Shutdown(context.Background())
	poll := func() string {
		answer, err := server.Client().Post(server.URL+"/own/000/key/xhr", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return string(text)
	}
	if got := poll(); got != "o\n" {
		t.Fatalf("got %q", got)
	}
	if _, got := s.ask("GET", "/api/sessions?user=carl", ""); !strings.Contains(got, `"endpoint":"/own","transport":"xhr-polling","address":"127.0.0.1","user":"carl"`) || strings.Contains(got, "key") {
		t.Errorf("got %s", got)
	}
	if _, got := s.ask("POST", "/api/disconnect", `{"user":"carl","code":4001,"reason":"bye"}`); got != `{"closed":1}`+"\n" {
		t.Errorf("got %s", got)
	}
	if _, got := s.ask("GET", "/api/sessions", ""); got != `{"sessions":[]}`+"\n" {
		t.Errorf("got %s", got)
	}
	if got := poll(); got != `c[4001,"bye"]`+"\n" {
		t.Errorf("got %q", got)
	}
}

// known is an Opener whose sessions are all carl's.
type known struct{ session.Opener }

func (known) Authenticate(*http.Request) (*session.Identity, error) {
	return &session.Identity{User: "carl"}, nil
}

func TestTopicsAreListedInPages(t *testing.T) {
	s := open(t, nil)
	s.stomp("ann", "a", "/topic/b", "/topic/*", "/user/queue/x")
	s.stomp("bob", "b", "/topic/b", "/work/a")
	chat := s.dial("/chat")
	chat.send("x")
	chat.want("x")
	for query, want := range map[string]string{
		"": `{"topics":[{"destination":"/chat","subscriptions":1},{"destination":"/topic/*","subscriptions":1},{"destination":"/topic/b","subscriptions":2},` +
			`{"destination":"/user/queue/x","subscriptions":1},{"destination":"/work/a","subscriptions":1}]}`,
		"?limit=2":                `{"topics":[{"destination":"/chat","subscriptions":1},{"destination":"/topic/*","subscriptions":1}],"next":"/topic/*"}`,
		"?limit=1&after=/topic/*": `{"topics":[{"destination":"/topic/b","subscriptions":2}],"next":"/topic/b"}`,
		"?after=/user/queue/x":    `{"topics":[{"destination":"/work/a","subscriptions":1}]}`,
		"?after=/z":               `{"topics":[]}`,
	} {
		if status, got := s.ask("GET", "/api/topics"+query, ""); status != 200 || got != want+"\n" {
			t.Errorf("%s: %d %s", query, status, got)
		}
	}
}

func TestDisconnectClosesSessions(t *testing.T) {
	s := open(t, nil)
	ann, ann2, bob, chat := s.stomp("ann", "a"), s.stomp("ann", "a"), s.stomp("bob", "b"), s.dial("/chat")
	disconnect := func(body, want string) {
		t.Helper()
		if status, got := s.ask("POST", "/api/disconnect", body); status != 200 || got != want+"\n" {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
	disconnect(`{"user":"ann","code":4001,"reason":"Logged out"}`, `{"closed":2}`)
	ann.want("websocket: close 4001: Logged out")
	ann2.want("websocket: close 4001: Logged out")
	disconnect(`{"session":"`+s.broker.Clients("bob")[0].ID+`"}`, `{"closed":1}`)
	bob.want("websocket: close 3000: Go away!")
	disconnect(`{"session":"`+s.chat.Sessions()[0].ID()+`","code":1000}`, `{"closed":1}`)
	chat.want("websocket: close 1000 (normal)")
	disconnect(`{"user":"ann"}`, `{"closed":0}`)
}

func TestReadyUntilItDrains(t *testing.T) {
	s := open(t, nil)
	want := func(path string, status int, body string) {
		t.Helper()
		if n, text := s.askAs("", "GET", path, ""); n != status || text != body+"\n" {
			t.Errorf("%s: %d %q", path, n, text)
		}
	}
	want("/healthz", 200, "ok")
	want("/readyz", 200, "ok")
	s.Drain()
	want("/readyz", 503, "draining")
	want("/healthz", 200, "ok")
}

func TestAddressOfOthersNeedsAToken(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:0": true, "localhost:0": true, "0.0.0.0:0": false, ":0": false, "[::]:0": false} {
		s, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.Listen(addr)
		if ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "token") {
			t.Errorf("%s: %v", addr, err)
		}
		if l != nil {
			l.Close()
		}
	}
	s, err := New(Options{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen("127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestDestinationOfTwoIsRefused(t *testing.T) {
	s := open(t, nil)
	if _, err := New(Options{Hub: s.options.Hub, Broker: s.broker, Topics: []string{"/topic/chat"}}); err == nil || !strings.Contains(err.Error(), `"/topic/chat" is the topic of a broadcast and a destination of STOMP`) {
		t.Errorf("got %v", err)
	}
	if _, err := New(Options{Topics: []string{"/chat"}}); err == nil || err.Error() != "admin: Topics: need Hub, too" {
		t.Errorf("got %v", err)
	}
	if _, err := New(Options{BodyLimit: -1}); err == nil || err.Error() != "admin: BodyLimit: must not be negative" {
		t.Errorf("got %v", err)
	}
}

func TestProfiles(t *testing.T) {
	s := open(t, nil)
	for path, want := range map[string]string{
		"/debug/pprof/":                  "200 profile?seconds=30",
		"/debug/pprof/goroutine?debug=1": "200 goroutine profile: total",
		"/debug/pprof/heap":              "200 \x1f\x8b",
		"/debug/pprof/profile?seconds=1": "200 \x1f\x8b",
		"/debug/pprof/trace?seconds=1":   "200 go 1.",
		"/debug/pprof/profile?seconds=x": "400 seconds must be a number from 1 to 300.",
		"/debug/pprof/trace?seconds=301": "400 ",
		"/debug/pprof/nothing":           "404 There is no such profile",
	} {
		if status, body := s.ask("GET", path, ""); !strings.HasPrefix(fmt.Sprint(status, " ", body), want) {
			t.Errorf("%s: %d %.80q", path, status, body)
		}
	}
}

// The profile of the heap is as of the last collection, which gc=1 asks for.
func TestHeapProfileCollects(t *testing.T) {
	s := open(t, nil)
	forced := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	before := forced()
	if status, _ := s.ask("GET", "/debug/pprof/heap?gc=1", ""); status != http.StatusOK || forced() == before {
		t.Errorf("status %d, and garbage was collected %d times", status, forced()-before)
	}
}

// A profile ends with its client.
func TestProfileEndsWithItsClient(t *testing.T) {
	s := open(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", s.url+"/debug/pprof/profile?seconds=300", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	if _, err := s.client.Do(r); err == nil {
		t.Error("it has come at once")
	}
}

// A page whose name stands for a loopback address reads nothing, with no token either.
func TestForeignNamesAreNotThisListeners(t *testing.T) {
	s := open(t, nil)
	for host, want := range map[string]int{"localhost": 200, "127.0.0.1:8082": 200, "[::1]:8082": 200, "app.localhost": 200, "evil.example": 403, "evil.example:8082": 403, "": 200} {
		for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = host
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8082}))
			w := httptest.NewRecorder()
			s.Server.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s of %q: %d, want %d", path, host, w.Code, want)
			}
		}
	}
}

// Offsets of a fast topic may have holes.
func TestKeptTopicCountsWhatIsKept(t *testing.T) {
	if got := keptTopic(history.Topic{Epoch: 1, First: 1, Last: 5, Count: 3}).Count; got != 3 {
		t.Errorf("%d are kept", got)
	}
}

// Without STOMP no prefix is to blame.
func TestDestinationIsUnknownWithoutABroker(t *testing.T) {
	s := open(t, func(o *Options) { o.Broker = nil })
	status, got := s.ask("POST", "/api/publish", `{"destination":"/topic/x","payload":1}`)
	if status != 400 || !strings.Contains(got, `\"/topic/x\" is no path of a broadcast, and no endpoint speaks STOMP.`) {
		t.Errorf("%d %s", status, got)
	}
}
