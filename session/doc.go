// Package session is one client's conversation with the server, whatever
// carries it.
//
// A session does no I/O. It is a state machine with two queues: messages in,
// waiting for the handler, and bytes out, already encoded, waiting for a
// receiver. A transport brings bytes in with [Local.Receive] and pulls frames
// out with [Local.Next] when it can write. A [Handler] is called, one event at
// a time, on the goroutine that brought the event. So a quiet session is one
// small struct, with no goroutine, no channel and no timer of its own.
//
//	bytes in                                                   bytes out
//	   |                                                           ^
//	transport: decode the carrier               transport: wrap for the carrier
//	   |                                                           ^
//	Local.Receive -> inbox -> Handler.OnMessage              Local.Next
//	                              |                                ^
//	                        Session.Send -> queue -> Receiver.Wake |
//
// No lock is held while a Handler or a Receiver is called, so there is no lock
// order to remember.
//
// # For handlers
//
//   - [Session]: the conversation, as handlers have it; [Prepare] encodes a [Prepared]
//     text once for many of them. Optional: [Expirer].
//   - [Handler]: what gets its events; [Nop] is embedded by those that listen to some
//     of them only. Optional: [BinaryHandler], [Drainer], [Identified].
//   - [Opener]: chooses the handler of a new session, or refuses it with a
//     [RefusedError]. [OpenerFunc] is a function that does, [Shared] gives all sessions
//     one handler, and [Blocking] gives each a function that receives in a loop from a
//     [Conn]. Optional: [Subprotocoler]; and, for sessions that are somebody's,
//     [Authenticator], [Principaler] and [Admitter]: package session/auth has one.
//   - [Peer]: who opened the session; its [Identity] is who that is.
//   - [CloseError]: its end, with a code that [ValidCode] takes; [PanicError]: a
//     handler's panic.
//   - Package session/sessiontest: a session for tests.
//
// # For transports
//
//   - [Registry], made with a [Config]: the sessions of one endpoint. It opens them and
//     finds them by the id in their URL, keeps the time for all of them in one timing
//     wheel, and holds them to their limits, of which [Stats] tell. It also lists them,
//     finds them by the ID that handlers know, and closes those that a function chooses.
//     [Traffic] is what has passed over them, by transport, [Counts] over one.
//   - [Local]: one of these sessions.
//   - [Receiver]: what a transport attaches to it; it takes one [Frame] after another.
//   - [Histogram]: how long what is timed took, in the Stats. A [Stopwatch] is for those
//     who publish: package handler has one for each publication.
//   - [Framing]: the form of messages and frames on a wire: [SockJS], or another.
//   - [Recovered] and [Ending]: for those who call handlers, or implement Session.
//
// session.go, identity.go, errors.go and blocking.go are for handlers; receiver.go and
// framing.go are what a transport brings. From a Registry down: registry.go has the
// sessions, open.go lets new ones in, and shutdown.go ends them all. local.go has a
// session's states. A change of them fills effects, which effects.go carries out once the
// lock is free. inbox.go calls the handler, send.go fills the queue of queue.go, rates.go
// has how fast a client may send, memory.go counts both, traffic.go what has passed,
// samples.go how long that took, and wheel.go tells when a session is due. How much may be
// held for clients is package session/memory's.
package session
