package netpoll

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	for name, version := range tlsVersions {
		kinds[name] = func(t testing.TB, p *Group) (*Conn, net.Conn) { return secured(t, p, version) }
	}
}

// serverTLS is the configuration of the servers.
var serverTLS = sync.OnceValue(func() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate()}}
})

// A shaker makes the handshake.
type shaker struct {
	by   time.Time
	done chan error
}

func (s *shaker) Ready(b *Buffer) {
	s.done <- b.Conn().Secure(context.Background(), b, serverTLS(), s.by)
}
func (s *shaker) Flushed() {}

// secured returns the two ends of a connection whose handshake is done.
func secured(t testing.TB, p *Group, version uint16) (*Conn, *tls.Conn) {
	t.Helper()
	server, client := pair(t)
	return securing(t, p, server, client, clientTLS(version))
}

// securing is secured for the ends of a plain connection.
func securing(t testing.TB, p *Group, server, under net.Conn, config *tls.Config) (*Conn, *tls.Conn) {
	t.Helper()
	c := p.Take(server, nil)
	s := &shaker{done: make(chan error, 1)}
	c.Own(s)
	c.Arm()
	client := tls.Client(under, config)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	return c, client
}

// A sending is a client's socket whose writes are sent in another way.
type sending struct {
	*net.TCPConn
	by   func(to *net.TCPConn, p []byte) // nil: as they are
	read []byte                          // all that was read
}

func (s *sending) Read(p []byte) (int, error) {
	n, err := s.TCPConn.Read(p)
	s.read = append(s.read, p[:n]...)
	return n, err
}

func (s *sending) Write(p []byte) (int, error) {
	if s.by == nil {
		return s.TCPConn.Write(p)
	}
	s.by(s.TCPConn, p)
	return len(p), nil
}

// singly sends one byte at a time.
func singly(to *net.TCPConn, p []byte) {
	for i := range p {
		to.Write(p[i : i+1])
	}
}

// hold keeps what is written, until rest is sent.
func (s *sending) hold() (held *bytes.Buffer) {
	held = new(bytes.Buffer)
	s.by = func(_ *net.TCPConn, p []byte) { held.Write(p) }
	return held
}

// wantCloseNotify demands the end, and that the last record before it is shorter than one
// of long: a tls.Conn makes no difference between close_notify and the socket's end.
func wantCloseNotify(t *testing.T, client *tls.Conn, out *sending) {
	t.Helper()
	if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("got %d bytes, %v, want close_notify", n, err)
	}
	size := 0
	for rest := out.read; len(rest) > 0; rest = rest[5+size:] {
		size = int(rest[3])<<8 | int(rest[4])
	}
	if size > len(long) {
		t.Error("got the socket's end without close_notify")
	}
}

// long is more than an alert takes.
const long = "longer than any alert with all that is around it"

// consumed waits until all that has come to a connection is read, and it is parked.
func consumed(t *testing.T, c *Conn) {
	t.Helper()
	consumedBy(t, c, input)
}

// consumedBy is consumed for a connection that waits for something else.
func consumedBy(t *testing.T, c *Conn, waits waiting) {
	t.Helper()
	eventually(t, "it is parked", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		n, err := unix.IoctlGetInt(int(c.fd), unix.SIOCINQ)
		return err == nil && n == 0 && !c.claimed && c.waits == waits
	})
}

// overTLS runs a test with an echo over each version.
func overTLS(t *testing.T, f func(t *testing.T, version uint16, e *echo, client *tls.Conn, out *sending)) {
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			p := new(Group)
			server, under := pair(t)
			out := &sending{TCPConn: under.(*net.TCPConn)}
			c, client := securing(t, p, server, out, clientTLS(version))
			e := echoOn(c)
			f(t, version, e, client, out)
			under.Close()
			eventually(t, "it is closed", func() bool { return p.Len() == 0 })
			shutdown(t, p)
		})
	}
}

// echoOn has a connection echoed.
func echoOn(c *Conn) *echo {
	e := newEcho()
	e.conn = c
	c.Own(e)
	c.Arm()
	return e
}

// random returns so many bytes.
func random(size int) string {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return string(p)
}

func TestTLSInSingleBytes(t *testing.T) {
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			p := new(Group)
			defer shutdown(t, p)
			server, under := pair(t)
			c, client := securing(t, p, server, &sending{TCPConn: under.(*net.TCPConn), by: singly}, clientTLS(version))
			echoOn(c)
			echoed(t, client, random(700))
			echoed(t, client, random(10))
		})
	}
}

