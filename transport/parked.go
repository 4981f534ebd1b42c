package transport

import (
	"errors"
	"net/http"
	"strconv"
	"unique"

	"switchback/session"
	"switchback/session/memory"
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
	b := wires.Get().(*memory.Pieces)
	defer freeWire(b)
	taken, head, err := x.service.taker.Hijack(b.Bytes, w, r, http.StatusOK)
	if err != nil {
		return false
	}
	b.Bytes, x.parked.Response = head, taken
	conn := taken.Conn
	conn.SetWriteTimeout(x.service.options.WriteTimeout)
	conn.Own(x)
	if x.carrier.poll {
		x.parked.head = unique.Make(string(b.Bytes))
	} else {
		x.beginStream(b)
	}
	x.run()
	conn.Watch(x) // after what is there: a client may end its side with its request
	return true
}

// beginStream writes the head and the prelude of a stream, with the frames that are
// there already. It appends to out, which is the head.
func (x *response) beginStream(out *memory.Pieces) {
	prelude := x.carrier.prelude(x.callback)
	out.Bytes = http1.AppendField(http1.AppendDate(out.Bytes), "Transfer-Encoding", "chunked")
	out.Bytes = http1.AppendChunkHead(append(out.Bytes, "\r\n"...), len(prelude))
	out.Bytes = append(append(out.Bytes, prelude...), http1.ChunkEnd...)
	b := wires.Get().(*memory.Pieces)
	defer freeWire(b)
	for more := true; more && !x.done; {
		f := x.next(b)
		more = f.More
		if f.Kind != session.NoFrame {
			x.appendFrame(out, b)
		}
	}
	x.send(out)
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
	b, out := wires.Get().(*memory.Pieces), wires.Get().(*memory.Pieces)
	defer freeWire(b)
	defer freeWire(out)
	for more := true; more && !x.done && !x.parked.Conn.Pending(); {
		f := x.next(b)
		more = f.More
		if f.Kind == session.NoFrame {
			return
		}
		x.appendFrame(out, b)
		x.send(out)
		out.Reset()
	}
	if !x.parked.Conn.Pending() {
		x.taken()
	}
}

// appendFrame appends a frame as the connection carries it, and the end of the
// response where that is its last. It uses the frame up.
func (x *response) appendFrame(dst, frame *memory.Pieces) {
	b := wires.Get().(*memory.Pieces)
	defer freeWire(b)
	x.carrier.wrap(b, frame, x.callback)
	if x.carrier.poll {
		dst.Bytes = append(dst.Bytes, x.parked.head.Value()...)
		dst.Bytes = http1.AppendDate(dst.Bytes)
		dst.Bytes = http1.AppendField(dst.Bytes, "Content-Length", strconv.Itoa(b.Len()))
		dst.Bytes = append(dst.Bytes, "\r\n"...)
		dst.Move(b)
		return
	}
	dst.Bytes = http1.AppendChunkHead(dst.Bytes, b.Len())
	dst.Move(b)
	dst.Bytes = append(dst.Bytes, http1.ChunkEnd...)
	if x.done {
		dst.Bytes = append(dst.Bytes, http1.LastChunk...)
	}
}

// send writes bytes. With the last, the connection goes back to its server, to
// wait for the next request. Of a failure Ready tells.
func (x *response) send(p *memory.Pieces) {
	if x.done {
		x.parked.Finish(p)
		return
	}
	x.parked.Conn.WritePieces(p)
}
