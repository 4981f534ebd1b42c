package admin

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"switchback/handler"
	"switchback/handler/chat"
	"switchback/handler/engine"
	"switchback/handler/history"
	"switchback/handler/history/memory"
	"switchback/handler/rules"
	"switchback/handler/stomp"
	"switchback/session"
	"switchback/session/auth"
	"switchback/transport"
	sockjs "switchback/transport/client"
)

var update = flag.Bool("update", false, "rewrite help.txt with the comments of the counters")

// counters are the structs of counters, and where they are declared.
var counters = map[string]reflect.Type{
	"../../session/stats.go":                   reflect.TypeFor[session.Stats](),
	"../../session/traffic.go":                 reflect.TypeFor[session.Traffic](),
	"../../transport/endpoint.go":              reflect.TypeFor[transport.Stats](),
	"../../transport/internal/http1/secure.go": reflect.TypeFor[transport.TLSStats](),
	"../../handler/stomp/stats.go":             reflect.TypeFor[stomp.Stats](),
	"../../handler/chat/chat.go":               reflect.TypeFor[chat.Stats](),
	"../../handler/engine/stats.go":            reflect.TypeFor[engine.Stats](),
	"../../handler/rules/opener.go":            reflect.TypeFor[rules.Stats](),
	"../../handler/history/stats.go":           reflect.TypeFor[history.Stats](),
	"../../session/auth/ticket.go":             reflect.TypeFor[auth.TicketStats](),
	"../../session/auth/verifier.go":           reflect.TypeFor[auth.Stats](),
	"../../session/auth/fetch.go":              reflect.TypeFor[auth.KeyStats](),
}

func TestHelpIsTheCommentOfEachField(t *testing.T) {
	var lines []string
	for file, of := range counters {
		parsed, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != of.Name() {
				return true
			}
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				if len(f.Names) == 1 && isCounter(f.Names[0].Name, of) {
					lines = append(lines, fmt.Sprintf("%v.%s %s", of, f.Names[0].Name, sentence(f.Names[0].Name, f.Comment.Text())))
				}
			}
			return false
		})
	}
	slices.Sort(lines)
	want := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile("help.txt", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if help != want {
		t.Errorf("help.txt is not what the comments say; go test ./web/admin -update writes it\ngot\n%swant\n%s", help, want)
	}
}

func isCounter(field string, of reflect.Type) bool {
	f, _ := of.FieldByName(field)
	return slices.Contains([]reflect.Type{reflect.TypeFor[atomic.Int64](), reflect.TypeFor[int64](), reflect.TypeFor[session.Codes](), reflect.TypeFor[session.Histogram]()}, f.Type)
}

// sentence is a field and its comment as metrics have them.
func sentence(field, comment string) string {
	words := strings.ReplaceAll(snakeCase(field), "_", " ")
	return strings.ToUpper(words[:1]) + words[1:] + ": " + strings.Join(strings.Fields(comment), " ") + "."
}

// A counter is a metric as soon as there is one.
func TestEachCounterIsAMetric(t *testing.T) {
	s := open(t, func(o *Options) { o.Engine, o.TLS = engine.New(nil, engine.Options{}), new(transport.TLSStats) })
	s.stomp("ann", "a")
	_, text := s.ask("GET", "/metrics", "")
	for _, of := range counters {
		for f := range of.Fields() {
			if isCounter(f.Name, of) && !regexp.MustCompile(`(?m)^# HELP switchback_\w*`+snakeCase(f.Name)+`(_bytes|_seconds)?(_total)? `+regexp.QuoteMeta(helpOf(of, f.Name))+`$`).MatchString(text) {
				t.Errorf("%v.%s is no metric", of, f.Name)
			}
		}
	}
	type future struct {
		Fresh atomic.Int64
		Now   atomic.Int64      `metric:"gauge" unit:"bytes"`
		Took  session.Histogram `unit:"seconds"`
		Name  string            // is none
	}
	var names []string
	for _, m := range metricsOf[future]("x_") {
		names = append(names, m.desc.String())
	}
	if got := fmt.Sprint(names); len(names) != 3 || !strings.Contains(got, `"x_took_seconds"`) || !strings.Contains(got, `"x_fresh_total"`) || !strings.Contains(got, `"x_now_bytes"`) {
		t.Errorf("got %s", got)
	}
}

