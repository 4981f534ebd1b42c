package stomp

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"maps"
	"strings"

	"switchback/handler/rules"
	"switchback/handler/stomp/frame"
	"switchback/session"
)

// ErrPassword is why a client is refused by Passwords.
var ErrPassword = errors.New("stomp: wrong login or passcode")

// login asks the hook.
func (c *conn) login(h frame.Headers) error {
	if c.admits == nil {
		return nil
	}
	if err := c.admits(c.session.Context(), &c.client, h); err != nil {
		return c.refused(err)
	}
	return nil
}

// refused is the Error for a hook's.
func (c *conn) refused(err error) error {
	e := *told(err)
	e.counter = &c.broker.stats.Refused
	return &e
}

// checkRules asks the rules.
func (c *conn) checkRules(on rules.Action, destination string) error {
	v := c.broker.options.Rules.Check(c.client.Identity, on, destination)
	if v.Allowed {
		return nil
	}
	return &Error{Message: notAccepted, Body: "Access Denied", Err: v.Err(on, destination), counter: &c.broker.stats.Refused}
}

// authorize asks the rules and the hook.
func (c *conn) authorize(command frame.Command, destination string) error {
	if err := c.checkRules(c.ruled(command, destination)); err != nil {
		return err
	}
	if c.broker.options.Authorize == nil {
		return nil
	}
	if err := c.broker.options.Authorize(&c.client, command, destination); err != nil {
		return c.refused(err)
	}
	return nil
}

// ruled is what the rules see of a SEND or SUBSCRIBE: there is one name for what is sent
// to the client itself.
func (c *conn) ruled(command frame.Command, destination string) (rules.Action, string) {
	if command == frame.Send {
		return rules.Send, destination
	}
	if rest, id, ok := c.broker.cutSession(destination); ok && id == c.client.ID {
		destination = c.broker.options.UserPrefix + rest
	}
	return rules.Subscribe, destination
}

// Passwords returns a LoginFunc for a table of passwords by user: the login
// header names the user. The time that it takes to compare says nothing about the
// passwords.
func Passwords(table map[string]string) LoginFunc {
	table = maps.Clone(table)
	return func(_ context.Context, c *Client, h Headers) error {
		user := h.Value("login")
		password, known := table[user]
		want, got := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(h.Value("passcode")))
		if subtle.ConstantTimeCompare(want[:], got[:]) == 0 || !known {
			return &Error{Message: "Bad CONNECT", Body: "Access refused", Err: ErrPassword}
		}
		c.Identity = &session.Identity{User: strings.Clone(user)}
		return nil
	}
}
