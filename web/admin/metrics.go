package admin

import (
	"context"
	_ "embed"
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"switchback/handler/chat"
	"switchback/handler/engine"
	"switchback/handler/history"
	"switchback/handler/rules"
	"switchback/handler/stomp"
	"switchback/session"
	"switchback/session/auth"
	"switchback/session/memory"
	"switchback/transport"
)

// register makes all metrics and registers them.
func (s *Server) register() error {
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "switchback_admin_requests_total", Help: "Requests to the admin listener, by path and status.",
	}, []string{"path", "code"})
	all := []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		s.requests,
		buildInfo(),
		endpointMetrics(s.options.Endpoints),
		gauge("switchback_memory_limit_bytes", "What clients may have the process hold.", memory.Limit),
		gauge("switchback_memory_used_bytes", "What clients have the process hold, and who publishes has reserved.", memory.Used),
		gauge("switchback_memory_received_bytes", "Of that, what is coming from clients and not whole yet, and what is being handled.", memory.Received.Used),
		gauge("switchback_memory_kept_bytes", "Of that, what handlers keep for clients: transactions, subscriptions.", memory.Kept.Used),
		gauge("switchback_memory_queued_bytes", "Of that, messages in queues of STOMP.", memory.Queued.Used),
	}
	if b := s.options.Broker; b != nil {
		all = append(all, statsMetrics{b.Stats(), metricsOf[stomp.Stats]("switchback_stomp_")})
	}
	if t := s.options.TLS; t != nil {
		all = append(all, statsMetrics{t, metricsOf[transport.TLSStats]("switchback_tls_")})
	}
	if t := s.options.Tickets; t != nil {
		all = append(all, statsMetrics{t.Stats(), metricsOf[auth.TicketStats]("switchback_tickets_")})
	}
	if v := s.options.Verifier; v != nil {
		all = append(all, statsMetrics{v.Stats(), metricsOf[auth.Stats]("switchback_tokens_")},
			statsMetrics{v.Keys().Stats(), metricsOf[auth.KeyStats]("switchback_keys_")})
	}
	if e := s.options.Engine; e != nil {
		all = append(all, statsMetrics{e.Stats(), metricsOf[engine.Stats]("switchback_engine_")})
	}
	if l := s.options.History; l != nil {
		all = append(all, statsMetrics{l.Stats(), metricsOf[history.Stats]("switchback_history_")}, historySize{l},
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "switchback_history_lag_seconds", Help: "How long the oldest publication of a fast topic waits for the store.",
			}, func() float64 { return l.Lag().Seconds() }))
		if d, ok := l.Store().(history.Dropper); ok {
			all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "switchback_history_dropped_total", Help: "Entries that have gone before their time, since the store has no more room.",
			}, func() float64 { return float64(d.Dropped()) }))
		}
	}
	if len(s.options.Chats) > 0 {
		all = append(all, endpointStats{byEndpoint(s.options.Chats, (*chat.Chat).Stats), metricsOf[chat.Stats]("switchback_chat_", "endpoint")})
	}
	if len(s.options.Guards) > 0 {
		all = append(all, endpointStats{byEndpoint(s.options.Guards, (*rules.Guard).Stats), metricsOf[rules.Stats]("switchback_refused_", "endpoint")})
	}
	for _, c := range all {
		if err := s.options.Registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func gauge(name, help string, value func() int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
}

func buildInfo() prometheus.Collector {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Path == "switchback" && info.Main.Version != "" {
		version = info.Main.Version
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "switchback_build_info", Help: "1, with the version of the server.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	g.Set(1)
	return g
}

// A metric is made of one field of a struct of counters, so that a counter that is added
// is a metric without a word here. Its name is the field's, its kind and unit are those
// of the field's tags, as package option has them: metric:"gauge" is of now, all others
// only rise; unit:"bytes". A session.Histogram is a histogram.
type metric struct {
	field int
	kind  prometheus.ValueType
	desc  *prometheus.Desc
}

// metricsOf are the metrics of the fields of T that are counters: an atomic.Int64, a
// session.Histogram, or an int64 in what is a copy.
func metricsOf[T any](prefix string, labels ...string) (all []metric) {
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		f := t.Field(i)
		histogram := f.Type == reflect.TypeFor[session.Histogram]()
		if !histogram && f.Type != reflect.TypeFor[atomic.Int64]() && f.Type != reflect.TypeFor[int64]() {
			continue
		}
		name, kind := prefix+snakeCase(f.Name), prometheus.CounterValue
		if unit := f.Tag.Get("unit"); unit != "" && !strings.HasSuffix(name, "_"+unit) {
			name += "_" + unit
		}
		switch {
		case histogram:
		case f.Tag.Get("metric") == "gauge":
			kind = prometheus.GaugeValue
		default:
			name += "_total"
		}
		all = append(all, metric{i, kind, prometheus.NewDesc(name, helpOf(t, f.Name), labels, nil)})
	}
	return all
}

var wordEnd = regexp.MustCompile(`([a-z0-9])([A-Z])`)

func snakeCase(name string) string {
	return strings.ToLower(wordEnd.ReplaceAllString(name, "${1}_$2"))
}

// help is the comment of each field, a line each: session.Stats.Opened and the sentence.
// A test keeps it.
//
//go:embed help.txt
var help string

// helpOf is the comment of a field; of one that is new, its name.
func helpOf(t reflect.Type, field string) string {
	name := t.String() + "." + field
	for line := range strings.Lines(help) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(text)
		}
	}
	return name
}

