package handler

import "context"

// An Engine carries publications between the nodes of a cluster, as bytes that it need not
// understand. Its methods may be called from any goroutine. Bytes are valid until the call
// returns, in both directions.
type Engine interface {
	// Start is called once, first. The engine calls deliver for each publication on a
	// topic that this node has subscribed to, in the order of each publisher, from any
	// goroutine. It may leave out what this node has published: the Hub has delivered that
	// already, and drops it. An error is of bytes that are no publication, or one of a
	// newer node: it is for the log, and the next is delivered all the same.
	Start(deliver func(topic string, data []byte) error) error

	// Subscribe and Unsubscribe are called in turn for a topic, when its first
	// subscriber on this node comes and when its last has gone. What another node that
	// is known publishes after Subscribe has returned is delivered. Where the network is
	// down that is later: a subscription stands all the same, and no error is returned.
	Subscribe(ctx context.Context, topic string) error
	Unsubscribe(ctx context.Context, topic string) error

	// Publish takes a publication to the other nodes that have subscribed to a topic.
	// Calls come one at a time, in the order of the stamps: the Hub holds a lock, so
	// Publish must not wait for the network, nor call deliver. It copies data into a
	// queue, and returns an error where that is full. It may leave out what is on
	// Everything where no other node has subscribed to that.
	Publish(ctx context.Context, topic string, data []byte) error

	// Close sends what is in the queue, where the network takes it, and ends deliveries
	// before it returns.
	Close() error
}

// Everything is a topic to which few nodes subscribe and on which much is published: all
// that is on any topic of a kind, for those that look at all of it.
const Everything = "*"

// A Lossy engine tells of publications that may not have been delivered here.
type Lossy interface {
	// OnLoss is called before Start. The engine calls lost, from any goroutine, each time
	// that publications of other nodes may have been missed; err says why. It must not
	// block.
	OnLoss(lost func(err error))
}

// Memory is the Engine of one node, which has nothing to carry. The Hub, which delivers on
// its own node, knows it: it encodes nothing for it, and does not call its Publish.
type Memory struct{}

var _ Engine = (*Memory)(nil)

// NewMemory returns an Engine for one node.
func NewMemory() *Memory { return new(Memory) }

func (*Memory) Start(func(topic string, data []byte) error) error { return nil }
func (*Memory) Subscribe(context.Context, string) error           { return nil }
func (*Memory) Unsubscribe(context.Context, string) error         { return nil }
func (*Memory) Publish(context.Context, string, []byte) error     { return nil }
func (*Memory) Close() error                                      { return nil }
