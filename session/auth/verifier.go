package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"switchback/session"
	"switchback/session/option"
)

// Options are the settings of a Verifier. A zero number or duration stands for its
// default.
type Options struct {
	// Algorithms are those that are accepted, such as ES256, of those that the keys can
	// take. The default is all of these. "none" is never accepted.
	Algorithms []string

	// Issuer is what the claim iss has to be. The default is anything.
	Issuer string

	// Audience is what the claim aud has to be or to have in its list. The default is
	// anything.
	Audience string

	// UserClaim names the claim that is the user: a text, or a number, which becomes the
	// text that JSON has for it. The default is "sub". A dot leads into an object,
	// unless there is a claim of the whole name.
	UserClaim string `default:"sub"`

	// RolesClaim names the claim that is the user's roles, in the same way: Keycloak's is
	// realm_access.roles. Identity.Claims have it as "roles", whatever the token has of
	// that name. The default is "roles".
	RolesClaim string `default:"roles"`

	// OptionalExpiry lets in tokens without the claim exp. Their sessions do not end by
	// themselves. The default is that exp has to be there.
	OptionalExpiry bool

	// Leeway is what clocks may differ by: for so long a token is valid before its nbf and
	// after its exp. The default is 30 seconds; a negative one is none.
	Leeway time.Duration `default:"30s" negative:"off"`

	// TokenLimit is the size of a token in bytes. The default is 8 KiB.
	TokenLimit int `default:"8KiB" unit:"bytes"`
}

// Stats are a verifier's counters, which are its own to change.
type Stats struct {
	Verified atomic.Int64 // tokens that said who somebody is
	Refused  atomic.Int64 // tokens that did not
	Unknown  atomic.Int64 // of these, those of a key that is not known
}

// A Verifier tells whose a token is, which may begin with Bearer, as in the header
// Authorization. Its methods may be called from any goroutine. Their errors are
// *session.RefusedErrors, with a sentence that the client may read.
type Verifier struct {
	options Options
	keys    *Keys
	valid   *jwt.Parser // of tokens that are valid now
	signed  *jwt.Parser // of tokens of any age
	stats   Stats
}

// Algorithms are those that a Verifier can accept.
func Algorithms() []string { return slices.Clone(known) }

var known = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// An OptionError is what is wrong with an option.
type OptionError struct {
	Option string // its name in Options or TicketOptions
	Value  string // what it is
	Want   string // what it must do: "be one of HS256, ..."
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("auth: %s is %q; it must %s", e.Option, e.Value, e.Want)
}

func notNegative(options any) error {
	if name, value := option.Negative(options); name != "" {
		return &OptionError{name, strconv.FormatInt(value, 10), "not be negative"}
	}
	return nil
}

// NewVerifier returns a Verifier. An error is an *OptionError.
func NewVerifier(keys *Keys, o Options) (*Verifier, error) {
	option.SetDefaults(&o)
	if err := notNegative(o); err != nil {
		return nil, err
	}
	for _, name := range o.Algorithms {
		if !slices.Contains(known, name) {
			return nil, &OptionError{"Algorithms", name, "be one of " + strings.Join(known, ", ")}
		}
		if keys.remote == nil && !slices.ContainsFunc(*keys.current.Load(), func(k key) bool { return slices.Contains(k.algorithms, name) }) {
			return nil, &OptionError{"Algorithms", name, "be one that a key is for"}
		}
	}
	if o.Algorithms == nil {
		o.Algorithms = known
	}
	o.Leeway = max(o.Leeway, 0)
	common := []jwt.ParserOption{jwt.WithValidMethods(o.Algorithms), jwt.WithJSONNumber(), jwt.WithStrictDecoding()}
	if o.Issuer != "" {
		common = append(common, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		common = append(common, jwt.WithAudience(o.Audience))
	}
	valid := append(slices.Clone(common), jwt.WithLeeway(o.Leeway))
	if !o.OptionalExpiry {
		valid = append(valid, jwt.WithExpirationRequired())
	}
	const century = 100 * 365 * 24 * time.Hour
	return &Verifier{
		options: o, keys: keys,
		valid:  jwt.NewParser(valid...),
		signed: jwt.NewParser(append(common, jwt.WithLeeway(century))...),
	}, nil
}

// Keys are those that signatures are verified with.
func (v *Verifier) Keys() *Keys { return v.keys }

// Stats are the verifier's counters.
func (v *Verifier) Stats() *Stats { return &v.stats }

// Verify returns who a token says that somebody is, as long as it is valid: to its exp
// and the leeway. The numbers of Claims are json.Numbers. It may wait a few seconds for
// keys that are being fetched.
func (v *Verifier) Verify(token string) (*session.Identity, error) {
	id, err := v.identity(v.valid, token)
	if err != nil {
		v.stats.Refused.Add(1)
		return nil, err
	}
	v.stats.Verified.Add(1)
	return id, nil
}

// User returns whose a token is or was: all counts that counts for Verify, but for its age.
func (v *Verifier) User(token string) (string, error) {
	id, err := v.identity(v.signed, token)
	if err != nil {
		return "", err
	}
	return id.User, nil
}

func (v *Verifier) identity(p *jwt.Parser, token string) (*session.Identity, error) {
	token, _ = cutBearer(token)
	if len(token) > v.options.TokenLimit {
		return nil, refused("Token is too large")
	}
	claims := jwt.MapClaims{}
	if _, err := p.ParseWithClaims(token, claims, v.find); err != nil {
		return nil, v.refusal(claims, err)
	}
	user, ok := text(lookup(claims, v.options.UserClaim))
	if !ok {
		return nil, refused("Token names no user: its claim " + v.options.UserClaim + " must be a text or a number")
	}
	id := &session.Identity{User: user, Claims: claims}
	if roles := lookup(claims, v.options.RolesClaim); roles != nil {
		claims["roles"] = roles
	} else {
		delete(claims, "roles")
	}
	if exp, err := claims.GetExpirationTime(); err == nil && exp != nil {
		id.Expires = exp.Add(v.options.Leeway)
	}
	return id, nil
}

// cutBearer returns the token of a header's value, and whether that says that it is one
// (RFC 6750, section 2.1).
func cutBearer(value string) (token string, ok bool) {
	const scheme = "Bearer "
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return value, false
	}
	return strings.TrimSpace(value[len(scheme):]), true
}

