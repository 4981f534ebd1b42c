package auth

import (
	"os"
	"strings"
	"testing"
)

func TestSecretFiles(t *testing.T) {
	s := strings.Repeat("x", 32)
	for text, ok := range map[string]bool{
		s: true, s + "\n": true, s + "\r\n": true, s[:31]: false, s[:31] + "\n": false, "": false,
		s + "\n\n": false, // a second end of line is part of the secret
	} {
		keys, err := ReadSecret(file(t, text))
		if err != nil {
			if ok || !strings.Contains(err.Error(), "it must have 32 or more") || strings.Contains(err.Error(), s[:31]) {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		_, err = verifier(t, keys, nil, Options{}).Verify(token(t, "HS256", []byte(s), kim()))
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ReadSecret(file(t, "-----BEGIN PUBLIC KEY-----\n"+s+"\n-----END PUBLIC KEY-----\n")); err == nil || !strings.Contains(err.Error(), "is no secret") {
		t.Errorf("a public key: %v", err)
	}
	if _, err := ReadSecret("nowhere"); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}

func TestKeyFilesThatAreNone(t *testing.T) {
	p256 := private()["p256"]
	for text, want := range map[string]string{
		"":                              "holds no public key; it must be PEM or a JWK set",
		"hello":                         "holds no public key; it must be PEM or a JWK set",
		privatePEM(t, p256):             "a private key is not needed to verify tokens",
		publicPEM(t, private()["weak"]): "an RSA key has 1024 bits; it must have 2048 or more",
		publicPEM(t, private()["p224"]): "a key is of a kind that signs no tokens",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n":   "asn1",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "x509",
		"-----BEGIN PGP MESSAGE-----\nAAAA\n-----END PGP MESSAGE-----\n": `PEM holds "PGP MESSAGE"`,
		"{":             "is no JWK set",
		"{}":            "the JWK set has 0 keys, and none of them verifies tokens",
		`{"keys":7}`:    "is no JWK set",
		`{"keys":[7]}`:  "has 1 keys, and none",
		`{"keys":[{}]}`: "has 1 keys, and none",
		jwks(t, jwk(t, private()["weak"], "1", nil)):                                 "none of them verifies",
		jwks(t, jwk(t, p256, "1", claims{"use": "enc"})):                             "none of them verifies",
		jwks(t, jwk(t, p256, "1", claims{"key_ops": []string{"encrypt"}})):           "none of them verifies",
		jwks(t, jwk(t, p256, "1", claims{"alg": "ES384"})):                           "none of them verifies",
		jwks(t, jwk(t, p256, "1", claims{"x": "AAAA"})):                              "none of them verifies", // not on the curve
		jwks(t, claims{"kty": "oct", "kid": "1", "k": strings.Repeat("A", 64)}):      "none of them verifies",
		jwks(t, claims{"kty": "OKP", "crv": "X25519", "x": strings.Repeat("A", 43)}): "none of them verifies",
	} {
		if _, err := ReadKeys(file(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100q: got %v, want %s", text, err, want)
		}
	}
}

// A set has keys of several kinds, some of which are for others.
func TestKeysOfASetAreFoundByTheirID(t *testing.T) {
	rsa, p256, other := private()["rsa"], private()["p256"], private()["other"]
	set := jwks(t,
		jwk(t, rsa, "r", claims{"alg": "RS256", "use": "sig"}),
		jwk(t, p256, "e", claims{"key_ops": []string{"verify"}, "x5u": "http://127.0.0.1:1/never-asked"}),
		jwk(t, other, "x", claims{"use": "enc"}),
		claims{"kty": "new", "kid": "n"},
	)
	keys, err := ReadKeys(file(t, set))
	v := verifier(t, keys, err, Options{})
	const unknown, wrong = "Token is signed with a key that is not known here", "Token is not signed with a key and an algorithm that are accepted here"
	for _, c := range []struct {
		algorithm, key string
		id             any
		want           string
	}{
		{"RS256", "rsa", "r", ""},
		{"RS256", "rsa", nil, ""},
		{"RS384", "rsa", "r", wrong}, // the set says RS256
		{"PS256", "rsa", nil, wrong},
		{"ES256", "p256", "e", ""},
		{"ES256", "p256", nil, ""},
		{"ES256", "p256", "r", wrong},
		{"ES256", "p256", "E", unknown},
		{"ES256", "p256", "n", unknown},
		{"ES256", "other", "x", unknown},
		{"ES256", "other", "e", wrong},
		{"ES256", "other", nil, wrong},
		{"RS256", "rsa", 7, ""}, // an id that is no text is none
	} {
		before := v.Stats().Unknown.Load()
		_, err := v.Verify(token(t, c.algorithm, private()[c.key], kim(), claims{"kid": c.id}))
		if _, got := reason(err); got != c.want {
			t.Errorf("%+v: got %v", c, err)
		}
		if n := v.Stats().Unknown.Load() - before; (n == 1) != (c.want == unknown) {
			t.Errorf("%+v: %d are counted", c, n)
		}
	}
}

func TestPEMMayHoldSeveralKeys(t *testing.T) {
	keys, err := ReadKeys(file(t, "# old\n"+publicPEM(t, private()["p256"])+"# new\n"+publicPEM(t, private()["other"])+publicPEM(t, private()["ed25519"])))
	v := verifier(t, keys, err, Options{})
	for key, algorithm := range map[string]string{"p256": "ES256", "other": "ES256", "ed25519": "EdDSA"} {
		if _, err := v.Verify(token(t, algorithm, private()[key], kim(), claims{"kid": "of the issuer's"})); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestSignersMakeTokensThatAreAccepted(t *testing.T) {
	for kind, k := range private() {
		s, err := ReadKeySigner(file(t, privatePEM(t, k)))
		if kind == "weak" || kind == "p224" {
			if err == nil {
				t.Errorf("%s signs", kind)
			}
			continue
		}
		if err != nil {
			t.Fatal(kind, err)
		}
		keys, err := ReadKeys(file(t, publicPEM(t, k)))
		v := verifier(t, keys, err, Options{})
		text, err := s.Sign(kim())
		if err != nil {
			t.Fatal(kind, err)
		}
		if id, err := v.Verify(text); err != nil || id.User != "kim" {
			t.Errorf("%s: %v", kind, err)
		}
	}
	s, err := ReadSecretSigner(file(t, string(secret)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.Sign(kim())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ofSecret(t, Options{}).Verify(text); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{"": "holds no private key", publicPEM(t, private()["rsa"]): "holds no private key"} {
		if _, err := ReadKeySigner(file(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
