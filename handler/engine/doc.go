// Package engine carries publications between the nodes of a cluster, over a server that
// knows no more than to pass messages on. Packages nats and redis have the connections to
// one, and natsserver has a server within the process. Each node has a Hub over an Engine:
//
//	wire := nats.New("chat", "nats://10.0.0.1:4222")
//	hub, err := handler.NewHub(engine.New(wire, engine.Options{}))
//
// Such a server loses what it has when it ends or when somebody is too slow, and tells
// nobody. So the nodes number what they send, and keep it until all others have confirmed
// it. A node is a process: its number is random.
//
//   - Each node announces itself four times a second: what it has sent, and what it has
//     received of each other.
//   - Who may have missed something, by a connection that broke, its own or another's, or
//     by an announcement that did not come, leaves out what comes from that node until it has
//     asked for all since the last that it is sure of, and got it: so there is one order.
//     Where the other does not have it any more, that is a loss, and is told.
//   - Who has not announced itself for long is forgotten: nobody keeps anything for it. When it
//     is back it is asked, and asks, from where it was.
//   - Who has subscribed asks all others for a sign, and waits for it: their servers know of
//     the subscription then. What they publish from there on comes.
//
// So an outage of the server costs nothing but time, up to what the outbox holds.
//
// Who may publish on the server is believed as a node is: it can say anything to any client. So
// the server is for the nodes alone, by its users and passwords or its network; what is said by
// mistake, or by a node of another version, does no harm beyond that.
//
// engine.go is what a Hub sees, outbox.go what is kept, link.go one connection, and what is
// subscribed to and asked on it. send.go is what this node says, receive.go what others say,
// packet.go the form of that, and member.go what is known of them.
package engine
