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
// A [Registry] holds the sessions of one endpoint: it finds them by the id in
// their URL, keeps the time for all of them in one timing wheel, and holds
// them to their limits.
package session
