package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap/zapcore"

	"switchback/session"
	"switchback/session/auth"
)

// A tokenCommand makes tokens, and tells what becomes of them.
type tokenCommand struct {
	Make  tokenMakeCommand  `cmd:"" help:"Print a token that is signed with a secret or a private key."`
	Check tokenCheckCommand `cmd:"" help:"Print who a token says that somebody is, or why it is refused."`
}

type tokenMakeCommand struct {
	SecretFile string   `placeholder:"FILE" xor:"key" required:"" help:"The secret of HS256, 32 bytes or more; this or --key-file."`
	KeyFile    string   `placeholder:"FILE" xor:"key" required:"" help:"A private key in PEM: RSA, EC or Ed25519; this or --secret-file."`
	User       string   `placeholder:"USER" help:"The claim sub."`
	Expires    string   `placeholder:"DURATION" help:"How long the token is valid. The default is 1h."`
	Claim      []string `placeholder:"NAME=VALUE" sep:"none" help:"Another claim, whose value is JSON or, where it is none, a text. May be repeated."`
}

// Help is the end of token make --help.
func (*tokenMakeCommand) Help() string {
	return `For example: switchback token make --secret-file secret --user kim --claim 'roles=["admin"]'`
}

// Run prints a token.
func (c *tokenMakeCommand) Run(app *kong.Kong) error {
	life := time.Hour
	if err := take(&life, "--expires", c.Expires, durationKind); err != nil {
		return err
	}
	now := time.Now()
	claims := map[string]any{"iat": now.Unix(), "exp": now.Add(life).Unix()}
	if c.User != "" {
		claims["sub"] = c.User
	}
	for _, text := range c.Claim {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return usageError{fmt.Errorf("--claim is %q; it must be a name, = and a value, such as roles=[\"admin\"]", text)}
		}
		claims[name] = json.RawMessage(value)
		if !json.Valid([]byte(value)) {
			claims[name] = value
		}
	}
	signer, err := c.signer()
	if err != nil {
		return err
	}
	token, err := signer.Sign(claims)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(app.Stdout, token)
	return err
}

func (c *tokenMakeCommand) signer() (*auth.Signer, error) {
	if c.SecretFile != "" {
		return auth.ReadSecretSigner(c.SecretFile)
	}
	return auth.ReadKeySigner(c.KeyFile)
}

type tokenCheckCommand struct {
	Config     string `placeholder:"FILE" xor:"key" required:"" help:"The configuration of a server, whose auth.jwt says what is accepted; this, --secret-file or --key-file."`
	SecretFile string `placeholder:"FILE" xor:"key" required:"" help:"The secret of HS256, HS384 or HS512."`
	KeyFile    string `placeholder:"FILE" xor:"key" required:"" help:"Public keys: PEM, or a JWK set."`
	Token      string `arg:"" help:"The token; - reads it from stdin, so that it is in no list of processes."`
}

// Help is the end of token check --help.
func (*tokenCheckCommand) Help() string {
	return `For example: switchback token make --secret-file secret --user kim | switchback token check --secret-file secret -

It exits with 1 where the token is refused.`
}

// Run prints who the token is of, and until when.
func (c *tokenCheckCommand) Run(app *kong.Kong) error {
	verifier, done, err := c.verifier(app.Stderr)
	if err != nil {
		return err
	}
	defer done()
	token := c.Token
	if token == "-" {
		const most = 1 << 20 // more than any limit of tokens
		text, err := io.ReadAll(io.LimitReader(os.Stdin, most))
		if err != nil {
			return err
		}
		token = strings.TrimSpace(string(text))
	}
	id, err := verifier.Verify(token)
	if err != nil {
		if refused, ok := errors.AsType[*session.RefusedError](err); ok {
			return errors.New(refused.Reason)
		}
		return err
	}
	return printIdentity(app.Stdout, id)
}

func printIdentity(w io.Writer, id *session.Identity) error {
	until := "for ever"
	if !id.Expires.IsZero() {
		until = id.Expires.UTC().Format(time.RFC3339)
	}
	claims, err := json.MarshalIndent(id.Claims, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "user:   %s\nuntil:  %s\nclaims: %s\n", id.User, until, claims)
	return err
}

// verifier is the one that is asked for, and what ends it.
func (c *tokenCheckCommand) verifier(stderr io.Writer) (v *auth.Verifier, done func(), err error) {
	jwt := jwtConfig{}
	switch {
	case c.Config != "":
		conf := defaultConfig()
		if err := conf.readFile(c.Config); err != nil {
			return nil, nil, err
		}
		if jwt = conf.auth.jwt; !jwt.given {
			return nil, nil, fmt.Errorf("%s has no auth.jwt, which says what tokens are verified with", c.Config)
		}
	case c.SecretFile != "":
		jwt.keys, err = auth.ReadSecret(c.SecretFile)
	default:
		jwt.keys, err = auth.ReadKeys(c.KeyFile)
	}
	if err != nil {
		return nil, nil, err
	}
	return jwt.open(slogOf(newLogger(stderr, "text", zapcore.WarnLevel)))
}
