// Package natsserver is a NATS server within the process, for clusters of a few nodes that
// need no other program: each node has one, and all are connected with each other.
package natsserver

import (
	"cmp"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"

	"switchback/handler/engine/nats"
)

// Options are the settings of a Server.
type Options struct {
	// Cluster is the name that all nodes of the cluster have.
	Cluster string

	// Secret is what the nodes know each other by: SecretLength bytes or more. What they
	// say to each other is encrypted.
	Secret []byte

	// Listen is the host and port at which other nodes connect, never a public one. The
	// default is none: then there is one node.
	Listen string

	// Seeds are hosts and ports of other nodes, one of which is enough to meet all; they
	// may name this node, too. They are tried until they answer; the others, of which they
	// tell, for a day after they were there.
	Seeds []string

	// Logger gets what the server has to say. The default is slog.Default() as Start finds
	// it.
	Logger *slog.Logger
}

// SecretLength is how many bytes a secret has at least.
const SecretLength = 32

// maxPayload is how many bytes a message may have. Frames of STOMP and bodies of the API are
// far smaller.
const maxPayload = 8 << 20

// A Server is one node's.
type Server struct {
	cluster  string
	password string
	server   *server.Server
}

// Start starts a server. An error says which option is wrong, or why it does not listen.
func Start(o Options) (*Server, error) {
	if len(o.Secret) < SecretLength {
		return nil, fmt.Errorf("natsserver: the secret has %d bytes; it must have %d or more: openssl rand -hex 32 makes one", len(o.Secret), SecretLength)
	}
	s := &Server{cluster: o.Cluster, password: derived(o.Secret, "client "+o.Cluster)}
	conf := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, // without a listener there are no routes: it waits for that
		NoLog: true, NoSigs: true, MaxPayload: maxPayload, MaxControlLine: 8 << 10,
		Username: user, Password: s.password,
	}
	if o.Listen != "" {
		if err := routes(conf, o); err != nil {
			return nil, err
		}
	}
	var err error
	if s.server, err = server.NewServer(conf); err != nil {
		return nil, fmt.Errorf("natsserver: %w", err)
	}
	s.server.SetLoggerV2(newLogger(cmp.Or(o.Logger, slog.Default())), false, false, false)
	s.server.Start()
	if !s.server.ReadyForConnections(readyWithin) {
		s.Close()
		return nil, fmt.Errorf("natsserver: the server does not begin; is %s in use by another program?", o.Listen)
	}
	return s, nil
}

const (
	readyWithin = 5 * time.Second
	user        = "switchback"
)

// routes has the server meet others.
func routes(conf *server.Options, o Options) error {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return fmt.Errorf("natsserver: Listen: %w", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("natsserver: Listen: %q is no port", port)
	}
	// The server would end the process where it cannot listen.
	try, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("natsserver: %w", err)
	}
	try.Close()
	if number == 0 {
		return errors.New("natsserver: Listen: the port must be one that the other nodes can know")
	}
	trust, err := trustOf(o.Secret, o.Cluster)
	if err != nil {
		return err
	}
	conf.Cluster = server.ClusterOpts{
		Name: o.Cluster, Host: host, Port: int(number), TLSConfig: trust, TLSTimeout: 2, ConnectRetries: retries,
	}
	conf.ReconnectErrorReports = retries // the first is enough
	for _, seed := range o.Seeds {
		conf.Routes = append(conf.Routes, &url.URL{Scheme: "nats-route", Host: seed})
	}
	return nil
}

// retries is how often a node is tried that others have told of, when it has been away: each
// second, for a day. Seeds are tried for ever.
const retries = 24 * 60 * 60

// Wire returns what carries an engine over the server.
func (s *Server) Wire() *nats.Wire {
	return nats.New(s.cluster, "", client.InProcessServer(s.server), client.UserInfo(user, s.password))
}

// Close ends the server. Engines over it are to be closed before.
func (s *Server) Close() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

// derive returns bytes that only who knows the secret can know, for a purpose.
func derive(secret []byte, purpose string, length int) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "switchback "+purpose, length)
	if err != nil {
		panic(err) // of a length that is too large
	}
	return key
}

func derived(secret []byte, purpose string) string {
	return hex.EncodeToString(derive(secret, purpose, 32))
}

// trustOf returns what routes are encrypted with: a key that is made of the secret, so that
// all nodes have the same, and nobody else. Who shows it is a node.
func trustOf(secret []byte, cluster string) (*tls.Config, error) {
	key := ed25519.NewKeyFromSeed(derive(secret, "key of routes "+cluster, ed25519.SeedSize))
	certificate, err := x509.CreateCertificate(nil, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "switchback"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "switchback"}}, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("natsserver: %w", err)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, // no name is looked at: the key is what counts
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, peer := range state.PeerCertificates[:1] {
				if shown, ok := peer.PublicKey.(ed25519.PublicKey); ok && subtle.ConstantTimeCompare(shown, key.Public().(ed25519.PublicKey)) == 1 {
					return nil
				}
			}
			return errors.New("natsserver: the other is no node of this cluster: it has another secret")
		},
	}, nil
}
