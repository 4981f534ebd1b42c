package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"switchback/handler"
	"switchback/session"
	"switchback/web/admin/client"
)

// cluster answers GET /api/cluster.
func (s *Server) cluster(*http.Request) (any, *client.Failure) {
	e := s.options.Engine
	if e == nil {
		return nil, failed(wrong("cluster", "This server is alone: no engine is configured."))
	}
	status, stats := e.Status(), e.Stats()
	answer := client.Cluster{
		Node: status.Node, Name: status.Name, Connected: status.Connected, Since: status.Since.UTC(),
		Outbox: stats.Unconfirmed.Load(), Losses: stats.Losses.Load(), Nodes: []client.Node{},
	}
	for _, n := range status.Nodes {
		answer.Nodes = append(answer.Nodes, client.Node{Node: n.Node, Name: n.Name, Heard: n.Heard.UTC(), Missing: n.Missing})
	}
	return answer, nil
}

// node is the number of this node, for lists that are of it alone; empty where there is no
// other.
func (s *Server) node() string {
	if s.options.Engine == nil {
		return ""
	}
	return s.options.Engine.Status().Node
}

// disconnections is the topic of the Hub by which nodes tell each other whom to disconnect.
const disconnections = "admin:disconnect"

// listen has the server hear of that. It waits no longer than the engine does.
func (s *Server) listen() error {
	if s.options.Engine == nil {
		return nil
	}
	return s.options.Hub.Subscribe(context.Background(), disconnections, s)
}

// tell has the other nodes disconnect whom this one has. An error is for the log: here it is
// done.
func (s *Server) tell(ctx context.Context, d client.Disconnection) {
	if s.options.Engine == nil {
		return
	}
	text, err := json.Marshal(d)
	if err == nil {
		err = s.options.Hub.Publish(ctx, disconnections, text)
	}
	if err != nil {
		s.log.Error("admin: other nodes are not told whom to disconnect", "error", err)
	}
}

// Receive is handler.Subscriber's: another node, or this one, has disconnected somebody.
func (s *Server) Receive(p *handler.Publication) {
	var d client.Disconnection
	if err := json.Unmarshal(p.Text, &d); err != nil || !session.ValidCode(d.Code) {
		s.log.Error("admin: another node disconnects somebody in a way that is not known", "error", err)
		return
	}
	if closed := s.close(d); closed > 0 {
		s.log.Info("admin: sessions are disconnected by another node", "sessions", closed, "code", d.Code)
	}
}

// unlisten ends listen.
func (s *Server) unlisten() {
	if s.options.Engine != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.options.Hub.Unsubscribe(ctx, disconnections, s)
	}
}
