package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"switchback/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = []byte(strings.Repeat("0123456789abcdef", 4))

// private keys of each kind, made once.
var private = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	for name, make := range map[string]func() (crypto.Signer, error){
		"rsa":     func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		"weak":    func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) },
		"p256":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
		"other":   func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
		"p384":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		"p521":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) },
		"p224":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P224(), rand.Reader) },
		"ed25519": func() (crypto.Signer, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err },
	} {
		k, err := make()
		if err != nil {
			panic(err)
		}
		keys[name] = k
	}
	return keys
})

// publicPEM is a private key's public one as openssl writes it.
func publicPEM(t testing.TB, k crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func privatePEM(t testing.TB, k crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// jwk is a public key of a set; extra are other members of it.
func jwk(t testing.TB, k crypto.Signer, id string, extra map[string]any) map[string]any {
	t.Helper()
	j, err := jwkset.NewJWKFromKey(k.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(j.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	for name, value := range extra {
		m[name] = value
	}
	return m
}

func jwks(t testing.TB, keys ...map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func file(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

type claims = map[string]any

// token signs claims; a header whose value is nil is left out.
func token(t testing.TB, algorithm string, key any, c claims, headers ...map[string]any) string {
	t.Helper()
	k := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), jwt.MapClaims(c))
	for _, h := range headers {
		for name, value := range h {
			k.Header[name] = value
		}
	}
	s, err := k.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kim are claims that are good for an hour.
func kim() claims { return claims{"sub": "kim", "exp": time.Now().Add(time.Hour).Unix()} }

// with are claims with others, or without those that are nil.
func with(c claims, more claims) claims {
	for name, value := range more {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func verifier(t testing.TB, keys *Keys, err error, o Options) *Verifier {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(keys, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ofSecret(t testing.TB, o Options) *Verifier {
	t.Helper()
	keys, err := ReadSecret(file(t, string(secret)))
	return verifier(t, keys, err, o)
}

// reason is what a client is told of an error: its status and a sentence.
func reason(err error) (int, string) {
	r, ok := errors.AsType[*session.RefusedError](err)
	if !ok {
		return 0, ""
	}
	return r.Status, r.Reason
}

// hs256 signs a text.
func hs256(text string) ([]byte, error) { return jwt.SigningMethodHS256.Sign(text, secret) }
