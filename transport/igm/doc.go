// Package igm is the second implementation: a session.Opener mounted on
// github.com/igm/sockjs-go instead of package transport. An endpoint chooses
// it with "implementation: igm". It is the baseline of benchmarks and an oracle for
// tests: what comes from igm is left as it is. It is not meant for clients
// that are not trusted.
//
// What stands before igm is ours: the origin of a page, the Opener, the limits
// on sessions, a request's body and its time, and the time of a write. What is
// behind is igm's, and differs from package transport in this:
//
// Sessions:
//   - Send and Close write to the client and may wait for it, up to
//     WriteTimeout, and so may everything else that needs the session.
//   - A slow client is noticed only when a write times out. What is sent
//     between two receivers is queued without a limit, and Queued is always 0.
//   - Each session costs several goroutines, one of which runs its handler.
//   - OnClose gets 1006 whenever the client ended the session: igm does not
//     tell a close frame from a broken connection or from the disconnect delay.
//     What is queued when a session closes is lost.
//   - A poll that comes very soon after the previous one's answer may be
//     answered c[2010,"Another connection still open"], with which sockjs-client
//     closes the session: igm detaches a receiver after its answer can be seen.
//   - A session that ends just as its client's next request arrives may be
//     followed by one that gets o and then c[1002,"Connection interrupted"], or
//     leave that request without an answer until the client gives up.
//
// Messages:
//   - There are no binary messages: SendBinary returns session.ErrText, and a
//     binary message of a native WebSocket is taken for a text. One that is not
//     UTF-8 closes the session with 1007.
//   - A lone surrogate becomes U+FFFD on its way in.
//   - A body or WebSocket message with several texts may be taken in part when
//     the session closes meanwhile. One that is no array of strings is dropped
//     with 204, or ends a WebSocket without a close frame. An element that is
//     not a string is taken for an empty text.
//   - Requests with messages wait for a busy handler, however many there are and
//     however long it takes; which of them comes next is not said.
//   - MessageLimit is applied to a message that has been read; a WebSocket
//     message is read whatever its size, and in whatever time, so BodyLimit and
//     BodyTimeout hold for the bodies of requests only, the latter for all of one.
//
// Connections:
//   - A WebSocket is closed at once after the close frame, and a SockJS
//     WebSocket without one. A peer that has vanished is noticed when a write
//     fails: nothing waits for its pongs.
//   - Sub-protocols are compared with regard to case.
//   - CookieNeeded sets no cookie in the answer to a WebSocket handshake.
//   - Hixie76 has no effect.
//   - An answer that refuses a request carries no CORS headers.
//
// NewEndpoint refuses options that have no equivalent, by name: QueueLimit and Opened,
// say, must be zero, and zero stands for no such limit here, not for the default of
// transport.Options.
//
// endpoint.go stands before igm, options.go is what it is told, open.go opens sessions,
// registry.go knows and counts them, adapter.go is one as handlers have it, response.go
// bounds its writes.
package igm