// A record may be cut anywhere, and the connection parks before the rest of it comes.
func TestTLSRecordCutAnywhere(t *testing.T) {
	overTLS(t, func(t *testing.T, _ uint16, e *echo, client *tls.Conn, out *sending) {
		cut, more := 1, true
		out.by = func(to *net.TCPConn, p []byte) {
			more = cut < len(p)
			to.Write(p[:min(cut, len(p))])
			consumed(t, e.conn)
			to.Write(p[min(cut, len(p)):])
		}
		for ; more; cut++ {
			echoed(t, client, random(100))
		}
	})
}

// So may each record of the handshake.
func TestTLSHandshakeCutAnywhere(t *testing.T) {
	step := 13
	if testing.Short() {
		step = 131
	}
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			p := new(Group)
			defer shutdown(t, p)
			for cut, more := 1, true; more; cut += step {
				server, under := pair(t)
				more = false
				out := &sending{TCPConn: under.(*net.TCPConn), by: func(to *net.TCPConn, p []byte) {
					more = more || cut < len(p)
					to.Write(p[:min(cut, len(p))])
					time.Sleep(100 * time.Microsecond)
					to.Write(p[min(cut, len(p)):])
				}}
				c, client := securing(t, p, server, out, clientTLS(version))
				echoOn(c)
				echoed(t, client, "hello")
				client.Close()
			}
		})
	}
}

// Several records come in one segment, the last one cut.
func TestTLSRecordsThatComeTogether(t *testing.T) {
	overTLS(t, func(t *testing.T, _ uint16, e *echo, client *tls.Conn, out *sending) {
		for n := range 40 {
			held := out.hold()
			var want strings.Builder
			for range n + 1 {
				text := random(1 + rand.IntN(300))
				want.WriteString(text)
				io.WriteString(client, text)
			}
			cut := rand.IntN(held.Len())
			out.TCPConn.Write(held.Next(cut))
			if n%2 == 0 {
				consumed(t, e.conn)
			}
			out.TCPConn.Write(held.Bytes())
			got := make([]byte, want.Len())
			if _, err := io.ReadFull(client, got); err != nil || string(got) != want.String() {
				t.Fatalf("%d records: other bytes, %v", n+1, err)
			}
		}
	})
}

// What follows the end of the handshake in its segment is read.
func TestTLSBytesAfterTheHandshake(t *testing.T) {
	p := new(Group)
	defer shutdown(t, p)
	for _, size := range []int{1, 1000, 10000} { // beside a Buffer, and beyond it
		server, under := pair(t)
		c := p.Take(server, nil)
		e := newEcho()
		e.conn = c
		c.Own(&shakesThen{e})
		c.Arm()
		out := &sending{TCPConn: under.(*net.TCPConn)}
		client := tls.Client(out, clientTLS(tls.VersionTLS13))
		var held bytes.Buffer
		first := true
		out.by = func(to *net.TCPConn, p []byte) {
			if first { // the ClientHello
				first = false
				to.Write(p)
				return
			}
			held.Write(p)
		}
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		text := random(size)
		io.WriteString(client, text)
		out.TCPConn.Write(held.Bytes())
		got := make([]byte, size)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != text {
			t.Errorf("%d bytes: %v", size, err)
		}
		client.Close()
	}
}

// shakesThen makes the handshake and then is an echo.
type shakesThen struct{ *echo }

func (s *shakesThen) Ready(b *Buffer) {
	if err := s.conn.Secure(context.Background(), b, serverTLS(), time.Time{}); err != nil {
		s.ended <- err
		s.conn.Close()
		return
	}
	s.conn.Own(s.echo)
	s.conn.Arm()
}

