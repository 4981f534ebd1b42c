// Package admin is what operators and other services ask of a server: metrics for
// Prometheus, health, profiles, and an API in JSON by which they publish, watch sessions
// and end them, and look at what is kept. [New] makes a [Server], which is told in its
// [Options] what there is to ask about.
//
//	GET  /metrics              for Prometheus; no token
//	GET  /healthz              200 ok, as long as the process answers; no token
//	GET  /readyz               200 ok, or 503 draining once shutdown has begun; no token
//	GET  /debug/pprof/         profiles of the Go runtime
//	POST /api/publish          a message, or a batch of them
//	POST /api/publish-user     a message to a user
//	GET  /api/sessions         the sessions of this node, in pages
//	GET  /api/topics           the destinations that have subscriptions on it, in pages
//	POST /api/disconnect       ends a session, or those of a user, on any node
//	GET  /api/cluster          the node, and the others that it knows
//	POST /api/tickets          a ticket that opens a session for a user
//	GET  /api/history/topics   the topics that are kept, in pages
//	GET  /api/history          the entries of one of them, in pages
//	POST /api/history/trim     removes the oldest entries of one
//	GET  /api/openapi.json     the API, as an OpenAPI document
//
// All but those with "no token" need one: Authorization: Bearer TOKEN. The server belongs
// on a listener of its own, which the public does not reach. Package client speaks to it.
//
// server.go has the listener and who may ask what; api.go reads requests and answers
// them, publish.go, sessions.go, history.go, cluster.go and tickets.go do what they say;
// metrics.go makes metrics of the counters of other packages; profiles.go has the profiles.
package admin
