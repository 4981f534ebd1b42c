package transport

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"switchback/transport/netpoll"
)

// errGone is why a session closes whose client has left its response.
var errGone = errors.New("transport: client has left")

// park takes the connection from net/http and carries the response on without
// a goroutine. It is false where that cannot be. The caller has the pump.
func (x *response) park(r *http.Request) bool {
	conn, err := x.endpoint.poller.Hijack(x.w, r)
	if err != nil {
		return false
	}
	if has(x.w.Header()["Connection"], "close") {
		conn.Last()
	}
	head := appendHead(nil, x.w.Header(), conn.Returns())
	x.conn, x.w, x.woken = conn, nil, nil
	conn.Own(x)
	conn.Watch()
	if x.carrier.poll {
		x.head = unique.Make(string(head))
	} else {
		x.start(head)
	}
	x.run()
	return true
}

// appendHead appends the status line and the headers, but for those of each
// message and the empty line.
func appendHead(dst []byte, h http.Header, keepAlive bool) []byte {
	dst = append(dst, "HTTP/1.1 200 OK\r\n"...)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		switch name {
		case "Date", "Content-Length", "Transfer-Encoding", "Connection":
			continue // set for each response
		}
		for _, value := range h[name] {
			dst = appendField(dst, name, oneLine.Replace(value))
		}
	}
	if !keepAlive {
		dst = appendField(dst, "Connection", "close")
	}
	return dst
}

// oneLine keeps a value from becoming more than one field, as net/http does.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

func appendDate(dst []byte) []byte {
	dst = append(dst, "Date: "...)
	dst = time.Now().UTC().AppendFormat(dst, http.TimeFormat)
	return append(dst, "\r\n"...)
}

// appendChunk appends p in chunked coding (RFC 9112, section 7.1).
func appendChunk(dst, p []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(len(p)), 16)
	dst = append(append(dst, "\r\n"...), p...)
	return append(dst, "\r\n"...)
}

const lastChunk = "0\r\n\r\n"

// start writes the head and the prelude of a stream, with the frames that are
// there already.
func (x *response) start(head []byte) {
	out := append(appendDate(head), "Transfer-Encoding: chunked\r\n\r\n"...)
	out = appendChunk(out, x.carrier.prelude(x.callback))
	b := wires.Get().(*[]byte)
	defer freeWire(b)
	for more := true; more && !x.done; {
		if *b, more = x.next((*b)[:0]); len(*b) > 0 {
			out = x.appendFrame(out, *b)
		}
	}
	x.send(out)
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
	f, out := wires.Get().(*[]byte), wires.Get().(*[]byte)
	defer freeWire(f)
	defer freeWire(out)
	for more := true; more && !x.done && !x.conn.Pending(); {
		if *f, more = x.next((*f)[:0]); len(*f) == 0 {
			return
		}
		*out = x.appendFrame((*out)[:0], *f)
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
		dst = appendDate(dst)
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(*b)), 10)
		dst = append(dst, "\r\n\r\n"...)
		return append(dst, *b...)
	}
	dst = appendChunk(dst, *b)
	if x.done {
		dst = append(dst, lastChunk...)
	}
	return dst
}

// send writes bytes. With the last, the connection goes back to net/http, to wait
// for the next request. Of a failure Ready tells.
func (x *response) send(p []byte) {
	if x.done {
		x.conn.Finish(p)
		return
	}
	x.conn.Write(p)
}