func TestMetricsSayWhatHasHappened(t *testing.T) {
	s := open(t, nil)
	ann, chat := s.stomp("ann", "a", "/topic/a"), s.dial("/chat")
	chat.send("hello")
	chat.want("hello")
	s.ask("POST", "/api/publish", `{"destination":"/topic/a","payload":1}`)
	ann.next()
	s.ask("POST", "/api/disconnect", `{"user":"ann","code":4001}`)
	ann.next()
	s.askAs("", "POST", "/api/publish", "")
	for _, path := range []string{"/chat/7/a/websocket", "/chat/7/b/xhr"} {
		method := http.MethodPost
		if strings.HasSuffix(path, "/websocket") {
			method = http.MethodGet // without a handshake
		}
		r, _ := http.NewRequest(method, s.public+path, nil)
		answer, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	s.ask("GET", "/api/what/ever", "")
	_, text := s.ask("GET", "/metrics", "")
	for _, want := range []string{
		`switchback_endpoint_sessions{endpoint="/chat"} 2`,
		`switchback_endpoint_opened_total{endpoint="/ws"} 1`,
		`switchback_endpoint_closed_total{code="4xxx",endpoint="/ws"} 1`,
		`switchback_endpoint_closed_total{code="4xxx",endpoint="/chat"} 0`,
		`switchback_transport_sessions{endpoint="/chat",transport="raw-websocket"} 1`,
		`switchback_transport_received_total{endpoint="/chat",transport="raw-websocket"} 1`,
		`switchback_transport_received_bytes_total{endpoint="/chat",transport="raw-websocket"} 5`,
		`switchback_transport_sent_total{endpoint="/chat",transport="raw-websocket"} 1`,
		`switchback_transport_sent_bytes_total{endpoint="/chat",transport="raw-websocket"} 7`, // with the head of a WebSocket frame
		`switchback_endpoint_fallbacks_total{endpoint="/chat",from="websocket",how="refused",to="xhr-polling"} 1`,
		`switchback_endpoint_handler_seconds_count{endpoint="/chat"} 1`,
		`switchback_endpoint_handler_seconds_bucket{endpoint="/chat",le="+Inf"} 1`,
		`switchback_endpoint_delivery_seconds_count{endpoint="/chat"} 1`,
		`switchback_endpoint_delivery_seconds_count{endpoint="/ws"} 1`,
		`switchback_stomp_connects_total 1`,
		`switchback_stomp_messages_total 1`,
		`switchback_memory_limit_bytes 1.073741824e+09`,
		`switchback_admin_requests_total{code="200",path="/api/publish"} 1`,
		`switchback_admin_requests_total{code="401",path="/api/publish"} 1`,
		`switchback_admin_requests_total{code="404",path="other"} 1`,
		`go_goroutines `,
		`process_start_time_seconds `,
		`switchback_build_info{`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestEntriesThatAreDroppedAreToldOf(t *testing.T) {
	s := open(t, func(o *Options) {
		small, err := history.New(memory.New(memory.Options{Bytes: 64 << 10}), o.Hub, history.Options{
			Policies: []history.Policy{{Topics: "/**"}}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { small.Close() })
		for range 10 {
			if _, _, err := small.Publish(t.Context(), "/a", &handler.Publication{Text: make([]byte, 16<<10)}); err != nil {
				t.Fatal(err)
			}
		}
		o.History = small
	})
	if _, text := s.ask("GET", "/metrics", ""); !strings.Contains(text, "\nswitchback_history_dropped_total 7\n") {
		t.Errorf("no word of 7 entries in %s", text)
	}
}

func TestMetricsAreNamedAsPrometheusAdvises(t *testing.T) {
	s := open(t, nil)
	s.stomp("ann", "a")
	problems, err := testutil.GatherAndLint(s.options.Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "switchback_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// Prometheus' own tool accepts what a server says that has had sessions of every kind.
func TestPromtoolAcceptsMetrics(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("not run: there is no promtool; apt-get install prometheus")
	}
	s := open(t, nil)
	for _, transport := range []string{"websocket", "raw-websocket", "xhr-streaming", "eventsource", "xhr-polling"} {
		c, err := sockjs.Dial(t.Context(), s.public+"/chat", sockjs.Options{Transports: []string{transport}, HTTPClient: s.client})
		if err != nil {
			t.Fatalf("%s: %v", transport, err)
		}
		if err := c.Send([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Recv(t.Context()); err != nil { // what is fetched, no shutdown waits for
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"/0/h/htmlfile?c=f", "/0/j/jsonp?c=f"} { // one after the other: a fallback
		answer, err := s.client.Get(s.public + "/chat" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
	}
	ann := s.stomp("ann", "a", "/topic/a", "/work/a")
	for _, to := range []string{"/topic/a", "/work/a"} {
		if status, text := s.ask("POST", "/api/publish", `{"destination":"`+to+`","payload":1}`); status != http.StatusOK {
			t.Fatal(text)
		}
	}
	ann.next()
	s.ask("POST", "/api/disconnect", `{"user":"ann"}`)
	_, text := s.ask("GET", "/metrics", "")
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	for _, family := range regexp.MustCompile(`(?m)^# TYPE (switchback_endpoint_\w+) histogram$`).FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`(?m)^` + family[1] + `_count\{endpoint="/chat"} [1-9]`).MatchString(text) {
			t.Errorf("%s was not seen with a value", family[1])
		}
	}
}

// A program may have its own metrics there, and its own registry.
func TestRegistryOfTheProgram(t *testing.T) {
	own := prometheus.NewRegistry()
	own.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "own_total", Help: "x"}))
	s := open(t, func(o *Options) { o.Registry = own })
	if _, text := s.ask("GET", "/metrics", ""); !strings.Contains(text, "\nown_total 0") || !strings.Contains(text, "\nswitchback_endpoint_sessions{") {
		t.Error(text)
	}
	if _, err := New(Options{Registry: own}); err == nil || !strings.HasPrefix(err.Error(), "admin: ") {
		t.Errorf("registered twice: %v", err)
	}
}

func TestDashboardAsksForMetricsThatThereAre(t *testing.T) {
	text, err := os.ReadFile("../grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	s := open(t, nil)
	described := make(chan *prometheus.Desc)
	go func() { // ends with the last
		s.options.Registry.Describe(described)
		close(described)
	}()
	known := map[string]bool{}
	for d := range described {
		name, _, _ := strings.Cut(strings.TrimPrefix(d.String(), `Desc{fqName: "`), `"`)
		known[name] = true
	}
	if n := len(dashboard.Panels); n < 10 || n > 24 {
		t.Errorf("%d panels", n)
	}
	for _, p := range dashboard.Panels {
		names := 0
		for _, target := range p.Targets {
			for _, name := range regexp.MustCompile(`\b(switchback|go|process)_\w+`).FindAllString(target.Expr, -1) {
				names++
				if !known[strings.TrimSuffix(name, "_bucket")] {
					t.Errorf("%s: there is no %s", p.Title, name)
				}
			}
		}
		if names == 0 {
			t.Errorf("%s asks for nothing", p.Title)
		}
	}
}
