package transport

import (
	"errors"
	"time"

	"switchback/session"
	"switchback/session/memory"
)

// start writes the end of the handshake with the frames that are there already.
func (k *socket) start(answer []byte) (err error) {
	k.wake()
	k.loop(func() {
		if answer == nil {
			k.moveFrames()
			return
		}
		p := &memory.Pieces{Bytes: answer}
		defer p.Reset()
		f := k.session.Next(k, p)
		for f.More {
			f = k.session.Next(k, p)
		}
		answer = nil
		if f.Kind == session.CloseFrame {
			err = k.writeLast(p)
			k.session.Detach(k, nil)
			return
		}
		if err = k.conn.WritePieces(p); !k.conn.Pending() {
			k.session.Taken()
		}
	})
	return err
}

// Wake has the next frame written.
func (k *socket) Wake() {
	if k.wake() {
		k.arrange(k, &k.service.flusher)
	}
}

func (k *socket) run() { k.loop(k.moveFrames) }

// Flushed goes on with what queued while the connection was being written.
func (k *socket) Flushed() { k.Wake() }

// moveFrames writes frames as long as the connection takes them. A connection
// that fails, or whose peer has not answered the last ping, ends the session,
// even while its handler keeps the reading goroutine busy.
func (k *socket) moveFrames() {
	b := wires.Get().(*memory.Pieces)
	defer freeWire(b)
	for more := true; more && !k.closing.Load() && !k.conn.Pending(); {
		f := k.session.Next(k, b)
		more = f.More
		var err error
		switch f.Kind {
		case session.NoFrame:
			return
		case session.CloseFrame:
			k.writeLast(b)
			k.session.Detach(k, nil)
			return
		case session.HeartbeatFrame:
			b.Bytes, err = k.probe(b.Bytes)
		}
		if err == nil {
			err = k.conn.WritePieces(b)
		}
		if err != nil {
			k.lose(err)
			return
		}
		b.Reset()
	}
	if !k.conn.Pending() {
		k.session.Taken()
	}
}

var errUnanswered = errors.New("transport: peer does not answer pings")

// probe adds a ping to the second heartbeat in a row before which nothing was read:
// a peer that is there answers it. Where nothing was read by the third, the peer is
// gone. A native WebSocket's heartbeat is a ping itself, so there it is gone by the
// second. While the handler is busy nothing is read, and so nothing is counted; nor is
// it with Hixie-76, which has no pings.
func (k *socket) probe(heartbeat []byte) ([]byte, error) {
	if k.codec == (hixie76{}) || k.works.Load() {
		return heartbeat, nil
	}
	silent, most := k.silent.Add(1), int32(2)
	if k.native {
		most = 1
	}
	switch {
	case silent > most:
		k.service.stats.Unanswered.Add(1)
		return heartbeat, errUnanswered
	case silent == 2:
		heartbeat = append(heartbeat, k.codec.ping()...)
	}
	return heartbeat, nil
}

// lose ends the session and the connection, which has failed.
func (k *socket) lose(err error) {
	k.session.Detach(k, &session.CloseError{Code: session.CodeAbnormal, Err: err})
	k.conn.Close()
}

// writeLast writes frames of which the last is the close frame: nothing follows that.
// Only then is the socket closing, since the peer's close frame, once read, ends the
// connection of a socket that is.
func (k *socket) writeLast(p *memory.Pieces) error {
	err := k.conn.WriteLast(p)
	if !k.closing.Load() {
		k.closed()
	}
	return err
}

// closed notes that the WebSocket close frame is sent, and gives the peer a
// while for its own: a browser that finds the connection closed before it has
// read the frames on it drops them.
func (k *socket) closed() {
	k.closing.Store(true)
	k.conn.SetReadDeadline(time.Now().Add(k.service.options.CloseTimeout))
}
