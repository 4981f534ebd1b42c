package frame

import (
	"bytes"
	"strconv"
	"strings"
)

// progress is what is known of the frame that has begun. Positions count from
// the frame's first byte.
type progress struct {
	seen    int // bytes that were looked at
	line    int // where the line that is not complete begins
	lines   int // complete ones
	command Command
	headers int // where they begin
	body    int // where it begins; 0 while the headers are not complete
	length  int // of the body
	fixed   bool
}

// skip returns the number of bytes between frames: ends of lines, which are
// heart-beats, and NULs, which some clients send after them. A CR at the end
// waits for its LF.
func skip(p []byte) (int, error) {
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\n', c == 0:
		case c != '\r', i+1 == len(p):
			return i, nil
		case p[i+1] != '\n':
			return i, loneCR()
		}
	}
	return len(p), nil
}

func loneCR() error { return syntax(`'\r' must be followed by '\n'`) }

// measure returns the size of the frame at the front of data, or 0 while it is
// not complete.
func (d *Decoder) measure(data []byte) (int, error) {
	if d.at.body == 0 {
		if done, err := d.readHead(data); err != nil || !done {
			return 0, err
		}
	}
	return d.readBody(data)
}

func (d *Decoder) frameLimit() error {
	return limit("The configured STOMP buffer size limit of %d bytes has been exceeded", d.Limits.Frame)
}

// readHead looks at lines until the empty one.
func (d *Decoder) readHead(data []byte) (bool, error) {
	a := &d.at
	for {
		i := bytes.IndexByte(data[a.seen:], '\n')
		if i < 0 {
			err := d.checkTail(data)
			a.seen = len(data)
			return false, err
		}
		line := data[a.line : a.seen+i]
		a.seen += i + 1
		a.line = a.seen
		if err := d.checkHead(a.seen); err != nil {
			return false, err
		}
		if cr := bytes.IndexByte(line, '\r'); cr >= 0 {
			if cr+1 < len(line) {
				return false, loneCR()
			}
			line = line[:cr]
		}
		if len(line) == 0 {
			a.body = a.seen
			return true, d.checkLength()
		}
		if err := d.readLine(line); err != nil {
			return false, err
		}
	}
}

// checkTail refuses a line that is not complete and can be none.
func (d *Decoder) checkTail(data []byte) error {
	if i := bytes.IndexByte(data[d.at.seen:], 0); i >= 0 {
		return d.readLine(data[d.at.line : d.at.seen+i+1])
	}
	return d.checkHead(len(data))
}

// checkHead holds the command and the headers to their limit.
func (d *Decoder) checkHead(size int) error {
	switch {
	case size > d.Limits.Frame:
		return d.frameLimit()
	case size > d.Limits.HeaderBytes:
		return limit("The configured STOMP header size limit of %d bytes has been exceeded", d.Limits.HeaderBytes)
	}
	return nil
}

// readLine looks at the command or a header.
func (d *Decoder) readLine(line []byte) error {
	a := &d.at
	a.lines++
	if a.lines == 1 {
		if a.command = commandOf(line); a.command == "" {
			return quoting("unknown command", "No enum constant org.springframework.messaging.simp.stomp.StompCommand.%s", printable(line))
		}
		a.headers = a.line
		return nil
	}
	if a.lines-1 > d.Limits.Headers {
		return limit("The configured STOMP header limit of %d headers has been exceeded", d.Limits.Headers)
	}
	name, value, ok := bytes.Cut(line, colon)
	if d.padded() {
		name = bytes.Trim(name, blanks)
	}
	if !ok || len(name) == 0 || bytes.IndexByte(line, 0) >= 0 {
		return illegalHeader(line)
	}
	if !a.fixed && string(name) == "content-length" {
		a.readLength(string(bytes.Trim(value, blanks)))
	}
	return nil
}

// colon ends a header's name.
var colon = []byte{':'}

// printable is a peer's bytes for an error's text.
func printable[T []byte | string](p T) string {
	const most = 100
	if len(p) > most {
		p = p[:most]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(string(p), "\x00", `\0`), "\uFFFD")
}

// readLength notes a content-length. One that is no number, or negative, is
// ignored. A number is one in every version with blanks around it, too: no peer
// means another length by them.
func (a *progress) readLength(value string) {
	n, err := strconv.Atoi(value)
	if n < 0 || err != nil && n == 0 {
		return
	}
	a.fixed, a.length = true, n // beyond the integers: the largest
}

// checkLength holds a content-length to its limits.
func (d *Decoder) checkLength() error {
	for _, most := range [...]int{d.Limits.Body, d.Limits.Frame} {
		if d.at.length > most {
			return limit("STOMP 'content-length' header value %d  exceeds configured buffer size limit %d", d.at.length, most)
		}
	}
	if d.at.body+d.at.length >= d.Limits.Frame {
		return d.frameLimit()
	}
	return nil
}

// readBody returns the size of the frame, or 0 while it is not complete.
func (d *Decoder) readBody(data []byte) (int, error) {
	a := &d.at
	if a.fixed {
		end := a.body + a.length
		if len(data) <= end {
			return 0, nil
		}
		if data[end] != 0 {
			return 0, syntax("Frame must be terminated with a null octet")
		}
		return end + 1, nil
	}
	i := bytes.IndexByte(data[a.seen:], 0)
	end := a.seen + i
	if i < 0 {
		end = len(data)
		a.seen = end
	}
	switch {
	case end >= d.Limits.Frame:
		return 0, d.frameLimit()
	case end-a.body > d.Limits.Body:
		return 0, limit("The configured STOMP body size limit of %d bytes has been exceeded", d.Limits.Body)
	}
	if i < 0 {
		return 0, nil
	}
	return end + 1, nil
}
