package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/MicahParks/jwkset"
)

// Keys are what signatures of tokens are verified with. Their methods may be called from
// any goroutine.
type Keys struct {
	current atomic.Pointer[[]key] // nil: there are none yet
	remote  *remote               // nil: they are of a file
}

// A key is one of them. It takes no algorithm but those of its kind: that a public key is
// no secret of HMAC is decided here (RFC 8725, section 3.1).
type key struct {
	id         string // kid, or empty
	verifies   any    // a secret ([]byte), or a public key
	algorithms []string
}

// SecretLimit is the least number of bytes of a secret.
const SecretLimit = 32

// rsaLimit is the least number of bits of an RSA key (RFC 7518, section 3.3).
const rsaLimit = 2048

// algorithms are those that a key may take (RFC 7518, section 3; RFC 8037, section 3.1).
func algorithms(verifies any) ([]string, error) {
	switch k := verifies.(type) {
	case []byte: // at least as long as the hash (RFC 7518, section 3.2)
		return []string{"HS256", "HS384", "HS512"}[:min(len(k)/16-1, 3)], nil
	case *rsa.PublicKey:
		if k.N.BitLen() < rsaLimit {
			return nil, fmt.Errorf("an RSA key has %d bits; it must have %d or more", k.N.BitLen(), rsaLimit)
		}
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []string{"ES256"}, nil
		case elliptic.P384():
			return []string{"ES384"}, nil
		case elliptic.P521():
			return []string{"ES512"}, nil
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	}
	return nil, errors.New("a key is of a kind that signs no tokens; it must be RSA, EC (P-256, P-384, P-521) or Ed25519")
}

// ReadSecret reads the secret of HS256, HS384 and HS512 from a file: all of it but one end
// of line. Fewer than SecretLimit bytes are refused; HS384 needs 48 of them, HS512 64. Keys in
// PEM are refused, too: they are for ReadKeys.
func ReadSecret(file string) (*Keys, error) {
	secret, err := readSecret(file)
	if err != nil {
		return nil, err
	}
	return newKeys(file, []key{{verifies: secret}})
}

func readSecret(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if bytes.Contains(secret, []byte("-----BEGIN ")) { // anybody may have a public key, and sign by it
		return nil, fmt.Errorf("%s: a key or a certificate in PEM is no secret; give it as key_file or --key-file", file)
	}
	if len(secret) < SecretLimit {
		return nil, fmt.Errorf("%s: the secret has %d bytes; it must have %d or more, such as openssl rand -base64 48 writes", file, len(secret), SecretLimit)
	}
	return secret, nil
}

// ReadKeys reads public keys from a file: PEM, public keys or certificates, or a JWK set
// (RFC 7517). Of a JWK set those count that verify signatures.
func ReadKeys(file string) (*Keys, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		keys, err := parseSet(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return newKeys(file, keys)
	}
	keys, err := parsePEM(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return newKeys(file, keys)
}

// newKeys are keys of a file, each with all algorithms that it may take unless it has
// fewer.
func newKeys(file string, keys []key) (*Keys, error) {
	for i := range keys {
		if keys[i].algorithms != nil {
			continue
		}
		var err error
		if keys[i].algorithms, err = algorithms(keys[i].verifies); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	k := new(Keys)
	k.current.Store(&keys)
	return k, nil
}

func parsePEM(text []byte) (keys []key, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		var public any
		switch block.Type {
		case "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				public = c.PublicKey
			}
		default:
			if strings.HasSuffix(block.Type, "PRIVATE KEY") {
				return nil, errors.New("a private key is not needed to verify tokens; give the public one, as openssl pkey -in FILE -pubout writes it")
			}
			return nil, fmt.Errorf("PEM holds %q; it must hold public keys or certificates", block.Type)
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, key{verifies: public})
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no public key; it must be PEM or a JWK set")
	}
	return keys, nil
}

// parseSet reads a JWK set. Keys that are not for signatures, and those of kinds or
// algorithms that are not known, are left out (RFC 7517, section 5). Symmetric keys are
// among these: who could fetch the set could sign.
func parseSet(text []byte) ([]key, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("is no JWK set")
	}
	var keys []key
	for _, raw := range set.Keys {
		if k, ok := parseKey(raw); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("the JWK set has %d keys, and none of them verifies tokens: RSA of %d bits or more, EC or Ed25519", len(set.Keys), rsaLimit)
	}
	return keys, nil
}

func parseKey(raw []byte) (key, bool) {
	var m jwkset.JWKMarshal
	if json.Unmarshal(raw, &m) != nil {
		return key{}, false
	}
	if m.KTY == jwkset.KtyOct || m.USE != "" && m.USE != jwkset.UseSig ||
		len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return key{}, false
	}
	m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", "" // the key is in the set; nothing is fetched for it
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipKeyOps: true})
	if err != nil {
		return key{}, false
	}
	k := key{id: m.KID, verifies: jwk.Key()}
	if k.algorithms, err = algorithms(k.verifies); err != nil {
		return key{}, false
	}
	if m.ALG != "" { // RFC 7517, section 4.4
		k.algorithms = slices.DeleteFunc(k.algorithms, func(name string) bool { return name != string(m.ALG) })
	}
	return k, len(k.algorithms) > 0
}

// find returns the keys for a token. Those without an id, and all for a token that names
// none, are tried.
func (k *Keys) find(id, algorithm string) (fit []key, known bool) {
	current := k.current.Load()
	if current == nil {
		return nil, false
	}
	for _, key := range *current {
		if id != "" && key.id != "" && id != key.id {
			continue
		}
		known = true
		if slices.Contains(key.algorithms, algorithm) {
			fit = append(fit, key)
		}
	}
	return fit, known
}

// Close ends what keeps the keys up to date.
func (k *Keys) Close() {
	if k.remote != nil {
		k.remote.close()
	}
}
