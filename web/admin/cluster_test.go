package admin

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"switchback/handler"
	"switchback/handler/engine"
	"switchback/handler/engine/natsserver"
)

// A user is disconnected on every node, and what is listed is one node's, which it says.
func TestCluster(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	nats, err := natsserver.Start(natsserver.Options{Cluster: "test", Secret: []byte(strings.Repeat("s", natsserver.SecretLength)), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Close)
	var nodes []*site
	var engines []*engine.Engine
	for i := range 2 {
		e := engine.New(nats.Wire(), engine.Options{Name: fmt.Sprint("node ", i), Logger: quiet})
		hub, err := handler.NewHub(e)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { hub.Close() })
		engines = append(engines, e)
		nodes = append(nodes, open(t, func(o *Options) { o.Engine, o.Hub = e, hub }))
	}
	number := func(i int) string { return engines[i].Status().Node }
	own, other := nodes[0].stomp("ann", "a"), nodes[1].stomp("ann", "a")
	nodes[1].stomp("bob", "b")
	if _, got := nodes[0].ask("POST", "/api/disconnect", `{"user":"ann","code":4001}`); strings.TrimSpace(got) != fmt.Sprintf(`{"closed":1,"node":"%s"}`, number(0)) {
		t.Errorf("got %s", got)
	}
	own.next()
	other.next()
	if _, got := nodes[1].ask("GET", "/api/sessions", ""); !strings.Contains(got, `"user":"bob"`) || strings.Contains(got, `"user":"ann"`) || !strings.Contains(got, `"node":"`+number(1)+`"`) {
		t.Errorf("got %s", got)
	}
	if _, got := nodes[0].ask("GET", "/api/topics", ""); strings.TrimSpace(got) != fmt.Sprintf(`{"topics":[],"node":"%s"}`, number(0)) {
		t.Errorf("got %s", got)
	}
	status, got := nodes[0].ask("GET", "/api/cluster", "")
	see("/api/cluster", status)
	for _, want := range []string{`"node":"` + number(0) + `","name":"node 0","connected":true`, `"losses":0,"nodes":[{"node":"` + number(1) + `","name":"node 1"`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	engines[0].Publish(t.Context(), disconnections, []byte("no publication"))
}

func TestEngineHasAHub(t *testing.T) {
	if _, err := New(Options{Engine: engine.New(nil, engine.Options{})}); err == nil || err.Error() != "admin: Engine: needs the Hub that it is of, too" {
		t.Errorf("got %v", err)
	}
}
