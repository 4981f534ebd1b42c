package netpoll

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// These tests are of crypto/tls alone: of what it does without saying so, and what a TLS
// connection without a goroutine rests on. Where one fails with another release of Go,
// leave TLS to net/http with that release: by the http.Server's ServeTLS in place of
// transport's Serve, and in the command's configuration by tls.parked.

// tlsVersions are those that are parked.
var tlsVersions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// certificate is that of the tests.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// clientTLS is the configuration of a client of one version.
func clientTLS(version uint16) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
}

// A below is what a tls.Conn has below it: reads take what is there, and wait for more
// only until the handshake is done. Then they return errNothing.
type below struct {
	net.Conn
	in, out bytes.Buffer
	done    bool
}

func (b *below) Read(p []byte) (int, error) {
	switch {
	case !b.done:
		return b.Conn.Read(p)
	case b.in.Len() == 0:
		return 0, errNothing
	}
	return b.in.Read(p)
}

func (b *below) Write(p []byte) (int, error) {
	if !b.done {
		return b.Conn.Write(p)
	}
	return b.out.Write(p)
}

// tlsEnds returns the two ends of a TLS connection, and what is below each.
func tlsEnds(t *testing.T, version uint16) (server, client *tls.Conn, lower, upper *below) {
	t.Helper()
	one, two := pair(t)
	t.Cleanup(func() { one.Close() })
	lower, upper = &below{Conn: one}, &below{Conn: two}
	server = tls.Server(lower, &tls.Config{Certificates: []tls.Certificate{certificate()}, SessionTicketsDisabled: true})
	client = tls.Client(upper, clientTLS(version))
	failed := make(chan error, 1)
	go func() { failed <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	lower.done, upper.done = true, true
	return server, client, lower, upper
}

// A temporary error of the reads below is returned as it is, and not kept: the bytes
// before it are, and a later Read goes on, wherever the record was cut. After the last
// record Read returns it, too, so that nothing is left that only crypto/tls knows of.
func TestCryptoTLSReadsOnAfterATemporaryError(t *testing.T) {
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			server, client, lower, upper := tlsEnds(t, version)
			p := make([]byte, 1<<10)
			for cut, size := 1, 2; cut < size; cut++ {
				text := bytes.Repeat([]byte{byte(cut)}, 100)
				client.Write(text)
				record := upper.out.Bytes()
				size = len(record)
				for _, piece := range [][]byte{record[:cut], nil, record[cut:]} {
					if n, err := server.Read(p); n != 0 || err != errNothing {
						t.Fatalf("cut at %d: got %d bytes and %v, want errNothing itself", cut, n, err)
					}
					lower.in.Write(piece)
				}
				if n, err := server.Read(p); err != nil || !bytes.Equal(p[:n], text) {
					t.Fatalf("cut at %d: got %d bytes, %v", cut, n, err)
				}
				upper.out.Reset()
			}
		})
	}
}

// What is read with a record is read before what is below is asked again.
func TestCryptoTLSKeepsRecordsThatCameTogether(t *testing.T) {
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			server, client, lower, upper := tlsEnds(t, version)
			for _, text := range []string{"one", "two", "three"} {
				io.WriteString(client, text)
			}
			lower.in.Write(upper.out.Bytes())
			p := make([]byte, 2)
			for _, want := range []string{"on", "e", "tw", "o", "th", "re", "e"} {
				if n, err := server.Read(p); string(p[:n]) != want || err != nil {
					t.Fatalf("got %q, %v, want %q", p[:n], err, want)
				}
			}
			if n, err := server.Read(p); n != 0 || err != errNothing {
				t.Errorf("got %d bytes and %v at the end, want errNothing", n, err)
			}
		})
	}
}

// Each write below is of whole records, and a Write's records follow each other.
func TestCryptoTLSWritesWholeRecords(t *testing.T) {
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			server, client, lower, upper := tlsEnds(t, version)
			text := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
			writes := &recordWrites{below: lower}
			lower.Conn = writes
			lower.done = false // so that writes go there
			server.Write(text)
			server.CloseWrite()
			if writes.broken {
				t.Error("a write has part of a record")
			}
			upper.in.Write(writes.all)
			if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, text) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
}

// recordWrites looks at what each write has.
type recordWrites struct {
	*below
	all    []byte
	broken bool
}

func (w *recordWrites) Write(p []byte) (int, error) {
	w.all = append(w.all, p...)
	for rest := p; len(rest) > 0 && !w.broken; {
		size := 5
		if len(rest) >= size {
			size += int(rest[3])<<8 | int(rest[4])
		}
		if w.broken = len(rest) < size; !w.broken {
			rest = rest[size:]
		}
	}
	return len(p), nil
}

func (*recordWrites) SetWriteDeadline(time.Time) error { return nil }

// A close_notify that came with the last bytes is told with them, and again by the
// next Read. With TLS 1.3 it is not, since an alert looks like any record there.
func TestCryptoTLSTellsTheEndWithTheLastBytes(t *testing.T) {
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			server, client, lower, upper := tlsEnds(t, version)
			io.WriteString(client, "bye")
			client.CloseWrite()
			lower.in.Write(upper.out.Bytes())
			p := make([]byte, 10)
			n, err := server.Read(p)
			if string(p[:n]) != "bye" || (err == io.EOF) != (version == tls.VersionTLS12) {
				t.Errorf("got %q, %v", p[:n], err)
			}
			for range 2 {
				if n, err := server.Read(p); n != 0 || err != io.EOF {
					t.Errorf("got %d bytes, %v, want EOF", n, err)
				}
			}
		})
	}
}
