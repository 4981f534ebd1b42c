package stomp

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"switchback/handler/stomp/frame"
	"switchback/session"
)

// A VerifyFunc says who a token is of, which may begin with Bearer. A *session.RefusedError
// tells the client its Reason.
type VerifyFunc func(token string) (*session.Identity, error)

// ErrToken is why a client that has brought no token is refused by Tokens.
var ErrToken = errors.New("stomp: no token")

// Tokens returns a LoginFunc for tokens: of CONNECT's header Authorization, of the one that
// header names (empty: none), or of passcode where that has a token's form. A CONNECT
// without one is whose the session is; where that is nobody, otherwise decides. A nil
// otherwise refuses it. A token of another user than the session's is refused.
func Tokens(verify VerifyFunc, header string, otherwise LoginFunc) LoginFunc {
	return func(ctx context.Context, c *Client, h Headers) error {
		token := tokenOf(h, header)
		switch {
		case token != "":
			id, err := verify(token)
			if err == nil && c.Identity != nil && id.User != c.Identity.User {
				err = anotherUser
			}
			if err != nil {
				return badToken("Bad CONNECT", err)
			}
			c.Identity = id
			return nil
		case c.Identity != nil:
			return nil
		case otherwise != nil:
			return otherwise(ctx, c, h)
		}
		return &Error{Message: "Bad CONNECT", Body: "Who is asking? Bring a token in the header Authorization", Err: ErrToken}
	}
}

var anotherUser = &session.RefusedError{Status: http.StatusForbidden, Reason: "Token is another user's"}

// badToken is the Error for a token that is refused.
func badToken(message string, err error) error {
	e := &Error{Message: message, Body: "Access refused", Err: err}
	if refused, ok := errors.AsType[*session.RefusedError](err); ok {
		e.Body = refused.Reason
	}
	return e
}

// tokenOf returns the token of a CONNECT, or nothing.
func tokenOf(h Headers, header string) string {
	if token := headerToken(h, header); token != "" {
		return token
	}
	// The first of the three parts of a JWT is an object in JSON: {"... (RFC 7515, section 7.1).
	if passcode := h.Value("passcode"); strings.HasPrefix(passcode, "eyJ") && strings.Count(passcode, ".") == 2 {
		return passcode
	}
	return ""
}

// headerToken returns the header Authorization or, where there is none, another. Front-ends
// write them as they like, since the names of HTTP's headers know no case.
func headerToken(h Headers, header string) string {
	for _, name := range []string{"authorization", header} {
		for i := range h {
			if name != "" && strings.EqualFold(h[i].Name, name) {
				return h[i].Value
			}
		}
	}
	return ""
}

// WithLogin returns an Opener of the broker's sessions whose clients another function than
// Options.Login lets in. A nil one accepts everybody.
func (b *Broker) WithLogin(login LoginFunc) session.Opener { return entrance{b, login} }

type entrance struct {
	*Broker
	login LoginFunc
}

func (e entrance) Open(r *http.Request) (session.Handler, error) { return e.newConn(r, e.login) }

// A term is how long the identity of a client is in force, where that ends.
type term struct {
	end  atomic.Int64 // the clock's time
	seen uint64       // of the last token: it is not verified over and over
}

var seed = maphash.MakeSeed()

// setTerm notes when the client's identity ends. It is called before anybody looks.
func (c *conn) setTerm() {
	if id := c.client.Identity; id != nil && !id.Expires.IsZero() {
		c.term = new(term)
		c.term.end.Store(c.clockAt(id.Expires))
	}
}

// startTerm has the session end with the client's identity: a second after that, if nothing
// else does it, since who speaks STOMP is told by an ERROR.
func (c *conn) startTerm() {
	end := time.Time{}
	if c.term != nil {
		end = c.client.Identity.Expires
	} else if c.client.Identity == c.client.Peer.Identity {
		return
	}
	c.expireSession(end)
}

func (c *conn) expireSession(end time.Time) {
	s, ok := c.session.(session.Expirer)
	if !ok {
		return
	}
	if !end.IsZero() {
		end = end.Add(time.Second)
	}
	s.ExpireAt(end)
}

// clockAt is a time as the clock has it.
func (c *conn) clockAt(t time.Time) int64 {
	now := c.broker.clock.now()
	return int64(now + min(time.Until(t), math.MaxInt64-now))
}

// renew puts off the end of the client's identity for a frame that brings a token.
func (c *conn) renew(h frame.Headers) error {
	if c.term == nil || c.broker.options.Renew == nil {
		return nil
	}
	token := headerToken(h, c.broker.options.TokenHeader)
	if token == "" {
		return nil
	}
	sum := maphash.String(seed, token)
	if sum == c.term.seen {
		return nil
	}
	id, err := c.broker.options.Renew(token)
	if err == nil && id.User != c.client.User() {
		err = anotherUser
	}
	if err != nil {
		return c.refused(badToken("Bad token", err))
	}
	c.term.seen = sum
	c.broker.stats.Renewed.Add(1)
	c.extend(id.Expires)
	return nil
}

// extend moves the end of the client's identity, but not to an earlier time: a front-end may
// go on to send the token that it had at first.
func (c *conn) extend(end time.Time) {
	at := int64(math.MaxInt64)
	if !end.IsZero() {
		at = c.clockAt(end)
	}
	if at > c.term.end.Load() {
		c.term.end.Store(at)
		c.expireSession(end)
	}
}

// over tells whether the client's identity has ended.
func (t *term) over(now time.Duration) bool { return t != nil && int64(now) >= t.end.Load() }

// nextRing is when the clock is to ring for a client that is connected; 0 is never.
func (c *conn) nextRing() time.Duration {
	next := c.pulse.next()
	if c.term == nil {
		return next
	}
	end := time.Duration(c.term.end.Load())
	if end == math.MaxInt64 || next > 0 && next < end {
		return next
	}
	return end
}
