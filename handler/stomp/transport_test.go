package stomp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"switchback/handler/stomp"
	"switchback/handler/stomp/frame"
	"switchback/transport"
	"switchback/transport/client"
)

// serve serves a broker at /ws, with frames of up to 2 MiB.
func serve(t *testing.T, o stomp.Options) (*stomp.Broker, string) {
	t.Helper()
	o.FrameLimit = 2 << 20
	b, err := stomp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := transport.NewEndpoint("/ws", b, transport.Options{MessageLimit: 8 << 20, BodyLimit: 16 << 20, RawWebSocket: true})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(e)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		s.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, s.URL + "/ws"
}

// A peer is a STOMP client over a transport.
type peer struct {
	*testing.T
	conn    *client.Conn
	decoder frame.Decoder
}

var clientLimits = frame.Limits{Frame: 1 << 30, Body: 1 << 30, HeaderBytes: 1 << 20, Headers: 1000}

func dial(t *testing.T, url, transport string, subprotocols ...string) *peer {
	t.Helper()
	h := &http.Client{Transport: &http.Transport{}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, url, client.Options{
		Transports: []string{transport}, HTTPClient: h, FrameLimit: 32 << 20, QueueLimit: 16 << 20, Subprotocols: subprotocols,
		OpenTimeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); h.CloseIdleConnections() })
	p := &peer{T: t, conn: c}
	p.decoder.Limits, p.decoder.Version = &clientLimits, frame.V12
	return p
}

func (p *peer) send(pieces ...string) {
	p.Helper()
	for _, text := range pieces {
		if err := p.conn.Send([]byte(text)); err != nil {
			p.Fatal(err)
		}
	}
}

// next returns the next frame: each message of the server holds just one.
func (p *peer) next() *frame.Frame {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 10*time.Second)
	defer cancel()
	for {
		text, err := p.conn.Recv(ctx)
		if err != nil {
			p.Fatal(err)
		}
		if string(text) == "\n" {
			continue
		}
		var f frame.Frame
		p.decoder.Feed(text)
		ok, err := p.decoder.Next(&f)
		if err != nil || !ok || p.decoder.Held() > 0 {
			p.Fatalf("%.200q is not one frame: %v", text, err)
		}
		return f.Clone()
	}
}

func (p *peer) want(command frame.Command, header, value string) *frame.Frame {
	p.Helper()
	f := p.next()
	if f.Command != command || f.Headers.Value(header) != value {
		p.Fatalf("got %s %v, want %s with %s:%s", f.Command, f.Headers, command, header, value)
	}
	return f
}

// closed wants the session's end.
func (p *peer) closed(code int) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 10*time.Second)
	defer cancel()
	_, err := p.conn.Recv(ctx)
	var end *client.CloseError
	if !errors.As(err, &end) || end.Code != code {
		p.Errorf("got %v, want %d", err, code)
	}
}

var allTransports = []string{"raw-websocket", "websocket", "xhr-streaming", "eventsource", "xhr-polling"}

func TestSTOMPOverEveryTransport(t *testing.T) {
	for _, name := range allTransports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, url := serve(t, stomp.Options{Login: stomp.Passwords(map[string]string{"guest": "guest"}), HeartbeatSend: time.Second, HeartbeatReceive: time.Second})
			p := dial(t, url, name)
			p.send("CONNECT\naccept-version:1.1,1.0\nheart-beat:1000,1000\nlogin:guest\npasscode:guest\n\n\x00")
			p.want(frame.Connected, "heart-beat", "1000,1000")
			p.send("SUBSCRIBE\nid:sub-0\ndestination:/topic/a\nreceipt:1\n\n\x00")
			p.want(frame.Receipt, "receipt-id", "1")
			p.send("SEND\ndestination:/topic/a\n\nhéllo\x00\n")
			if f := p.want(frame.Message, "subscription", "sub-0"); string(f.Body) != "héllo" {
				t.Errorf("got %q", f.Body)
			}
			p.send("DISCONNECT\nreceipt:2\n\n\x00")
			p.want(frame.Receipt, "receipt-id", "2")
		})
	}
}

func TestErrorArrivesBeforeTheClose(t *testing.T) {
	_, url := serve(t, stomp.Options{})
	for _, name := range allTransports {
		t.Run(name, func(t *testing.T) {
			p := dial(t, url, name)
			p.send("SEND\ndestination:/topic/a\n\nx\x00")
			if f := p.next(); f.Command != frame.Error || !strings.HasPrefix(f.Headers.Value("message"), "Unknown session: ") {
				t.Errorf("got %v", f)
			}
			p.closed(1002)
		})
	}
}

// large is a body of 1 MiB with all that makes bodies difficult.
func large() string {
	const unit = "a\x00é\u2028\U0001F600\"\\\r\n\ufeff"
	return strings.Repeat(unit, (1<<20)/len(unit)) + "\x00"
}

