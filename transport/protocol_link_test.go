package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A link is a connection to the server.
type link struct {
	net.Conn
	name     string // empty on a connection for one exchange
	patience time.Duration
	r        *bufio.Reader

	// The last request and its response.
	asked   *step
	method  string
	version string
	res     *response // nil until its head has been read
}

// Read reads, within the patience that the player has.
func (l *link) Read(p []byte) (int, error) {
	l.SetReadDeadline(time.Now().Add(l.patience))
	return l.Conn.Read(p)
}

func (p *player) dial(name string) (*link, error) {
	conn, err := net.DialTimeout("tcp", p.address, p.patience)
	if err != nil {
		return nil, err
	}
	l := &link{Conn: conn, name: name, patience: p.patience}
	l.r = bufio.NewReader(l)
	return l, nil
}

// request sends a request with the header lines and the body below it.
func (p *player) request(s *step, arg string) error {
	l, err := p.prepare(s)
	if err != nil {
		return err
	}
	method, _, _ := strings.Cut(s.text, " ")
	target, version, ok := strings.Cut(arg, " ")
	if !ok {
		version = "HTTP/1.1"
	}
	header, body, err := p.requestLines(s.below)
	if err != nil {
		return err
	}
	if target, err = p.vars.expand(target); err != nil {
		return err
	}
	if method == "POST" {
		header += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	l.asked, l.method, l.version, l.res = s, method, version, nil
	return p.write(s, fmt.Appendf(nil, "%s %s %s\r\nHost: %s\r\n%s\r\n%s", method, target, version, p.address, header, body))
}

// prepare makes p.link a connection on which a request can be sent.
func (p *player) prepare(s *step) (*link, error) {
	if p.link != nil && p.link.name != "" {
		if p.link.asked != nil && (p.link.res == nil || !p.link.res.ended) {
			return nil, errors.New("the response before has not been read to its end")
		}
		return p.link, nil
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	l, err := p.dial("")
	if err != nil {
		return nil, p.fail(s, "a connection", err.Error())
	}
	p.link, p.once = l, l
	return l, nil
}

func (p *player) requestLines(lines []*step) (header, body string, err error) {
	for _, s := range lines {
		if arg, ok := strings.CutPrefix(s.text, "body "); ok {
			if body, err = p.vars.text(s, arg); err != nil {
				return "", "", err
			}
			continue
		}
		line, err := p.vars.expand(s.text)
		if err != nil {
			return "", "", err
		}
		header += line + "\r\n"
	}
	return header, body, nil
}

func (p *player) write(s *step, data []byte) error {
	p.link.SetWriteDeadline(time.Now().Add(p.patience))
	if _, err := p.link.Write(data); err != nil {
		return p.fail(s, "a server that reads", err.Error())
	}
	return nil
}

// websocket does a handshake with the header lines below.
func (p *player) websocket(s *step, arg string) error {
	key := handshakeKey()
	handshake := &step{line: s.line, text: "GET " + arg, below: append([]*step{
		{text: "Connection: Upgrade"},
		{text: "Upgrade: websocket"},
		{text: "Sec-WebSocket-Version: 13"},
		{text: "Sec-WebSocket-Key: " + key},
	}, s.below...)}
	if err := p.request(handshake, arg); err != nil {
		return err
	}
	res, err := p.response(s)
	if err != nil {
		return err
	}
	if err := checkHandshake(res, key); err != nil {
		return p.fail(s, "a handshake", err.Error())
	}
	return nil
}

// send sends a WebSocket frame or bytes.
func (p *player) send(s *step, arg string) error {
	if p.link == nil {
		return errors.New("no connection")
	}
	kind, arg, _ := strings.Cut(arg, " ")
	if kind == "close" {
		code, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		return p.write(s, appendFrame(nil, closeFrame(code)))
	}
	text, err := p.vars.text(s, arg)
	if err != nil {
		return err
	}
	switch kind {
	case "text":
		return p.write(s, appendFrame(nil, frame{opText, []byte(text)}))
	case "bytes":
		return p.write(s, []byte(text))
	}
	return errors.New("neither text nor bytes nor close")
}

// abort closes the connection in the middle of whatever happens on it.
func (p *player) abort(*step, string) error {
	if p.link == nil {
		return errors.New("no connection")
	}
	p.drop(p.link)
	return nil
}

func (p *player) drop(l *link) {
	l.Close()
	delete(p.named, l.name)
	if p.once == l {
		p.once = nil
	}
	p.link = nil
}

// finish ends the connection of one exchange: its response must have been
// read, and nothing may come after it.
func (p *player) finish() error {
	l := p.once
	if l == nil {
		return nil
	}
	defer p.drop(l)
	if l.res == nil || !l.res.ended {
		return p.mistake(l.asked, errors.New("the response is not read to its end"))
	}
	if l.res.status == 101 {
		return p.nothingBuffered(l)
	}
	l.Conn.(*net.TCPConn).CloseWrite()
	rest, err := io.ReadAll(l.r)
	if len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return p.failed(l.asked, "nothing after the response, and the end", string(rest), err)
	}
	return nil
}

func (p *player) nothingBuffered(l *link) error {
	if n := l.r.Buffered(); n > 0 {
		rest, _ := l.r.Peek(n)
		return p.fail(l.asked, "nothing more", strconv.Quote(string(rest)))
	}
	return nil
}

// hangUp closes what is open.
func (p *player) hangUp() {
	if p.once != nil {
		p.once.Close()
	}
	for _, l := range p.named {
		l.Close()
	}
}
