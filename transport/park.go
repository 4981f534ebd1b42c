package transport

import (
	"errors"
	"net/http"
	"strconv"
	"unique"

	"switchback/session"
	"switchback/transport/netpoll"
)

// errGone is why a session closes whose client has left its response.
var errGone = errors.New("transport: client has left")

// park takes the connection from its server and carries the response on without
// a goroutine. It is false where that cannot be. The caller has the pump.
func (x *response) park(r *http.Request) bool {
	conn, err := x.endpoint.poller.Hijack(x.w, r)
	if err != nil {
		return false
	}
	b := wires.Get().(*[]byte)
	defer freeWire(b)
	*b = netpoll.AppendHead(*b, http.StatusOK, x.w.Header(), conn.Returns())
	x.conn, x.w, x.woken = conn, nil, nil
	conn.Own(x)
	if x.carrier.poll {
		x.head = unique.Make(string(*b))
	} else {
		x.start(b)
	}
	x.run()
	conn.Watch(x) // after what is there: a client may end its side with its request
	return true
}

// start writes the head and the prelude of a stream, with the frames that are
// there already. It appends to head.
func (x *response) start(head *[]byte) {
	out := netpoll.AppendField(netpoll.AppendDate(*head), "Transfer-Encoding", "chunked")
	out = netpoll.AppendChunk(append(out, "\r\n"...), x.carrier.prelude(x.callback))
	b := wires.Get().(*[]byte)
	defer freeWire(b)
	for more := true; more && !x.done; {
		f := x.next((*b)[:0])
		*b, more = f.Bytes, f.More
		if f.Kind != session.NoFrame {
			out = x.appendFrame(out, *b)
		}
	}
	x.send(out)
	*head = out
}

func (x *response) run() { x.loop(x.moveParked) }

// Flushed goes on with what queued while the connection was being written.
func (x *response) Flushed() { x.Wake() }

// Ready is called when the client has gone.
func (x *response) Ready(*netpoll.Buffer) {
	x.session.Detach(x, errGone)
	x.conn.Close()
}

// moveParked writes frames as long as the connection takes them.
func (x *response) moveParked() {
	b, out := wires.Get().(*[]byte), wires.Get().(*[]byte)
	defer freeWire(b)
	defer freeWire(out)
	for more := true; more && !x.done && !x.conn.Pending(); {
		f := x.next((*b)[:0])
		*b, more = f.Bytes, f.More
		if f.Kind == session.NoFrame {
			return
		}
		*out = x.appendFrame((*out)[:0], *b)
		x.send(*out)
	}
	if !x.conn.Pending() {
		x.taken()
	}
}

// appendFrame appends a frame as the connection carries it, and the end of the
// response where that is its last.
func (x *response) appendFrame(dst, f []byte) []byte {
	b := wires.Get().(*[]byte)
	defer freeWire(b)
	*b = x.carrier.wrap((*b)[:0], f, x.callback)
	if x.carrier.poll {
		dst = append(dst, x.head.Value()...)
		dst = netpoll.AppendDate(dst)
		dst = netpoll.AppendField(dst, "Content-Length", strconv.Itoa(len(*b)))
		return append(append(dst, "\r\n"...), *b...)
	}
	dst = netpoll.AppendChunk(dst, *b)
	if x.done {
		dst = append(dst, netpoll.LastChunk...)
	}
	return dst
}

// send writes bytes. With the last, the connection goes back to its server, to
// wait for the next request. Of a failure Ready tells.
func (x *response) send(p []byte) {
	if x.done {
		x.conn.Finish(p)
		return
	}
	x.conn.Write(p)
}