func TestLargeBodyComesBack(t *testing.T) {
	for _, name := range allTransports {
		t.Run(name, func(t *testing.T) {
			_, url := serve(t, stomp.Options{})
			p := dial(t, url, name)
			p.send("CONNECT\naccept-version:1.2\n\n\x00SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")
			p.want(frame.Connected, "version", "1.2")
			body := large()
			text := fmt.Sprintf("SEND\ndestination:/topic/a\ncontent-length:%d\n\n%s\x00", len(body), body)
			p.send(text)
			if f := p.want(frame.Message, "destination", "/topic/a"); string(f.Body) != body {
				t.Errorf("%d bytes came back, of %d", len(f.Body), len(body))
			}
			if name == "raw-websocket" {
				return // a browser cannot send half a character there
			}
			p.send(cutUnits(text, 16*1024-1)...)
			if f := p.want(frame.Message, "destination", "/topic/a"); string(f.Body) != body {
				t.Errorf("in pieces: %d bytes came back, of %d", len(f.Body), len(body))
			}
		})
	}
}

// cutUnits cuts a text as JavaScript's substring does: after so many UTF-16
// units, within a character or not.
func cutUnits(text string, n int) (pieces []string) {
	units := utf16.Encode([]rune(text))
	for len(units) > 0 {
		n := min(n, len(units))
		var b []byte
		for i := 0; i < n; i++ {
			r := rune(units[i])
			if utf16.IsSurrogate(r) && i+1 < n {
				if pair := utf16.DecodeRune(r, rune(units[i+1])); pair != utf8.RuneError {
					b = utf8.AppendRune(b, pair)
					i++
					continue
				}
			}
			if utf16.IsSurrogate(r) {
				b = append(b, 0xed, 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f))
				continue
			}
			b = utf8.AppendRune(b, r)
		}
		pieces = append(pieces, string(b))
		units = units[n:]
	}
	return pieces
}

func TestBinaryMessagesOnNativeWebSocket(t *testing.T) {
	_, url := serve(t, stomp.Options{})
	p := dial(t, url, "raw-websocket", "V12.stomp", "v11.stomp")
	if got := p.conn.Subprotocol(); !strings.EqualFold(got, "v12.stomp") {
		t.Errorf("sub-protocol %q", got)
	}
	if err := p.conn.SendBinary([]byte("CONNECT\naccept-version:1.2\n\n\x00SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\x00")); err != nil {
		t.Fatal(err)
	}
	p.want(frame.Connected, "version", "1.2")
	body := make([]byte, 100_000)
	for i := range body {
		body[i] = byte(i * 7)
	}
	in := fmt.Appendf(nil, "SEND\ndestination:/topic/a\ncontent-length:%d\n\n%s\x00", len(body), body)
	for _, piece := range [][]byte{in[:1], in[1:50_000], in[50_000:]} {
		if err := p.conn.SendBinary(piece); err != nil {
			t.Fatal(err)
		}
	}
	m, err := p.conn.RecvMessage(t.Context())
	if err != nil || !m.Binary || !bytes.HasSuffix(m.Data, append(body, 0)) {
		t.Errorf("binary %v, %d bytes, %v", m.Binary, len(m.Data), err)
	}
	p.send("SEND\ndestination:/topic/a\n\ntext\x00")
	if m, err := p.conn.RecvMessage(t.Context()); err != nil || m.Binary {
		t.Errorf("text comes as binary: %v, %v", m.Binary, err)
	}
}

func TestMessagesGoBetweenTransports(t *testing.T) {
	b, url := serve(t, stomp.Options{})
	var peers []*peer
	for _, name := range allTransports {
		p := dial(t, url, name)
		p.send("CONNECT\naccept-version:1.2\n\n\x00SUBSCRIBE\nid:0\ndestination:/topic/a\nreceipt:1\n\n\x00")
		p.want(frame.Connected, "version", "1.2")
		p.want(frame.Receipt, "receipt-id", "1")
		peers = append(peers, p)
	}
	for i, p := range peers {
		p.send(fmt.Sprintf("SEND\ndestination:/topic/a\n\n%d\x00", i))
		for _, p := range peers {
			if f := p.want(frame.Message, "destination", "/topic/a"); string(f.Body) != fmt.Sprint(i) {
				t.Errorf("got %q, want %d", f.Body, i)
			}
		}
	}
	counted := func() bool { s := b.Stats(); return s.Clients.Load() == 5 && s.Messages.Load() == 25 }
	for end := time.Now().Add(10 * time.Second); !counted() && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // messages are counted once they are sent
	}
	if !counted() {
		t.Errorf("%+v", b.Stats())
	}
}
