package frame

import "strings"

// Limits are what a peer may send in one frame. All must be set.
type Limits struct {
	Frame       int // bytes from the command to the NUL
	Body        int // bytes of a body
	HeaderBytes int // bytes of the command and the headers, with the empty line after them
	Headers     int // headers
}

// A Decoder decodes the frames of one peer from pieces of any size. It holds no
// memory between frames.
type Decoder struct {
	Limits  *Limits // of the frames to come; may be changed between frames
	Version Version // of the frames to come; may be changed between frames

	piece []byte // what was fed and is not yet decoded: the caller's
	kept  []byte // the same, and the decoder's: the front of a frame; one of the two is empty
	moved bool   // kept is the end of more memory
	at    progress
}

// Feed brings the next piece. The caller then calls Next until it has nothing;
// until then p must not be changed.
func (d *Decoder) Feed(p []byte) {
	if len(d.kept) == 0 {
		d.piece = p
		return
	}
	d.kept = append(d.kept, p...)
}

// FeedText is Feed for a piece of a text, which a JavaScript client may have cut
// within a character: the halves of it are rejoined.
func (d *Decoder) FeedText(p []byte) {
	if len(d.kept) == 0 {
		d.piece = p
		return
	}
	d.kept = rejoin(d.kept, p)
}

// Held is the number of bytes that the decoder keeps of a frame that is not
// complete.
func (d *Decoder) Held() int { return cap(d.kept) }

// Next decodes the next frame into f, whose Headers it fills anew. It returns
// false when the pieces hold no more whole frame. The body is valid until the
// next call of Next or Feed. An error is a *DecodeError, and final.
func (d *Decoder) Next(f *Frame) (bool, error) {
	data := d.data()
	if d.at.seen == 0 {
		n, err := skip(data)
		if err != nil {
			return false, err
		}
		d.advance(n)
		data = data[n:]
	}
	if len(data) == 0 || data[0] == '\r' {
		d.keep()
		return false, nil
	}
	size, err := d.measure(data)
	if err != nil {
		return false, err
	}
	if size == 0 {
		d.keep()
		return false, nil
	}
	err = d.decode(f, data[:size])
	d.advance(size)
	d.at = progress{}
	return err == nil, err
}

func (d *Decoder) data() []byte {
	if len(d.kept) > 0 {
		return d.kept
	}
	return d.piece
}

func (d *Decoder) advance(n int) {
	if len(d.kept) == 0 {
		d.piece = d.piece[n:]
		return
	}
	d.kept = d.kept[n:]
	d.moved = d.moved || n > 0
	if len(d.kept) == 0 {
		d.kept, d.moved = nil, false
	}
}

// keep copies what is left: of the caller's piece, or of memory that held more
// than that.
func (d *Decoder) keep() {
	switch {
	case len(d.piece) > 0:
		d.kept = append([]byte(nil), d.piece...)
	case d.moved:
		d.kept = append([]byte(nil), d.kept...)
	}
	d.piece, d.moved = nil, false
}

// decode decodes a whole frame.
func (d *Decoder) decode(f *Frame, data []byte) error {
	a := &d.at
	f.Command = a.command
	f.Body = data[a.body : len(data)-1]
	f.Headers = f.Headers[:0]
	if len(f.Body) > 0 && !f.Command.hasBody() {
		if d.Version != V10 {
			return syntax("%s shouldn't have a payload: length=%d", f.Command, len(f.Body))
		}
		f.Body = nil // 1.0 lets a client send one; it has no meaning
	}
	escaped := d.Version != V10 && !f.Command.raw()
	rest := string(data[a.headers:a.body])
	for range a.lines - 1 {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		h, err := headerOf(strings.TrimSuffix(line, "\r"), escaped)
		if err != nil {
			return err
		}
		f.Headers = append(f.Headers, h)
	}
	if d.padded() || f.Command.connects() && speaks10(f.Headers) {
		return f.Headers.trim()
	}
	return nil
}

// blanks are what may stand around the names and values of 1.0.
const blanks = " \t"

// padded tells whether blanks around the frame's names and values are no part
// of them. They are none in 1.0, whose specification writes "destination:
// /queue/foo"; 1.1 and 1.2 forbid to trim. What a CONNECT is, its headers tell.
func (d *Decoder) padded() bool { return d.Version == V10 && !d.at.command.raw() }

// speaks10 tells whether a CONNECT with these headers is one of 1.0.
func speaks10(h Headers) bool {
	v, ok := Negotiate(h)
	return ok && v == V10
}

// trim takes the blanks from around all names and values. A name has to be left.
func (h Headers) trim() error {
	for i, e := range h {
		h[i] = Header{strings.Trim(e.Name, blanks), strings.Trim(e.Value, blanks)}
		if h[i].Name == "" {
			return illegalHeader(e.Name + ":" + e.Value)
		}
	}
	return nil
}

func illegalHeader[T []byte | string](line T) error {
	return quoting("illegal header", "Illegal header: '%s'. A header must be of the form <name>:[<value>].", printable(line))
}

func headerOf(line string, escaped bool) (h Header, err error) {
	h.Name, h.Value, _ = strings.Cut(line, ":")
	if !escaped {
		return h, nil
	}
	if h.Name, err = unescape(h.Name); err != nil {
		return h, err
	}
	h.Value, err = unescape(h.Value)
	return h, err
}