var (
	errUnknown = errors.New("auth: unknown key")
	errCrit    = errors.New("auth: unknown critical header")
	errNoKeys  = errors.New("auth: no keys yet")
)

// find returns the keys that may have signed a token.
func (v *Verifier) find(t *jwt.Token) (any, error) {
	if _, there := t.Header["crit"]; there { // RFC 7515, section 4.1.11: none is understood
		return nil, errCrit
	}
	id, _ := t.Header["kid"].(string)
	fit, isKnown := v.keys.find(id, t.Method.Alg())
	if !isKnown && v.keys.remote != nil && v.keys.remote.await() {
		fit, isKnown = v.keys.find(id, t.Method.Alg())
	}
	switch {
	case v.keys.current.Load() == nil:
		return nil, errNoKeys
	case !isKnown:
		v.stats.Unknown.Add(1)
		return nil, errUnknown
	case len(fit) == 0:
		return nil, jwt.ErrTokenSignatureInvalid
	}
	var set jwt.VerificationKeySet
	for _, k := range fit {
		set.Keys = append(set.Keys, k.verifies)
	}
	return set, nil
}

func refused(reason string) error {
	return &session.RefusedError{Status: http.StatusUnauthorized, Reason: reason}
}

// refusal says why a token is refused. What is wrong with whom it is for goes before its
// age.
func (v *Verifier) refusal(claims jwt.MapClaims, err error) error {
	_, expires := claims["exp"]
	switch {
	case errors.Is(err, errNoKeys):
		return &session.RefusedError{Status: http.StatusServiceUnavailable, Reason: "Keys are not there yet"}
	case errors.Is(err, errUnknown):
		return refused("Token is signed with a key that is not known here")
	case errors.Is(err, errCrit):
		return refused("Token has a critical header that is not known here")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return refused("Token is no JWT")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return refused("Token is not signed with a key and an algorithm that are accepted here")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer), v.options.Issuer != "" && claims["iss"] == nil:
		return refused("Token is of another issuer")
	case errors.Is(err, jwt.ErrTokenInvalidAudience), v.options.Audience != "" && claims["aud"] == nil:
		return refused("Token is for another audience")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return refused("Token is not valid yet")
	case errors.Is(err, jwt.ErrTokenExpired):
		return refused("Token has expired")
	case !expires && !v.options.OptionalExpiry:
		return refused("Token has no claim exp")
	}
	return refused("Token has a claim that is not what it should be")
}

// lookup returns a claim: of that name, or within objects.
func lookup(claims map[string]any, name string) any {
	for {
		if value, there := claims[name]; there {
			return value
		}
		first, rest, dotted := strings.Cut(name, ".")
		inner, ok := claims[first].(map[string]any)
		if !dotted || !ok {
			return nil
		}
		claims, name = inner, rest
	}
}

// text is the text of a claim that is a name.
func text(claim any) (string, bool) {
	switch c := claim.(type) {
	case string:
		return c, c != ""
	case json.Number:
		return c.String(), true
	}
	return "", false
}
