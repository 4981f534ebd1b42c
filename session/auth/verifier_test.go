package auth

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClaims(t *testing.T) {
	o := Options{Issuer: "https://id.example", Audience: "chat"}
	good := claims{"iss": "https://id.example", "aud": []string{"mail", "chat"}}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, c := range []struct {
		name   string
		change func() claims
		want   string // empty: it is accepted
	}{
		{"good", func() claims { return nil }, ""},
		{"one audience", func() claims { return claims{"aud": "chat"} }, ""},
		{"expired", func() claims { return claims{"exp": in(-time.Minute)} }, "Token has expired"},
		{"expired within the leeway", func() claims { return claims{"exp": in(-20 * time.Second)} }, ""},
		{"expired at the leeway", func() claims { return claims{"exp": in(-30 * time.Second)} }, "Token has expired"},
		{"expired at the epoch", func() claims { return claims{"exp": 0} }, "Token has expired"},
		{"exp before all time", func() claims { return claims{"exp": -1e300} }, "Token has expired"},
		{"no exp", func() claims { return claims{"exp": nil} }, "Token has no claim exp"},
		{"exp as text", func() claims { return claims{"exp": "tomorrow"} }, "Token has a claim that is not what it should be"},
		{"exp with a fraction", func() claims { return claims{"exp": float64(in(time.Hour)) + 0.5} }, ""},
		{"not yet valid", func() claims { return claims{"nbf": in(time.Minute)} }, "Token is not valid yet"},
		{"not yet valid within the leeway", func() claims { return claims{"nbf": in(20 * time.Second)} }, ""},
		{"nbf as text", func() claims { return claims{"nbf": "x"} }, "Token has a claim that is not what it should be"},
		{"issued tomorrow", func() claims { return claims{"iat": in(24 * time.Hour)} }, ""}, // RFC 7519, section 4.1.6
		{"another issuer", func() claims { return claims{"iss": "https://evil.example"} }, "Token is of another issuer"},
		{"no issuer", func() claims { return claims{"iss": nil} }, "Token is of another issuer"},
		{"issuer as number", func() claims { return claims{"iss": 7} }, "Token has a claim that is not what it should be"},
		{"another audience", func() claims { return claims{"aud": "mail"} }, "Token is for another audience"},
		{"no audience", func() claims { return claims{"aud": nil} }, "Token is for another audience"},
		{"audience of numbers", func() claims { return claims{"aud": []int{7}} }, "Token has a claim that is not what it should be"},
		{"another audience, and expired", func() claims { return claims{"aud": "mail", "exp": in(-time.Hour)} }, "Token is for another audience"},
		{"no user", func() claims { return claims{"sub": nil} }, "Token names no user: its claim sub must be a text or a number"},
		{"empty user", func() claims { return claims{"sub": ""} }, "Token names no user: its claim sub must be a text or a number"},
		{"user as list", func() claims { return claims{"sub": []string{"kim"}} }, "Token names no user: its claim sub must be a text or a number"},
		{"user as truth", func() claims { return claims{"sub": true} }, "Token names no user: its claim sub must be a text or a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := ofSecret(t, o)
				all := with(with(kim(), good), c.change())
				id, err := v.Verify(token(t, "HS256", secret, all))
				status, got := reason(err)
				if got != c.want || err != nil && status != 401 {
					t.Errorf("got %d %q (%v), want %q", status, got, err, c.want)
				}
				if c.want == "" && id.User != "kim" {
					t.Errorf("got %+v", id)
				}
				if ok := c.want == ""; (v.Stats().Verified.Load() == 1) != ok || (v.Stats().Refused.Load() == 1) == ok {
					t.Errorf("stats: %+v", v.Stats())
				}
			})
		})
	}
}

