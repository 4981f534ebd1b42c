package stomp

import (
	"fmt"
	"strings"

	"switchback/handler/stomp/frame"
)

// transactions are the open ones of a session.
type transactions struct {
	frames map[string][]*frame.Frame // that wait for COMMIT, by the transaction
	count  int                       // of frames
	bytes  int
}

// frameCost is what a frame takes beside its headers and body, and what a
// transaction takes beside its name and frames.
const frameCost = 100

// transact handles a frame of a transaction. Its receipt comes when it
// has its effect: after COMMIT, or never.
func (c *conn) transact(f *frame.Frame, name string) error {
	switch f.Command {
	case frame.Begin:
		return c.begin(f, name)
	case frame.Commit:
		return c.commit(f, name)
	case frame.Abort:
		return c.abort(f, name)
	case frame.Send, frame.Ack, frame.Nack:
		return c.postpone(f, name)
	}
	return c.perform(f)
}

func (c *conn) begin(f *frame.Frame, name string) error {
	if c.transactions == nil {
		c.transactions = &transactions{frames: make(map[string][]*frame.Frame)}
	}
	t := c.transactions
	if _, ok := t.frames[name]; ok {
		return &Error{Message: "Transaction exists already: " + name}
	}
	if most := c.broker.options.TransactionLimit; len(t.frames) >= most {
		return c.transactionLimit(fmt.Sprintf("The limit of %d transactions has been reached", most))
	}
	if !c.broker.kept.take(len(name) + frameCost) {
		return c.outOfMemory()
	}
	t.frames[strings.Clone(name)] = nil
	c.receipt(f)
	return nil
}

func (c *conn) transactionLimit(message string) error {
	return &Error{Message: message, counter: &c.broker.stats.TransactionLimit}
}

// take ends a transaction and returns its frames, which the caller has to forget.
func (c *conn) take(name string) ([]*frame.Frame, error) {
	if c.transactions == nil {
		return nil, &Error{Message: "Unknown transaction: " + name}
	}
	t := c.transactions
	frames, ok := t.frames[name]
	if !ok {
		return nil, &Error{Message: "Unknown transaction: " + name}
	}
	delete(t.frames, name)
	t.count -= len(frames)
	t.bytes -= weigh(frames)
	return frames, nil
}

// weigh is what the frames of a transaction take, in bytes.
func weigh(frames []*frame.Frame) (bytes int) {
	for _, f := range frames {
		bytes += f.Size() + frameCost
	}
	return bytes
}

// forget gives back what a transaction and its frames hold.
func (b *Broker) forget(name string, frames []*frame.Frame) {
	b.kept.give(weigh(frames) + len(name) + frameCost)
}

// postpone keeps a frame until its transaction is committed.
func (c *conn) postpone(f *frame.Frame, name string) error {
	t, o := c.transactions, &c.broker.options
	size := f.Size() + frameCost
	switch {
	case t == nil, !t.open(name):
		return &Error{Message: "Unknown transaction: " + name}
	case t.count >= o.TransactionFrameLimit:
		return c.transactionLimit(fmt.Sprintf("The limit of %d frames in transactions has been reached", o.TransactionFrameLimit))
	case t.bytes+size > o.TransactionByteLimit:
		return c.transactionLimit(fmt.Sprintf("The limit of %d bytes in transactions has been reached", o.TransactionByteLimit))
	case !c.broker.kept.take(size):
		return c.outOfMemory()
	}
	t.frames[name] = append(t.frames[name], f.Clone())
	t.count++
	t.bytes += size
	return nil
}

func (t *transactions) open(name string) bool {
	_, ok := t.frames[name]
	return ok
}

// commit does what the frames of a transaction ask for, in order. The first that
// is refused ends the session; what came before it stands.
func (c *conn) commit(f *frame.Frame, name string) error {
	frames, err := c.take(name)
	if err != nil {
		return err
	}
	defer c.broker.forget(name, frames)
	for _, f := range frames {
		if err := c.perform(f); err != nil {
			return err
		}
	}
	c.receipt(f)
	return nil
}

func (c *conn) abort(f *frame.Frame, name string) error {
	frames, err := c.take(name)
	if err != nil {
		return err
	}
	c.broker.forget(name, frames)
	c.receipt(f)
	return nil
}

// rollback aborts all transactions.
func (c *conn) rollback() {
	if c.transactions == nil {
		return
	}
	for name, frames := range c.transactions.frames {
		c.broker.forget(name, frames)
	}
	c.transactions = nil
}
