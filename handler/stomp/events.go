package stomp

// Events are functions that are told of clients; each may be nil. They are
// called on the session's goroutine, in order for one session, and should not
// take long.
type Events struct {
	// Connect is told of a CONNECT that was accepted, before CONNECTED is sent;
	// Connected after that.
	Connect   func(c *Client)
	Connected func(c *Client)

	// Subscribe is told of a subscription to topics or to a queue, Unsubscribe
	// of its end: by UNSUBSCRIBE, or with the client's.
	Subscribe   func(s Subscription)
	Unsubscribe func(s Subscription)

	// Disconnect is told once of the end of each client that Connect was told
	// of. err is the session's.
	Disconnect func(c *Client, err error)
}

func (e *Events) connect(c *Client) {
	if e.Connect != nil {
		e.Connect(c)
	}
}

func (e *Events) connected(c *Client) {
	if e.Connected != nil {
		e.Connected(c)
	}
}

func (e *Events) subscribe(s Subscription) {
	if e.Subscribe != nil {
		e.Subscribe(s)
	}
}

func (e *Events) unsubscribe(s Subscription) {
	if e.Unsubscribe != nil {
		e.Unsubscribe(s)
	}
}

func (e *Events) disconnect(c *Client, err error) {
	if e.Disconnect != nil {
		e.Disconnect(c, err)
	}
}
