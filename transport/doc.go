// Package transport serves sessions over HTTP: the whole of the SockJS protocol
// at one base URL.
//
// Begin with [NewEndpoint], which is given a session.Opener, and [Endpoint.Register]. A
// [Server], over what [Listen] accepts, costs less and shuts all down in the right order.
//
// An [Endpoint] is an http.Handler for the URLs below its prefix:
//
//	GET  /                                    greeting
//	GET  /info                                what the server can do
//	GET  /iframe*.html                        the page for cross-domain iframes
//	GET  /websocket                           native WebSocket
//	GET  /<server>/<session>/websocket        SockJS over WebSocket
//	POST /<server>/<session>/xhr              polling
//	POST /<server>/<session>/xhr_streaming    streaming
//	POST /<server>/<session>/xhr_send         messages from the client
//	GET  /<server>/<session>/eventsource      streaming
//	GET  /<server>/<session>/htmlfile         streaming
//	GET  /<server>/<session>/jsonp            polling
//	POST /<server>/<session>/jsonp_send       messages from the client
//
// Every one of them becomes the same [session.Session], and handlers never
// learn which. A transport decodes what the carrier brings and hands it to the
// session; it pulls frames from the session when it can write, and wraps them
// for the carrier. It never waits for one client on behalf of another.
//
// From a [Server] down: server.go serves and ends, endpoint.go has what an endpoint is,
// options.go what it is told, register.go puts it into a mux; routes.go is the URL table,
// static.go what is of no session, headers.go what answers have in common. response.go is
// the receiver of the HTTP transports, each of which has a file, with parked.go and served.go
// for how its bytes are written; websocket.go, with websocket_write.go, is the receiver of
// WebSockets, which handshake.go begins, rfc6455.go and hixie76.go frame, and framing.go has
// the forms of. send.go takes messages, body.go counts their bytes and pace.go how fast they
// come; pump.go moves frames from sessions to wires; fallbacks.go guesses which transports do
// not reach clients.
package transport
