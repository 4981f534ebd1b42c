package transport

import (
	"errors"
	"net/http"
	"strconv"
	"unique"

	"switchback/session"
	"switchback/transport/internal/http1"
	"switchback/transport/internal/netpoll"
)

// errGone is why a session closes whose client has left its response.
var errGone = errors.New("transport: client has left")

// A parked is a response without a goroutine: whoever has a frame writes it.
type parked struct {
	http1.Response
	head unique.Handle[string] // of a poll: its status line and headers
}

// park takes the connection from its server and carries the response on without
// a goroutine. It is false where that cannot be. The caller has the pump.
func (x *response) park(w http.ResponseWriter, r *http.Request) bool {
	b := wires.Get().(*[]byte)
	defer freeWire(b)
	taken, head, err := x.service.taker.Hijack(*b, w, r, http.StatusOK)
	if err != nil {
		return false
	}
	*b, x.parked.Response = head, taken
	conn := taken.Conn
	conn.SetWriteTimeout(x.service.options.WriteTimeout)
	conn.Own(x)
	if x.carrier.poll {
		x.parked.head = unique.Make(string(*b))
	} else {
		x.beginStream(b)
	}
	x.run()
	conn.Watch(x) // after what is there: a client may end its side with its request
	return true
}

// beginStream writes the head and the prelude of a stream, with the frames that are
// there already. It appends to head.
func (x *response) beginStream(head *[]byte) {
	out := http1.AppendField(http1.AppendDate(*head), "Transfer-Encoding", "chunked")
	out = http1.AppendChunk(append(out, "\r\n"...), x.carrier.prelude(x.callback))
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

func (x *response) run() { x.loop(x.move) }

// Flushed goes on with what queued while the connection was being written.
func (x *response) Flushed() { x.Wake() }

// Ready is called when the client has gone.
func (x *response) Ready(*netpoll.Buffer) {
	x.session.Detach(x, errGone)
	x.parked.Conn.Close()
}

// move writes frames as long as the connection takes them.
func (x *response) move() {
	b, out := wires.Get().(*[]byte), wires.Get().(*[]byte)
	defer freeWire(b)
	defer freeWire(out)
	for more := true; more && !x.done && !x.parked.Conn.Pending(); {
		f := x.next((*b)[:0])
		*b, more = f.Bytes, f.More
		if f.Kind == session.NoFrame {
			return
		}
		*out = x.appendFrame((*out)[:0], *b)
		x.send(*out)
	}
	if !x.parked.Conn.Pending() {
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
		dst = append(dst, x.parked.head.Value()...)
		dst = http1.AppendDate(dst)
		dst = http1.AppendField(dst, "Content-Length", strconv.Itoa(len(*b)))
		return append(append(dst, "\r\n"...), *b...)
	}
	dst = http1.AppendChunk(dst, *b)
	if x.done {
		dst = append(dst, http1.LastChunk...)
	}
	return dst
}

// send writes bytes. With the last, the connection goes back to its server, to
// wait for the next request. Of a failure Ready tells.
func (x *response) send(p []byte) {
	if x.done {
		x.parked.Finish(p)
		return
	}
	x.parked.Conn.Write(p)
}
