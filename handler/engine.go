package handler

import "context"

// An Engine carries publications between the nodes of a cluster. Its methods
// may be called from any goroutine. Texts are valid until the call returns, in
// both directions.
type Engine interface {
	// Start is called once, first. The engine calls deliver for each
	// publication on a topic that this node has subscribed to, whichever node
	// published it, in the order of each publisher.
	Start(deliver func(topic string, text []byte)) error

	// Subscribe and Unsubscribe are called in turn for a topic, when its first
	// session on this node comes and when its last has gone. What is published
	// after Subscribe has returned is delivered.
	Subscribe(ctx context.Context, topic string) error
	Unsubscribe(ctx context.Context, topic string) error

	Publish(ctx context.Context, topic string, text []byte) error

	// Close ends deliveries before it returns.
	Close() error
}

// Memory is the Engine of one node: what is published is delivered before
// Publish returns.
type Memory struct {
	deliver func(topic string, text []byte)
}

var _ Engine = (*Memory)(nil)

// NewMemory returns an Engine for one node.
func NewMemory() *Memory { return new(Memory) }

func (m *Memory) Start(deliver func(topic string, text []byte)) error {
	m.deliver = deliver
	return nil
}

func (m *Memory) Subscribe(context.Context, string) error   { return nil }
func (m *Memory) Unsubscribe(context.Context, string) error { return nil }

func (m *Memory) Publish(_ context.Context, topic string, text []byte) error {
	m.deliver(topic, text)
	return nil
}

func (m *Memory) Close() error { return nil }