// A session ends when its token would not be accepted any more.
func TestIdentityExpiresWithTheLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for leeway, want := range map[time.Duration]time.Duration{0: 30 * time.Second, -1: 0, time.Minute: time.Minute} {
			v := ofSecret(t, Options{Leeway: leeway})
			id, err := v.Verify(token(t, "HS256", secret, kim()))
			if err != nil || !id.Expires.Equal(time.Now().Add(time.Hour+want)) {
				t.Errorf("%v: %v, %v", leeway, id, err)
			}
			text := token(t, "HS256", secret, kim())
			time.Sleep(time.Until(id.Expires) - 1)
			if _, err := v.Verify(text); err != nil {
				t.Errorf("%v: before the end: %v", leeway, err)
			}
			time.Sleep(time.Nanosecond)
			if _, err := v.Verify(text); err == nil {
				t.Errorf("%v: is accepted at the end", leeway)
			}
			if user, err := v.User(text); user != "kim" || err != nil {
				t.Errorf("%v: whose it was: %q, %v", leeway, user, err)
			}
		}
	})
}

func TestExpiryMayBeOptional(t *testing.T) {
	id, err := ofSecret(t, Options{OptionalExpiry: true}).Verify(token(t, "HS256", secret, claims{"sub": "kim"}))
	if err != nil || !id.Expires.IsZero() {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestUserIsAsJSONHasIt(t *testing.T) {
	for payload, want := range map[string]string{
		`{"sub":"kim"}`:                "kim",
		`{"sub":7}`:                    "7",
		`{"sub":-7}`:                   "-7",
		`{"sub":7.0}`:                  "7.0",
		`{"sub":12345678901234567890}`: "12345678901234567890",
		`{"sub":1e3}`:                  "1e3",
		`{"sub":"Ä/ö"}`:                "Ä/ö",
	} {
		v := ofSecret(t, Options{OptionalExpiry: true})
		id, err := v.Verify(signed(t, `{"alg":"HS256"}`, payload))
		if err != nil || id.User != want {
			t.Errorf("%s: got %+v, %v", payload, id, err)
		}
	}
}

// signed is a token of HS256 whatever its header says.
func signed(t *testing.T, header, payload string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(header)) + "." + encode([]byte(payload))
	sign, err := hs256(text)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(sign)
}

func TestClaimsOfUserAndRolesAreNamed(t *testing.T) {
	payload := `{"sub":"x","mail":"kim@example.com","roles":["liar"],"a":{"b":{"user":"lee","roles":["admin","dev"]}},"a.c":"dots","scope":"read write"}`
	list := func(names ...any) any { return append([]any{}, names...) }
	for _, c := range []struct {
		o     Options
		user  string
		roles any
	}{
		{Options{}, "x", list("liar")},
		{Options{UserClaim: "mail", RolesClaim: "scope"}, "kim@example.com", "read write"},
		{Options{UserClaim: "a.b.user", RolesClaim: "a.b.roles"}, "lee", list("admin", "dev")},
		{Options{UserClaim: "a.c", RolesClaim: "none.such"}, "dots", nil},
		{Options{UserClaim: "a.b"}, "", nil},
		{Options{UserClaim: "sub.b"}, "", nil},
	} {
		c.o.OptionalExpiry = true
		id, err := ofSecret(t, c.o).Verify(signed(t, `{"alg":"HS256"}`, payload))
		if c.user == "" {
			if err == nil {
				t.Errorf("%+v: got %+v", c.o, id)
			}
			continue
		}
		if err != nil || id.User != c.user || !reflect.DeepEqual(id.Claims["roles"], c.roles) {
			t.Errorf("%+v: got %+v, %v", c.o, id, err)
		}
	}
}

// What is no token at all, or one that tells how to look at it.
func TestForgedTokens(t *testing.T) {
	v := ofSecret(t, Options{OptionalExpiry: true})
	const payload = `{"sub":"kim"}`
	good := signed(t, `{"alg":"HS256"}`, payload)
	if _, err := v.Verify(good); err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	none := func(alg string) string {
		return encode([]byte(`{"alg":"`+alg+`"}`)) + "." + encode([]byte(payload)) + "."
	}
	const wrong = "Token is not signed with a key and an algorithm that are accepted here"
	for text, want := range map[string]string{
		"":                                    "Token is no JWT",
		"x":                                   "Token is no JWT",
		"a.b":                                 "Token is no JWT",
		"a.b.c.d.e":                           "Token is no JWT", // JWE
		"....":                                "Token is no JWT",
		good + ".":                            "Token is no JWT",
		good + "=":                            "Token is no JWT",
		"Bearer " + good:                      "",
		"bearer   " + good + " ":              "",
		"Bearer":                              "Token is no JWT",
		"Basic " + good:                       "Token is no JWT",
		" " + good:                            "Token is no JWT",
		good[:len(good)-3]:                    wrong,
		"\xff.\xff.\xff":                      "Token is no JWT",
		none("none"):                          wrong,
		none("None"):                          wrong,
		none("NONE"):                          wrong,
		none("") + "x":                        wrong,
		none("HS256"):                         wrong,
		signed(t, `{"alg":"none"}`, payload):  wrong,
		signed(t, `{"alg":"HS384"}`, payload): wrong,
		signed(t, `{"alg":"RS256"}`, payload): wrong,
		signed(t, `{"alg":7}`, payload):       wrong,
		signed(t, `{}`, payload):              wrong,
		signed(t, `null`, payload):            wrong,
		signed(t, `[]`, payload):              "Token is no JWT",
		signed(t, `{"alg":"HS256"}`, `[]`):    "Token is no JWT",
		signed(t, `{"alg":"HS256"}`, `null`):  "Token names no user: its claim sub must be a text or a number",
		signed(t, `{"alg":"HS256"}`, `{`):     "Token is no JWT",
		signed(t, `{"alg":"HS256","crit":["b64"],"b64":false}`, payload):        "Token has a critical header that is not known here",
		signed(t, `{"alg":"HS256","kid":"../../dev/null"}`, payload):            "", // keys of a file have no id
		signed(t, `{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, payload):    "", // nobody looks at it
		signed(t, `{"alg":"HS256"}`, `{"sub":"`+strings.Repeat("x", 9000)+`"}`): "Token is too large",
	} {
		_, err := v.Verify(text)
		if status, got := reason(err); got != want || want != "" && status != 401 {
			t.Errorf("%.200q: got %v, want %q", text, err, want)
		}
		if len(text) > 10 && err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("the error quotes the token: %v", err)
		}
		if _, err := v.User(text); (err == nil) != (want == "") {
			t.Errorf("%.200q: whose it is: %v", text, err)
		}
	}
}

// A token is as large as the limit, or refused.
func TestTokenLimit(t *testing.T) {
	text := signed(t, `{"alg":"HS256"}`, `{"sub":"kim"}`)
	for limit, ok := range map[int]bool{len(text): true, len(text) - 1: false} {
		if _, err := ofSecret(t, Options{OptionalExpiry: true, TokenLimit: limit}).Verify(text); (err == nil) != ok {
			t.Errorf("%d: %v", limit, err)
		}
	}
}

// Each key takes the algorithms of its kind, and no other (RFC 8725, section 3.1).
func TestEachKeyTakesTheAlgorithmsOfItsKind(t *testing.T) {
	takes := map[string][]string{
		"rsa":     {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
		"p256":    {"ES256"},
		"p384":    {"ES384"},
		"p521":    {"ES512"},
		"ed25519": {"EdDSA"},
	}
	for kind, names := range takes {
		k := private()[kind]
		text := publicPEM(t, k)
		for form, content := range map[string]string{"PEM": text, "JWKS": jwks(t, jwk(t, k, "1", nil))} {
			keys, err := ReadKeys(file(t, content))
			v := verifier(t, keys, err, Options{})
			for _, name := range names {
				if id, err := v.Verify(token(t, name, k, kim())); err != nil || id.User != "kim" {
					t.Errorf("%s %s %s: %v", kind, form, name, err)
				}
			}
			for other, names := range takes {
				if other == kind {
					continue
				}
				for _, name := range names {
					if _, err := v.Verify(token(t, name, private()[other], kim())); err == nil {
						t.Errorf("%s %s takes %s of %s", kind, form, name, other)
					}
				}
			}
			// The public key, which everybody has, is no secret.
			for _, name := range []string{"HS256", "HS384", "HS512"} {
				for _, secret := range []string{text, strings.TrimSpace(text), content} {
					if _, err := v.Verify(token(t, name, []byte(secret), kim())); err == nil {
						t.Errorf("%s %s takes %s with the public key", kind, form, name)
					}
				}
			}
			// Another key of the kind is another's.
			if kind == "p256" {
				if _, err := v.Verify(token(t, "ES256", private()["other"], kim())); err == nil {
					t.Errorf("%s: the key is another's", form)
				}
			}
		}
	}
}

// A secret is as long as the hash (RFC 7518, section 3.2).
func TestSecretsTakeAlgorithmsByTheirLength(t *testing.T) {
	for size, want := range map[int]string{32: "HS256", 47: "HS256", 48: "HS256 HS384", 63: "HS256 HS384", 64: "HS256 HS384 HS512", 200: "HS256 HS384 HS512"} {
		secret := strings.Repeat("x", size)
		keys, err := ReadSecret(file(t, secret+"\n"))
		v := verifier(t, keys, err, Options{})
		var got []string
		for _, name := range []string{"HS256", "HS384", "HS512"} {
			if _, err := v.Verify(token(t, name, []byte(secret), kim())); err == nil {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%d bytes: got %s, want %s", size, got, want)
		}
	}
}

func TestAlgorithmsMayBeFewer(t *testing.T) {
	keys, err := ReadKeys(file(t, publicPEM(t, private()["rsa"])))
	v := verifier(t, keys, err, Options{Algorithms: []string{"PS256"}})
	for name, ok := range map[string]bool{"PS256": true, "PS384": false, "RS256": false} {
		if _, err := v.Verify(token(t, name, private()["rsa"], kim())); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	keys, err := ReadSecret(file(t, strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		`Algorithms is "none"; it must be one of HS256`:           {Algorithms: []string{"none"}},
		`Algorithms is "hs256"`:                                   {Algorithms: []string{"hs256"}},
		`Algorithms is "RS256"; it must be one that a key is for`: {Algorithms: []string{"HS256", "RS256"}},
		`Algorithms is "HS384"; it must be one that a key is for`: {Algorithms: []string{"HS384"}},
		`TokenLimit is "-1"; it must not be negative`:             {TokenLimit: -1},
	} {
		if _, err := NewVerifier(keys, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// Whatever comes, it is refused with a sentence, or somebody's.
func FuzzVerify(f *testing.F) {
	v := ofSecret(f, Options{})
	f.Add(token(f, "HS256", secret, claims{"sub": "kim", "exp": 1e10}))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := v.Verify(text)
		if _, sentence := reason(err); (id == nil) != (err != nil) || err != nil && sentence == "" {
			t.Fatalf("%q: %v, %v", text, id, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, c := range []struct{ name, key string }{{"HS256", ""}, {"RS256", "rsa"}, {"ES256", "p256"}, {"EdDSA", "ed25519"}} {
		var v *Verifier
		var text string
		if c.key == "" {
			v, text = ofSecret(b, Options{}), token(b, c.name, secret, kim())
		} else {
			keys, err := ReadKeys(file(b, publicPEM(b, private()[c.key])))
			v, text = verifier(b, keys, err, Options{}), token(b, c.name, private()[c.key], kim())
		}
		b.Run(fmt.Sprint(c.name), func(b *testing.B) {
			for b.Loop() {
				if _, err := v.Verify(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
