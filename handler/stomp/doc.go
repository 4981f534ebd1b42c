// Package stomp serves STOMP 1.0, 1.1 and 1.2 over sessions, whatever carries
// them, as Spring's simple broker does: a front-end that was written for that
// works unchanged.
//
// A [Broker] is a session.Opener. What it does with a destination is decided by
// the destination's prefix:
//
//	/topic/...   each message to all subscribers, over a handler.Hub and its engine
//	/queue/...   the same, as in Spring
//	/user/...    to the sessions of a user: SUBSCRIBE /user/queue/x, SEND /user/bob/queue/x
//	/app/...     to functions of the application: see [Broker.Handle]
//
// With Options.Queues there are queues: each message goes to one subscriber, which
// may have to acknowledge it, and is kept in memory until then.
//
// With Options.History messages are kept: a client that comes back with the offset of its
// last MESSAGE gets what it missed, once and in order, before what is new; and it is counted
// what a user has not read.
//
// Subscriptions to topics may be patterns, and functions of the application are found by
// patterns: those of package antpath.
//
// Who may connect, subscribe and send is what Options.Rules say; without them every client
// may publish to every topic and user, as in Spring.
//
// The application sends with [Broker.Send] and [Broker.SendToUser], answers with
// [Broker.Handle] and [Broker.HandleSubscribe], and hears of its clients by
// [Events].
//
// Who a client is, the request that opens its session says, or CONNECT: by a password or
// by a token. See [Options.Handshake], [Options.Login], [Passwords] and [Tokens].
//
// An idle client costs no goroutine and no timer of its own: one clock keeps the
// time for all.
//
// From a Broker down: broker.go has the Opener, options.go and prefix.go what it is told.
// conn.go is a session, whose frames connect.go (with login.go and token.go), subscribe.go,
// send.go, ack.go, transaction.go and disconnect.go take; heartbeat.go and clock.go tell who is
// silent. destination.go says what a destination is: of topics, topic.go and patterns.go have who
// has subscribed, publication.go what they are sent, history.go what is kept of it. Of that, feed.go
// is how far a subscription has come, marks.go what its user says to have read, and reads.go how
// other nodes hear of that. queue.go, consumer.go and idle.go have queues, user.go users; route.go,
// request.go and reply.go have the application's functions. messenger.go and payload.go are what
// the application sends, events.go, errors.go, stats.go and log.go what it is told.
package stomp
