package session

// A Receiver carries frames to the client now. It is a transport's.
type Receiver interface {
	// Wake tells the receiver that Next has something for it. It is called
	// with no lock held, from any goroutine, and must not block. It is called
	// once after each time that Next had nothing more.
	Wake()
}

// A Frame is what Next has appended for a client.
type Frame struct {
	Kind FrameKind
	More bool // there is another frame already: the receiver is not woken for it
}

// A FrameKind is one of the units that a session sends.
type FrameKind uint8

const (
	NoFrame        FrameKind = iota // there is nothing, or the receiver is not attached
	OpenFrame                       // the first, on wires that have one
	MessageFrame                    // one or more messages
	HeartbeatFrame                  // of no bytes, on wires that have none
	CloseFrame                      // the last for this receiver; the next gets it again
)
