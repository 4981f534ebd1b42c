package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
)

var errEventStream = errors.New("answer is not an event stream")

func openEventSource(_ context.Context, d *dialer) (transport, error) {
	return openHTTP(d, http.MethodGet, "eventsource", newEventReader(d.o.FrameLimit)), nil
}

// An eventReader reads frames that are the data of events (HTML, section
// 9.2). Of an event's other fields none has a meaning here.
type eventReader struct {
	lineReader
	dataLimit int     // bytes of the data of an event
	data      *[]byte // of the event that has begun, each line with an LF; or nil
}

func newEventReader(limit int) *eventReader {
	return &eventReader{lineReader: lineReader{limit: limit + len("data: ")}, dataLimit: limit}
}

func (e *eventReader) start(res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return statusError(res.StatusCode)
	}
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind != "text/event-stream" {
		return errEventStream
	}
	e.reset(res.Body)
	return nil
}

// next returns the data of the next event that has any.
func (e *eventReader) next() ([]byte, error) {
	giveBack(e.data) // it was returned by the last call
	e.data = nil
	for {
		line, err := e.line()
		switch {
		case err == io.EOF && e.data != nil:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case len(line) > 0:
			err = e.field(line)
		case e.data != nil:
			return unescape((*e.data)[:len(*e.data)-1]), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// field takes one line of an event: a name, and after a colon and at most one
// space a value.
func (e *eventReader) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if string(name) != "data" {
		return nil
	}
	if e.data == nil {
		e.data = borrow()
	}
	*e.data = append(append(*e.data, bytes.TrimPrefix(value, []byte(" "))...), '\n')
	if len(*e.data) > e.dataLimit+1 {
		return tooBig()
	}
	return nil
}

// unescape undoes, in place, the percent escapes of what could not stand in an
// event: CR, LF and NUL, and for their sake the percent sign. sockjs-client
// undoes them too (EventSourceReceiver); no other escape is made by servers.
func unescape(p []byte) []byte {
	i := bytes.IndexByte(p, '%')
	if i < 0 {
		return p
	}
	out := p[:i]
	for i < len(p) {
		if c, ok := escape(p[i:]); ok {
			out = append(out, c)
			i += 3
			continue
		}
		out = append(out, p[i])
		i++
	}
	return out
}

func escape(p []byte) (c byte, ok bool) {
	if len(p) < 3 || p[0] != '%' {
		return 0, false
	}
	switch string(p[1:3]) {
	case "25":
		return '%', true
	case "0D", "0d":
		return '\r', true
	case "0A", "0a":
		return '\n', true
	case "00":
		return 0, true
	}
	return 0, false
}
