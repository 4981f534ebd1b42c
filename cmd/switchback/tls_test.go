package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"
)

func TestCertificateBringsTLSAndHTTP2(t *testing.T) {
	dir := t.TempDir()
	trust := writeCertificate(t, dir)
	file := filepath.Join(dir, "conf.yaml")
	if err := os.WriteFile(file, []byte("tls: {cert: cert.pem, key: key.pem}"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "serve", "--addr", "127.0.0.1:0", "--config", file) // the names are relative to the file
	if !strings.HasPrefix(p.url, "https://127.0.0.1:") {
		t.Errorf("at %s", p.url)
	}

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(p.url + "echo/info")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
		t.Errorf("got %s %s", response.Proto, response.Status)
	}

	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: trust}}
	c, _, err := dialer.Dial("wss"+strings.TrimPrefix(p.url, "https")+"echo/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := next(t, c); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// With parked: false TLS is net/http's, and all else as before.
func TestTLSOfHTTPServer(t *testing.T) {
	dir := t.TempDir()
	trust := writeCertificate(t, dir)
	p := startSecure(t, dir, "parked: false")
	c := dialSecure(t, p, trust)
	says(t, c, "hello")
	p.signal(os.Interrupt)
	closes(t, c, websocket.CloseGoingAway)
	if status, _ := p.wait(); status != 0 {
		t.Errorf("ended with %d\n%s", status, p.stderr.String())
	}
}

// The limit of handshakes is the file's, and their counters are metrics.
func TestHandshakeLimitOfTheFile(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	conf := defaultConfig()
	if err := readYAML("f", []byte("{admin: {addr: '127.0.0.1:0'}, tls: {cert: cert.pem, key: key.pem, handshake_limit: 7}}"), conf.settings(dir)); err != nil {
		t.Fatal(err)
	}
	s, err := newServer(conf, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.shutdown()
	if n := s.server.HandshakeLimit; n != 7 {
		t.Errorf("it is %d", n)
	}
	w := httptest.NewRecorder()
	s.admin.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "\nswitchback_tls_gave_way_total 0\n") {
		t.Error("they are no metrics")
	}
	conf = defaultConfig()
	err = readYAML("f", []byte("tls: {cert: cert.pem, key: key.pem, parked: false, handshake_limit: 7}"), conf.settings(dir))
	if err == nil || !strings.Contains(err.Error(), "tls.handshake_limit is of connections that are parked") {
		t.Errorf("without parked connections: %v", err)
	}
}

// startSecure serves with the certificate in dir.
func startSecure(t *testing.T, dir, more string) *process {
	t.Helper()
	file := filepath.Join(dir, "conf.yaml")
	if err := os.WriteFile(file, []byte("tls: {cert: cert.pem, key: key.pem, "+more+"}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, "serve", "--addr", "127.0.0.1:0", "--config", file)
}

// dialSecure opens a WebSocket to who presents what is trusted.
func dialSecure(t *testing.T, p *process, trust *x509.CertPool) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: trust}}
	c, _, err := dialer.Dial("wss"+strings.TrimPrefix(p.url, "https")+"echo/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// At SIGHUP the certificate is read again, and cuts nobody. What is not right is logged,
// and the one from before stays.
func TestCertificateIsReadAgainAtSIGHUP(t *testing.T) {
	dir := t.TempDir()
	trust := writeCertificate(t, dir)
	p := startSecure(t, dir, "")
	first := dialSecure(t, p, trust)
	says(t, first, "before")

	renewed := writeCertificate(t, dir)
	p.signal(syscall.SIGHUP)
	p.logs("certificate read again")
	dialSecure(t, p, renewed)
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.logs("certificate is not right")
	says(t, dialSecure(t, p, renewed), "again")
	says(t, first, "still")
}

// Files that have changed are read once they have been the same for a while, and only once.
func TestCertificateChanges(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	c := &certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	c.seen = c.read
	old := c.current.Load()
	looks := func(want ...bool) {
		t.Helper()
		for i, w := range want {
			if got := c.changed(); got != w {
				t.Errorf("look %d: got %v, want %v", i, got, w)
			}
		}
	}
	looks(false, false)
	writeCertificate(t, dir)
	later := time.Now().Add(time.Second) // than the clock of the files can tell
	os.Chtimes(c.cert, later, later)
	looks(false, true)
	c.renew(zap.NewNop())
	looks(false, false)
	if c.current.Load() == old {
		t.Error("it is the old one")
	}
	os.Remove(c.key)
	looks(false, true)
	renewed := c.current.Load()
	c.renew(zap.NewNop())
	looks(false, false)
	if c.current.Load() != renewed {
		t.Error("it has gone with its file")
	}
}

// writeCertificate writes cert.pem and key.pem for 127.0.0.1, and returns who
// trusts them.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "cert.pem"), "CERTIFICATE", cert)
	writePEM(t, filepath.Join(dir, "key.pem"), "PRIVATE KEY", private)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	return pool
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
