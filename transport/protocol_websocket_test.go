package transport_test

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// A frame is a WebSocket frame of the server's.
type frame struct {
	opcode  byte
	payload []byte
}

// String is the frame as a script would expect it.
func (f frame) String() string {
	switch {
	case f.opcode == opText:
		return fmt.Sprintf("text %q", f.payload)
	case f.opcode == opClose && len(f.payload) == 0:
		return "close"
	case f.opcode == opClose:
		return fmt.Sprintf("close %d %q", binary.BigEndian.Uint16(f.payload), f.payload[2:])
	}
	return fmt.Sprintf("opcode %d %q", f.opcode, f.payload)
}

// readFrame reads a frame that must be a whole message or a control frame, as
// a server without extensions sends it (RFC 6455, section 5).
func readFrame(r *bufio.Reader) (frame, error) {
	var head [2]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, fmt.Errorf("%q and then %w", head[:n], err)
	}
	f := frame{opcode: head[0] & 0x0f}
	switch {
	case head[0]&0x80 == 0:
		return f, errors.New("a fragment")
	case head[0]&0x70 != 0:
		return f, fmt.Errorf("reserved bits in %#x", head[0])
	case head[1]&0x80 != 0:
		return f, errors.New("a masked frame")
	}
	size, err := readSize(r, head[1])
	if err != nil {
		return f, err
	}
	f.payload = make([]byte, size)
	if n, err := io.ReadFull(r, f.payload); err != nil {
		return f, fmt.Errorf("%q and then %w", f.payload[:n], err)
	}
	return f, f.check()
}

// readSize reads the payload's length, which must be in its shortest form.
func readSize(r *bufio.Reader, first byte) (size uint64, err error) {
	least := uint64(0)
	switch first {
	default:
		size = uint64(first)
	case 126:
		var short uint16
		err = binary.Read(r, binary.BigEndian, &short)
		size, least = uint64(short), 126
	case 127:
		err = binary.Read(r, binary.BigEndian, &size)
		least = 1 << 16
	}
	if err == nil && (size < least || size > 1<<20) {
		err = fmt.Errorf("bad frame length %d", size)
	}
	return size, err
}

func (f frame) check() error {
	switch {
	case f.opcode >= opClose && len(f.payload) > 125:
		return fmt.Errorf("a control frame of %d bytes", len(f.payload))
	case f.opcode == opText && !utf8.Valid(f.payload):
		return fmt.Errorf("text that is not UTF-8: %q", f.payload)
	case f.opcode == opClose && len(f.payload) == 1:
		return errors.New("a close frame with half a code")
	case f.opcode == opClose && len(f.payload) > 2 && !utf8.Valid(f.payload[2:]):
		return fmt.Errorf("a reason that is not UTF-8: %q", f.payload[2:])
	}
	return nil
}

// appendFrame appends a client's frame, masked.
func appendFrame(dst []byte, f frame) []byte {
	dst = append(dst, 0x80|f.opcode)
	switch size := len(f.payload); {
	case size < 126:
		dst = append(dst, 0x80|byte(size))
	case size < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(size))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(size))
	}
	var mask [4]byte
	rand.Read(mask[:])
	dst = append(dst, mask[:]...)
	for i, c := range f.payload {
		dst = append(dst, c^mask[i%4])
	}
	return dst
}

// closeFrame is a close frame with a code and no reason.
func closeFrame(code int) frame {
	return frame{opClose, binary.BigEndian.AppendUint16(nil, uint16(code))}
}

func handshakeKey() string {
	var nonce [16]byte
	rand.Read(nonce[:])
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// checkHandshake tells whether res accepts a handshake with key that offered
// no sub-protocol and no extension (RFC 6455, section 4.1).
func checkHandshake(res *response, key string) error {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	accept := base64.StdEncoding.EncodeToString(sum[:])
	switch {
	case res.status != 101:
		return fmt.Errorf("status %d", res.status)
	case !strings.EqualFold(res.field("Upgrade"), "websocket"):
		return fmt.Errorf("Upgrade: %s", res.field("Upgrade"))
	case !strings.EqualFold(res.field("Connection"), "upgrade"):
		return fmt.Errorf("Connection: %s", res.field("Connection"))
	case res.field("Sec-WebSocket-Accept") != accept:
		return fmt.Errorf("Sec-WebSocket-Accept: %s instead of %s", res.field("Sec-WebSocket-Accept"), accept)
	case res.field("Sec-WebSocket-Extensions")+res.field("Sec-WebSocket-Protocol") != "":
		return errors.New("an extension or a sub-protocol that was not offered")
	}
	return nil
}

// frame demands a WebSocket frame that reads as the step does.
func (p *player) frame(s *step, arg string) error {
	kind, _, _ := strings.Cut(s.text, " ")
	want := kind
	switch {
	case kind == "text":
		text, err := p.vars.text(s, arg)
		if err != nil {
			return err
		}
		want = frame{opText, []byte(text)}.String()
	case arg != "":
		want = kind + " " + arg
	}
	f, err := p.nextFrame(s)
	if err != nil {
		return p.failed(s, want, "", err)
	}
	if f.String() != want {
		return p.fail(s, want, f.String())
	}
	return nil
}

// nextFrame is the next frame that is not a ping, which is answered, or a pong.
func (p *player) nextFrame(s *step) (frame, error) {
	if _, err := p.response(s); err != nil {
		return frame{}, err
	}
	for {
		f, err := readFrame(p.link.r)
		switch {
		case err != nil:
			return f, err
		case f.opcode == opPing:
			err = p.write(s, appendFrame(nil, frame{opPong, f.payload}))
		case f.opcode != opPong:
			return f, nil
		}
		if err != nil {
			return f, err
		}
	}
}

// closed demands that a WebSocket ends, politely or not.
func (p *player) closed(s *step, _ string) error {
	f, err := p.nextFrame(s)
	switch {
	case err == nil && f.opcode != opClose:
		return p.fail(s, "the end", f.String())
	case err == nil:
		// The server may have closed the connection already.
		p.link.Write(appendFrame(nil, frame{opClose, f.payload}))
		if rest, _ := p.link.r.Peek(1); len(rest) > 0 {
			return p.fail(s, "the end", fmt.Sprintf("%q", rest))
		}
		return nil
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		return p.fail(s, "the end", fmt.Sprint(err))
	}
	return nil
}