// A record larger than the sockets' buffers comes in parts, and so does its echo.
func TestTLSRecordsLargerThanTheSocketsBuffer(t *testing.T) {
	overTLS(t, func(t *testing.T, _ uint16, e *echo, client *tls.Conn, out *sending) {
		out.SetReadBuffer(4 << 10)
		out.SetWriteBuffer(4 << 10)
		unix.SetsockoptInt(int(e.conn.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10)
		for _, size := range []int{16 << 10, 60 << 10} {
			text := random(size)
			sent := make(chan error, 1)
			go func() {
				_, err := io.WriteString(client, text)
				sent <- err
			}()
			got := make([]byte, size)
			if _, err := io.ReadFull(client, got); err != nil || string(got) != text {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Writers beside the reader: what each writes stays together.
func TestTLSWritersBesideTheReader(t *testing.T) {
	overTLS(t, func(t *testing.T, _ uint16, e *echo, client *tls.Conn, _ *sending) {
		const each, written, sent = 300, "................", "0123456789abcdef"
		var writers sync.WaitGroup
		for range 4 {
			writers.Go(func() {
				for range each {
					e.conn.Write([]byte(written))
				}
			})
		}
		writers.Go(func() {
			for range each {
				io.WriteString(client, sent)
			}
		})
		got := make([]byte, 16*5*each)
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		writers.Wait()
		for unit := range slices.Chunk(got, 16) {
			if string(unit) != written && string(unit) != sent {
				t.Fatalf("a write is cut: %q", unit)
			}
		}
		if n := bytes.Count(got, []byte(written)); n != 4*each {
			t.Errorf("%d are the writers'", n)
		}
	})
}

// A close_notify ends the connection, although the peer's socket stays open. It is
// answered by another, and then the socket is closed.
func TestTLSCloseNotify(t *testing.T) {
	overTLS(t, func(t *testing.T, _ uint16, e *echo, client *tls.Conn, out *sending) {
		echoed(t, client, long)
		consumed(t, e.conn)
		client.CloseWrite()
		if err := <-e.ended; err != io.EOF {
			t.Errorf("ended with %v", err)
		}
		wantCloseNotify(t, client, out)
		if n, err := out.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("got %d bytes, %v, want the socket's end", n, err)
		}
	})
}

// One that comes with the last bytes does, too, wherever the two are cut: with TLS 1.2
// crypto/tls tells of both at once.
func TestTLSCloseNotifyWithTheLastBytes(t *testing.T) {
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			p := new(Group)
			defer shutdown(t, p)
			for cut, more := 0, true; more; cut += 3 {
				server, under := pair(t)
				out := &sending{TCPConn: under.(*net.TCPConn)}
				c, client := securing(t, p, server, out, clientTLS(version))
				echoOn(c)
				held := out.hold()
				io.WriteString(client, "bye")
				client.CloseWrite()
				more = cut < held.Len()
				out.SetWriteDeadline(time.Time{}) // which CloseWrite has set
				out.TCPConn.Write(held.Next(cut))
				if cut > 0 && more {
					consumed(t, c)
				}
				out.TCPConn.Write(held.Bytes())
				if got, err := io.ReadAll(client); string(got) != "bye" || err != nil {
					t.Fatalf("cut at %d: got %q, %v", cut, got, err)
				}
			}
		})
	}
}

// The last bytes, close_notify and the socket's end follow each other, also where the
// peer reads late; and whatever closes a connection here tells the peer.
func TestTLSEndTellsThePeer(t *testing.T) {
	for name, end := range map[string]func(*Conn){
		"end":                   func(c *Conn) { c.End(pieces(nil)) },
		"end after the last":    func(c *Conn) { c.WriteLast(pieces(nil)); c.End(pieces(nil)) },
		"end with bytes":        func(c *Conn) { c.End(pieces([]byte(long))) },
		"end with many":         func(c *Conn) { c.End(pieces(make([]byte, 8<<20))) },
		"close":                 func(c *Conn) { c.Close() },
		"close flushed":         func(c *Conn) { c.CloseFlushed() },
		"close flushed of many": func(c *Conn) { c.Write(make([]byte, 8<<20)); c.CloseFlushed() },
		"line":                  func(c *Conn) { l := NewIdleLine(c.group, 0); c.Rest(l, newEcho()); l.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			overTLS(t, func(t *testing.T, _ uint16, e *echo, client *tls.Conn, out *sending) {
				e.conn.SetWriteTimeout(20 * time.Second)
				echoed(t, client, long)
				consumed(t, e.conn)
				end(e.conn)
				size := 0
				switch {
				case strings.Contains(name, "bytes"):
					size = len(long)
				case strings.Contains(name, "many"):
					size = 8 << 20
				}
				if n, err := io.ReadFull(client, make([]byte, size)); err != nil {
					t.Errorf("got %d of %d bytes, %v", n, size, err)
				}
				wantCloseNotify(t, client, out)
			})
		})
	}
}

// Who watches is told of a close_notify, also after something else has come, and in its
// segment; what has come is left for the next read.
func TestTLSWatchTellsOfCloseNotify(t *testing.T) {
	overTLS(t, func(t *testing.T, version uint16, e *echo, _ *tls.Conn, _ *sending) {
		for _, before := range []bool{false, true} {
			c, client := secured(t, e.conn.group, version)
			w := &watcher{make(chan struct{})}
			c.Own(w)
			if before { // the end has come already, and crypto/tls has read it
				r := &rester{w, make(chan struct{})}
				c.Own(r)
				io.WriteString(client, "x")
				client.CloseWrite()
				c.Arm()
				<-r.done
			} else {
				c.Watch(w)
				consumedBy(t, c, hangup)
				client.CloseWrite()
			}
			select {
			case <-w.gone:
			case <-time.After(patience):
				t.Errorf("it came before: %v: was not told", before)
			}
			c.Close()
		}
		c, client := secured(t, e.conn.group, version)
		w := &watcher{make(chan struct{})}
		c.Own(w)
		c.Watch(w)
		io.WriteString(client, "next")
		consumedBy(t, c, hangup)
		select {
		case <-w.gone:
			t.Error("input is taken for the end")
		default:
		}
		echoOn(c)
		got := make([]byte, 4)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "next" {
			t.Errorf("got %q, %v", got, err)
		}
		echoed(t, client, long)
		c.Close()
	})
}

// A rester reads a byte, and watches on.
type rester struct {
	*watcher
	done chan struct{}
}

func (r *rester) Ready(b *Buffer) {
	b.ReadByte()
	b.Conn().OwnAndWatch(r.watcher)
	close(r.done)
}

// Peers that are cut off leave nothing behind.
func TestTLSPeerIsCutOff(t *testing.T) {
	for name, cut := range map[string]func(out *sending, client *tls.Conn){
		"reset": func(out *sending, _ *tls.Conn) { out.SetLinger(0); out.Close() },
		"end within a record": func(out *sending, client *tls.Conn) {
			held := out.hold()
			io.WriteString(client, "hello")
			out.TCPConn.Write(held.Next(7))
			out.CloseWrite()
		},
	} {
		t.Run(name, func(t *testing.T) {
			overTLS(t, func(t *testing.T, _ uint16, e *echo, client *tls.Conn, out *sending) {
				consumed(t, e.conn)
				cut(out, client)
				if err := <-e.ended; err == nil || err == io.EOF {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

// A record that was changed is refused, and the peer is told why.
func TestTLSBrokenRecord(t *testing.T) {
	overTLS(t, func(t *testing.T, _ uint16, e *echo, client *tls.Conn, out *sending) {
		out.by = func(to *net.TCPConn, p []byte) {
			p = bytes.Clone(p)
			p[len(p)-1] ^= 1
			to.Write(p)
		}
		io.WriteString(client, "hello")
		if _, err := client.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("got %v", err)
		}
		if err := <-e.ended; err == nil || err == io.EOF {
			t.Errorf("ended with %v", err)
		}
	})
}

// Records of nothing (RFC 8446, section 5.4) are passed over, wherever the connection is
// parked among them. Who sends more than 16 in a row is cut off, as crypto/tls has it.
func TestTLSEmptyRecords(t *testing.T) {
	p := new(Group)
	defer shutdown(t, p)
	server, under := pair(t)
	config, secrets := clientTLS(tls.VersionTLS13), new(strings.Builder)
	config.KeyLogWriter = secrets
	c, client := securing(t, p, server, under, config)
	e := echoOn(c)
	if suite := client.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("seals with AES-128-GCM, not %s", tls.CipherSuiteName(suite))
	}
	seal := sealer(t, secrets.String())
	for n := range 17 {
		for i := range n {
			under.Write(seal(""))
			if i%3 == 0 {
				consumed(t, c)
			}
		}
		under.Write(seal("text"))
		got := make([]byte, 4)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "text" {
			t.Fatalf("after %d empty records: got %q, %v", n, got, err)
		}
	}
	for range 17 {
		under.Write(seal(""))
	}
	if _, err := client.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "unexpected message") {
		t.Errorf("the peer gets %v", err)
	}
	if err := <-e.ended; err == nil || err == io.EOF {
		t.Errorf("ended with %v", err)
	}
}

// sealer returns what makes a client's records of TLS 1.3 from the key log of a connection
// on which it has sent none since the handshake (RFC 8446, sections 5.2, 5.3 and 7.3).
func sealer(t *testing.T, log string) (seal func(text string) []byte) {
	t.Helper()
	const label = "CLIENT_TRAFFIC_SECRET_0 "
	_, line, _ := strings.Cut(log, label)
	fields := strings.Fields(line)
	if len(fields) < 2 {
		t.Fatalf("no %sin %q", label, log)
	}
	secret, err := hex.DecodeString(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	expand := func(label string, size int) []byte {
		info := []byte{0, byte(size), byte(len("tls13 ") + len(label))}
		info = append(append(append(info, "tls13 "...), label...), 0)
		p, err := hkdf.Expand(sha256.New, secret, string(info), size)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	block, err := aes.NewCipher(expand("key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	iv, number := expand("iv", aead.NonceSize()), uint64(0)
	return func(text string) []byte {
		nonce := bytes.Clone(iv)
		counter := nonce[len(nonce)-8:]
		binary.BigEndian.PutUint64(counter, binary.BigEndian.Uint64(counter)^number)
		number++
		inner := append([]byte(text), 23) // application_data
		head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+aead.Overhead()))
		return aead.Seal(head, nonce, inner, head)
	}
}

// A handshake that is not done in time, or is none, fails, and the connection is plain.
func TestTLSHandshakeFails(t *testing.T) {
	for name, test := range map[string]struct {
		sends string
		want  func(error) bool
	}{
		"slow":     {"\x16\x03\x01", func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
		"no TLS":   {"GET / HTTP/1.1\r\n", func(err error) bool { return errors.As(err, new(tls.RecordHeaderError)) }},
		"no hello": {"\x16\x03\x01\x00\x04\x02\x00\x00\x00", func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			p := new(Group)
			defer shutdown(t, p)
			server, client := pair(t)
			c := p.Take(server, nil)
			s := &shaker{by: time.Now().Add(20 * time.Second), done: make(chan error, 1)}
			if name == "slow" {
				s.by = time.Now().Add(10 * time.Millisecond)
			}
			c.Own(s)
			c.Arm()
			io.WriteString(client, test.sends)
			if err := <-s.done; !test.want(err) {
				t.Errorf("got %v", err)
			}
			c.End(pieces([]byte("plain")))
			if got, err := io.ReadAll(client); err != nil || !strings.HasSuffix(string(got), "plain") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// A peer that makes crypto/tls answer again and again, and reads nothing, is given up.
func TestTLSAnswersAreLimited(t *testing.T) {
	p := new(Group)
	defer shutdown(t, p)
	c, _ := secured(t, p, tls.VersionTLS13)
	c.SetWriteTimeout(20 * time.Second)
	c.Write(make([]byte, 16<<20))
	if !c.Pending() {
		t.Fatal("the socket has taken 16 MiB: nothing is tested")
	}
	for range 2 * addLimit / 40 {
		c.wire.Write(make([]byte, 40))
		c.wire.pushAnswer()
	}
	if _, err := c.Write(nil); err != ErrFull {
		t.Errorf("got %v, want ErrFull", err)
	}
}

// A releaser releases a connection once something has come.
type releaser struct{ out chan net.Conn }

func (r *releaser) Ready(b *Buffer) {
	b.Peek(1)
	b.Unread()
	released, _ := b.Conn().Release()
	r.out <- released
}

func (*releaser) Flushed() {}

// Others have a TLS connection as a *tls.Conn, with what has been read of it, and give it
// back.
func TestTLSConnectionIsReleased(t *testing.T) {
	overTLS(t, func(t *testing.T, version uint16, e *echo, client *tls.Conn, out *sending) {
		for _, head := range []string{"", "head"} {
			p, c := e.conn.group, e.conn
			consumed(t, c)
			if head == "" {
				released, err := c.Release()
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := released.(*tls.Conn); !ok {
					t.Errorf("it is a %T", released)
				}
				used(t, released, client, "", version)
				c = p.Take(released, nil)
			} else {
				r := &releaser{make(chan net.Conn)}
				c.Own(r)
				io.WriteString(client, head)
				released := <-r.out
				used(t, released, client, head, version)
				c = p.Take(released, nil)
			}
			if c != e.conn {
				t.Fatal("it is another connection")
			}
			echoOn(c)
			echoed(t, client, long)
		}
		consumed(t, e.conn)
		released, _ := e.conn.Release()
		released.Close()
		wantCloseNotify(t, client, out)
	})
}

// A record that the socket has taken in part goes on where the connection is released.
func TestTLSConnectionIsReleasedWithinARecord(t *testing.T) {
	overTLS(t, func(t *testing.T, version uint16, e *echo, client *tls.Conn, _ *sending) {
		p, c := e.conn.group, e.conn
		consumed(t, c)
		size := 0
		for ; !c.Pending(); size += 1000 {
			c.Write(bytes.Repeat([]byte("x"), 1000))
		}
		released, err := c.Release()
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(released, "the end") // ends when all is read
		got := make([]byte, size+len("the end"))
		if _, err := io.ReadFull(client, got); err != nil || string(got[size:]) != "the end" {
			t.Fatalf("got %q, %v", got[size:], err)
		}
		if c = p.Take(released, nil); c.Pending() {
			t.Error("something is left over")
		}
		echoOn(c)
		echoed(t, client, long)
	})
}

// used demands that a released connection reads head, is read and written, and knows its
// version.
func used(t *testing.T, released net.Conn, client io.ReadWriter, head string, version uint16) {
	t.Helper()
	if s := released.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState(); s.Version != version {
		t.Errorf("its version is %x", s.Version)
	}
	io.WriteString(client, "ask")
	got := make([]byte, len(head)+len("ask"))
	if _, err := io.ReadFull(released, got); err != nil || string(got) != head+"ask" {
		t.Errorf("got %q, %v", got, err)
	}
	io.WriteString(released, "answer")
	got = make([]byte, len("answer"))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "answer" {
		t.Errorf("got %q, %v", got, err)
	}
}

// An openssl is openssl's client.
type openssl struct {
	in    io.Writer
	lines *bufio.Scanner
}

// startOpenSSL starts a client whose handshake is done, of what c is.
func startOpenSSL(t *testing.T, p *Group, version string, inSingleBytes bool) (client *openssl, c *Conn) {
	t.Helper()
	dialing.Lock()
	defer dialing.Unlock()
	command := exec.Command("openssl", "s_client", "-connect", listener.Addr().String(), version)
	in, _ := command.StdinPipe()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = w, w
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
		r.Close()
	})
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if inSingleBytes {
		server = relay(t, server)
	}
	c = p.Take(server, nil)
	s := &shaker{done: make(chan error, 1)}
	c.Own(s)
	c.Arm()
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	return &openssl{in, bufio.NewScanner(r)}, c
}

// relay returns a connection to which what another sends comes in single bytes. It ends
// with the two.
func relay(t *testing.T, from net.Conn) net.Conn {
	var relaying sync.WaitGroup
	t.Cleanup(relaying.Wait)
	dialing.Unlock()
	server, to := pair(t)
	dialing.Lock()
	relaying.Go(func() {
		io.Copy(from, to)
		from.Close()
	})
	relaying.Go(func() {
		p := make([]byte, 1)
		for {
			if _, err := from.Read(p); err != nil {
				break
			}
			to.Write(p)
		}
		to.Close()
	})
	return server
}

// says writes a line to it.
func (o *openssl) says(line string) { io.WriteString(o.in, line+"\n") }

// tells waits for a line of its output, and is false where that ends first.
func (o *openssl) tells(what string) bool {
	for o.lines.Scan() {
		if strings.Contains(o.lines.Text(), what) {
			return true
		}
	}
	return false
}

// openssl changes its keys while the connection is parked, and wants ours changed (K), or
// not (k); and asks to negotiate again (R), which is refused.
func TestTLSOfOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
	for _, test := range []struct {
		version, command, tells string
		goesOn                  bool
	}{
		{"-tls1_3", "K", "KEYUPDATE", true},
		{"-tls1_3", "k", "KEYUPDATE", true},
		{"-tls1_2", "R", "RENEGOTIATING", false},
	} {
		for _, inSingleBytes := range []bool{false, true} {
			t.Run(fmt.Sprint(test.version, " ", test.command, ", in single bytes: ", inSingleBytes), func(t *testing.T) {
				p := new(Group)
				defer shutdown(t, p)
				client, c := startOpenSSL(t, p, test.version, inSingleBytes)
				e := echoOn(c)
				client.says("begin")
				if !client.tells("begin") {
					t.Fatal("no echo")
				}
				for i := range 3 {
					client.says(test.command)
					if !client.tells(test.tells) {
						t.Fatal("the command is none")
					}
					text := fmt.Sprintf("text %d", i)
					client.says(text)
					if got := client.tells(text); got != test.goesOn {
						t.Fatalf("echoed: %v, want %v", got, test.goesOn)
					}
					if !test.goesOn {
						break
					}
				}
				if !test.goesOn {
					if err := <-e.ended; err == nil || err == io.EOF {
						t.Errorf("ended with %v", err)
					}
				}
			})
		}
	}
}
