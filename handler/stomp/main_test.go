package stomp

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"switchback/session"
	"switchback/session/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is a registry's, with limits that no test meets by chance.
var config = session.Config{
	HeartbeatDelay:  -1,
	DisconnectDelay: 5 * time.Second,
	InboxTimeout:    30 * time.Second,
	SessionLimit:    10000,
	QueueLimit:      1 << 20,
	InboxLimit:      1 << 20,
}

// someQueues are the prefixes of queues, where there are some.
var someQueues = []string{"/queue"}

// The wires of the tests: what a native WebSocket carries, and a transport that carries
// text only.
var wires = map[bool]*session.Framing{true: wire(true), false: wire(false)}

func wire(binaries bool) *session.Framing {
	return &session.Framing{
		Encoding: &session.Encoding{
			Binary: binaries,
			AppendBegin: func(dst []byte, size int, binary bool) []byte {
				kind := byte('t')
				if binary {
					kind = 'b'
				}
				return beginUnit(dst, kind, size)
			},
			AppendPart: func(dst, text []byte) []byte { return append(dst, text...) },
			Size:       func(text []byte) int { return len(text) },
			Sized:      true,
		},
		AppendClose: func(dst []byte, code int, reason string) []byte {
			text := fmt.Sprintf("CLOSE %d %s", code, reason)
			return append(beginUnit(dst, 'c', len(text)), text...)
		},
		AppendQueueBegin: func(dst []byte, _ int) []byte { return dst },
	}
}

func beginUnit(dst []byte, kind byte, size int) []byte {
	return binary.AppendUvarint(append(dst, kind), uint64(size))
}

// limitMemory has all brokers keep, and receive, so many bytes each, until the end of a
// test.
func limitMemory(t *testing.T, bytes int64) {
	before := memory.SetLimit(4 * bytes)
	t.Cleanup(func() { memory.SetLimit(before) })
}

// A world is a broker with its sessions, in virtual time.
type world struct {
	*testing.T
	broker   *Broker
	registry *session.Registry
}

// bubble runs a test.
func bubble(t *testing.T, o Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, broker: b, registry: session.NewRegistry(b, config)}
		defer func() {
			w.end()
			if n := memory.Used(); n != 0 {
				t.Errorf("%d bytes are still counted in all", n)
			}
		}()
		f(w)
	})
}

// end closes everything, and fails the test where the broker still holds
// something of its sessions.
func (w *world) end() {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.registry.Shutdown(ctx); err != nil {
		w.Error(err)
	}
	synctest.Wait() // handlers of sessions that were gone before
	if err := w.broker.Close(); err != nil {
		w.Error(err)
	}
	w.broker.topics.mu.Lock()
	defer w.broker.topics.mu.Unlock()
	s := w.broker.Stats()
	if s.Clients.Load() != 0 || s.Subscriptions.Load() != 0 || len(w.broker.topics.keys) != 0 || w.broker.topics.patterns != nil {
		w.Errorf("sessions have left something: %+v, %d topics", s, len(w.broker.topics.keys))
	}
	if s.Queued.Load() == 0 && (s.Memory.Load() != 0 || s.Queues.Load() != 0) {
		w.Errorf("%d bytes, %d queues are still counted", s.Memory.Load(), s.Queues.Load())
	}
	if n := len(w.broker.clock.alarms); n != 0 {
		w.Errorf("%d alarms are still set", n)
	}
}

// A client is a session's other end.
type client struct {
	*world
	session *session.Local

	mu       sync.Mutex // guards the rest
	slow     bool       // it does not read
	messages []string
	wire     memory.Pieces
}

// Wake reads what there is.
func (c *client) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read()
}

