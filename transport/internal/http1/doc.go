// Package http1 is HTTP/1.1 on parked connections, beside an http.Server.
//
// A connection of which a response has taken possession goes back to the http.Server
// that it came from, and is parked until its next request. That is usually the next
// poll, or messages for a session: such a request, where it is plain and here whole,
// is parsed and served by the http.Server's own handler on the spot, since what
// http.Server does for a connection costs more than all else that is done for a poll.
// Which requests those are a predicate over method and path says. Any other goes to
// http.Server, unread, so that its timeouts and limits hold. Where [Serve] serves a
// netpoll.Listener, all of that is so from a connection's first request on, and over TLS
// from its handshake on, which a goroutine makes. HTTP/2 is http.Server's.
//
// From an http.Server down: server.go is the one object for each, with the connections
// that wait; accept.go serves listeners, secure.go makes handshakes; request.go parses; exchange.go is a request
// and its ResponseWriter, context.go its context, head.go what both write; taker.go is
// for who takes a connection out of a response.
package http1
