package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/golang-jwt/jwt/v5"
)

// A Signer makes tokens. Its methods may be called from any goroutine.
type Signer struct {
	method jwt.SigningMethod
	key    any
}

// ReadSecretSigner returns a Signer by HS256 with the secret that ReadSecret reads.
func ReadSecretSigner(file string) (*Signer, error) {
	secret, err := readSecret(file)
	if err != nil {
		return nil, err
	}
	return &Signer{jwt.SigningMethodHS256, secret}, nil
}

// ReadKeySigner returns a Signer with the private key of a PEM file: by RS256, ES256, ES384,
// ES512 or EdDSA, as the key is.
func ReadKeySigner(file string) (*Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	private, err := parsePrivate(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var names []string
	if signer, ok := private.(crypto.Signer); ok {
		names, err = algorithms(signer.Public())
	}
	switch private.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		err = errors.New("the private key must be RSA, EC or Ed25519")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &Signer{jwt.GetSigningMethod(names[0]), private}, nil
}

func parsePrivate(text []byte) (any, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("holds no private key in PEM, such as openssl genpkey -algorithm ed25519 writes")
		}
		switch block.Type {
		case "PRIVATE KEY":
			return x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			return x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			return x509.ParseECPrivateKey(block.Bytes)
		}
	}
}

// Sign returns a token with these claims.
func (s *Signer) Sign(claims map[string]any) (string, error) {
	return jwt.NewWithClaims(s.method, jwt.MapClaims(claims)).SignedString(s.key)
}