func (c *client) read() {
	for c.session != nil && !c.slow {
		f := c.session.Next(c, &c.wire)
		var b []byte
		for chunk := range c.wire.Chunks(1 << 20) {
			b = append(b, chunk...)
		}
		c.wire.Reset()
		for len(b) > 0 {
			size, n := binary.Uvarint(b[1:])
			text := string(b[1+n : 1+n+int(size)])
			if b[0] == 'b' {
				text = "BINARY " + text
			}
			c.messages = append(c.messages, text)
			b = b[1+n+int(size):]
		}
		if f.Kind == session.CloseFrame {
			go c.session.Detach(c, nil)
			return
		}
		if f.Kind == session.NoFrame {
			return
		}
	}
}

// stall has the client stop reading, resume goes on.
func (c *client) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow = true
}

func (c *client) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow = false
	c.read()
}

// open opens a session: over "raw-websocket" it carries binary messages.
func (w *world) open(transport string) *client {
	w.Helper()
	c := &client{world: w}
	peer := session.Peer{Address: "192.0.2.1", Transport: transport, Binary: transport == "raw-websocket"}
	s, err := w.registry.Open("", nil, peer, wires[peer.Binary], c)
	if err != nil {
		w.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	c.read()
	return c
}

// connect opens a session that speaks a version; headers are those of CONNECT.
func (w *world) connect(version string, headers ...string) *client {
	w.Helper()
	c := w.open("raw-websocket")
	c.connect(version, headers...)
	return c
}

func (c *client) connect(version string, headers ...string) {
	c.Helper()
	c.send("CONNECT\naccept-version:" + version + "\n" + lines(headers) + "\n\x00")
	if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], "CONNECTED\n") {
		c.Fatalf("CONNECT was answered with %q", got)
	}
}

func lines(headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	return strings.Join(headers, "\n") + "\n"
}

// send brings messages of the client, as they are.
func (c *client) send(texts ...string) {
	c.Helper()
	for _, text := range texts {
		c.session.Receive(context.Background(), []byte(text))
	}
}

func (c *client) sendBinary(data string) {
	c.session.ReceiveBinary(context.Background(), []byte(data))
}

// gone breaks the client's connection.
func (c *client) gone() {
	c.session.Detach(c, fmt.Errorf("reset by peer"))
}

// ids are what differs from run to run.
var ids = regexp.MustCompile(`(?m)^(message-id|ack|session):.*$`)

// take returns the messages since the last time, with NUL as ^@ and ids as *.
func (c *client) take() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.messages
	c.messages = nil
	for i := range got {
		got[i] = ids.ReplaceAllString(strings.ReplaceAll(got[i], "\x00", "^@"), "$1:*")
	}
	return got
}

// want compares the messages since the last time.
func (c *client) want(messages ...string) {
	c.Helper()
	if got := c.take(); !(len(got) == 0 && len(messages) == 0) && !reflect.DeepEqual(got, messages) {
		c.Errorf("messages:\ngot  %q\nwant %q", got, messages)
	}
}

// bodies returns the bodies of the messages since the last time.
func (c *client) bodies() []string {
	var bodies []string
	for _, m := range c.take() {
		_, body, _ := strings.Cut(m, "\n\n")
		bodies = append(bodies, strings.TrimSuffix(body, "^@"))
	}
	return bodies
}

func (c *client) wantBodies(bodies ...string) {
	c.Helper()
	if got := c.bodies(); !(len(got) == 0 && len(bodies) == 0) && !reflect.DeepEqual(got, bodies) {
		c.Errorf("bodies: got %q, want %q", got, bodies)
	}
}

// message is a MESSAGE as take returns it.
func message(destination, subscription, body string, headers ...string) string {
	return "MESSAGE\ndestination:" + destination + "\n" + lines(headers) + "subscription:" + subscription +
		"\nmessage-id:*\ncontent-length:" + fmt.Sprint(len(strings.ReplaceAll(body, "^@", "\x00"))) + "\n\n" + body + "^@"
}

// errorFrame is an ERROR as take returns it.
func errorFrame(text string, headers ...string) string {
	return "ERROR\nmessage:" + text + "\n" + lines(headers) + "content-length:0\n\n^@"
}

const (
	closed1002 = "CLOSE 1002 "
	closed1013 = "CLOSE 1013 "
)

// a log is memory for a logger.
type logBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}