// collect sends the values of a struct of counters, to which v points.
func collect(out chan<- prometheus.Metric, all []metric, v any, labels ...string) {
	fields := reflect.ValueOf(v).Elem()
	for _, m := range all {
		var value int64
		switch n := fields.Field(m.field).Addr().Interface().(type) {
		case *session.Histogram:
			out <- histogram(m.desc, n, labels)
			continue
		case *atomic.Int64:
			value = n.Load()
		case *int64:
			value = *n
		}
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(value), labels...)
	}
}

func histogram(desc *prometheus.Desc, h *session.Histogram, labels []string) prometheus.Metric {
	within, count, sum := h.Counts()
	buckets := make(map[float64]uint64, len(within))
	for i, n := range within {
		buckets[session.Bounds[i].Seconds()] = n
	}
	return prometheus.MustNewConstHistogram(desc, count, sum.Seconds(), buckets, labels...)
}

func describe(out chan<- *prometheus.Desc, lists ...[]metric) {
	for _, list := range lists {
		for _, m := range list {
			out <- m.desc
		}
	}
}

// endpointsCollector makes the metrics of endpoints. What it reads costs the same whatever
// the number of sessions.
type endpointsCollector struct {
	endpoints map[string]*transport.Endpoint

	sessions, endpoint, traffic []metric
	closed, fallbacks           *prometheus.Desc
}

func endpointMetrics(endpoints map[string]*transport.Endpoint) prometheus.Collector {
	const prefix = "switchback_endpoint_"
	return &endpointsCollector{
		endpoints: endpoints,
		sessions:  metricsOf[session.Stats](prefix, "endpoint"),
		endpoint:  metricsOf[transport.Stats](prefix, "endpoint"),
		traffic:   metricsOf[session.Traffic]("switchback_transport_", "endpoint", "transport"),
		closed:    prometheus.NewDesc(prefix+"closed_total", helpOf(reflect.TypeFor[session.Stats](), "Closed"), []string{"endpoint", "code"}, nil),
		fallbacks: prometheus.NewDesc(prefix+"fallbacks_total", "Clients that went from one transport to the next before a session began for them, "+
			"as guessed: the server refused the first, or it opened a session and the client has given up.", []string{"endpoint", "from", "to", "how"}, nil),
	}
}

func (c *endpointsCollector) Describe(out chan<- *prometheus.Desc) {
	describe(out, c.sessions, c.endpoint, c.traffic)
	out <- c.closed
	out <- c.fallbacks
}

func (c *endpointsCollector) Collect(out chan<- prometheus.Metric) {
	for path, e := range c.endpoints {
		stats := e.Stats()
		collect(out, c.sessions, stats.Stats, path)
		collect(out, c.endpoint, stats, path)
		for code, n := range stats.Closed.All() {
			out <- prometheus.MustNewConstMetric(c.closed, prometheus.CounterValue, float64(n), path, code)
		}
		for _, f := range e.Fallbacks() {
			how := "given_up"
			if f.Refused {
				how = "refused"
			}
			out <- prometheus.MustNewConstMetric(c.fallbacks, prometheus.CounterValue, float64(f.Count), path, f.From, f.To, how)
		}
		for _, t := range e.Traffic() {
			collect(out, c.traffic, &t, path, t.Transport)
		}
	}
}

// statsMetrics makes those of a struct of counters that there is once.
type statsMetrics struct {
	stats   any // a pointer to it
	metrics []metric
}

func (c statsMetrics) Describe(out chan<- *prometheus.Desc) { describe(out, c.metrics) }

func (c statsMetrics) Collect(out chan<- prometheus.Metric) { collect(out, c.metrics, c.stats) }

// endpointStats makes those of structs of counters of which some endpoints have one each.
type endpointStats struct {
	stats   map[string]any // a pointer to it, by path
	metrics []metric
}

func (c endpointStats) Describe(out chan<- *prometheus.Desc) { describe(out, c.metrics) }

func (c endpointStats) Collect(out chan<- prometheus.Metric) {
	for path, stats := range c.stats {
		collect(out, c.metrics, stats, path)
	}
}

// byEndpoint are the counters of what some endpoints have, by path.
func byEndpoint[T any, S any](of map[string]T, stats func(T) *S) map[string]any {
	all := make(map[string]any, len(of))
	for path, one := range of {
		all[path] = stats(one)
	}
	return all
}

// historySize asks the store how large it is; of one that is away there is no size.
type historySize struct{ log *history.Log }

var historySizeDesc = prometheus.NewDesc("switchback_history_size_bytes", "What the store of history takes on its disk, or in memory.", nil, nil)

func (historySize) Describe(out chan<- *prometheus.Desc) { out <- historySizeDesc }

func (c historySize) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var size int64
	err := c.log.Ask(ctx, func(ctx context.Context, s history.Store) (err error) {
		size, err = s.Size(ctx)
		return err
	})
	if err == nil {
		out <- prometheus.MustNewConstMetric(historySizeDesc, prometheus.GaugeValue, float64(size))
	}
}

// scrapeTimeout is how long the metrics wait for the store.
const scrapeTimeout = time.Second
